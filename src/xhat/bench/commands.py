"""What the commands do once their arguments are read."""

import sys
from argparse import Namespace
from dataclasses import replace

from ..errors import SpecError
from ..spec import value


def run_bench(args: Namespace) -> int:
    from .drive import Options, bench
    from .grid import load, only
    from .tables import terminal

    grid = load(args.grid).over(args.prior, args.data)
    if args.images is not None:
        if args.images < 1:
            raise SpecError(f"--images must be at least 1, not {args.images}")
        grid = replace(
            grid, images=args.images, override=(*grid.override, {"when": {}, "set": {"images": args.images}})
        )
    cells = only(grid.cells(), args.solver, args.task)
    size = None if args.batch_size == "auto" else value(args.batch_size)
    if size is not None and (not isinstance(size, int) or size < 1):
        raise SpecError(f"--batch-size must be auto or a whole number of at least 1, not {args.batch_size!r}")
    options = Options(args.device, size, args.keep_images, args.fresh, args.ray, args.threads, args.quiet)
    try:
        folder = bench(grid, args.out, options, cells=cells)
    except KeyboardInterrupt:
        print(f"xhat: interrupted; the same command goes on with {args.out}", file=sys.stderr)
        return 130
    if not args.quiet:
        terminal(folder.rows(), grid.metrics)
        print(f"{args.out}: {len(folder.rows())} records; xhat report {args.out}")
    return 0
