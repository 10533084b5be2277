"""`xhat list`: the names of all parts, which the cache holds once the same installation was asked, or one kind in full.

The names need no import of torch then, as the tab key of a shell needs none.
"""

from argparse import Namespace

from .completion import names


def run(args: Namespace) -> int:
    """Prints the names of all parts, or the parts of one kind."""
    kind = args.kind or ("solvers" if args.of else None)
    if kind is None:
        print(overview())
    else:
        from .listing import listing

        print(listing(kind, args.name, args.of))
    return 0


def overview() -> str:
    """The names of every kind, as text."""
    return "\n".join(f"{kind}\n    {', '.join(sorted(parts))}" for kind, parts in names().items())
