"""What a part cannot be built without, said before Python says it in its own words."""

from collections.abc import Callable, Collection
from typing import Any

from ..errors import SpecError
from ..ranges import parameters
from ._build import checked
from ._text import Spec


def needed(spec: Spec, maker: Callable[..., Any], known: Collection[str] = (), skip: int = 0) -> None:
    """Raises SpecError if options of `maker` without a default are neither in `spec` nor `known`.

    The first `skip` arguments are no options. What is wrong with those that are there is said first.
    """
    name, given = spec
    options = [(key, p) for key, p in parameters(maker).items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    left = [key for key, p in options[skip:] if p.default is p.empty and key not in given and key not in known]
    if not left:
        return
    checked(name, maker, given, skip)
    how = ",".join(f"{key}={'FILE' if key == 'path' else '…'}" for key in left)
    alone = ", or the file or folder alone" if left == ["path"] else ""
    raise SpecError(f"{name} needs {' and '.join(left)}: {name}:{how}{alone}")
