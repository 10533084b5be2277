"""What the commands of this package do once their arguments are read. Each returns the exit code."""

import sys
from argparse import Namespace
from dataclasses import replace

from ..checks import whole
from ..errors import SpecError
from ..priors import trusted
from ..spec import value
from ..task.parts import spec_in


def run_bench(args: Namespace) -> int:
    """`xhat bench`: 0 when finished, 130 when interrupted."""
    from .drive import bench
    from .grid import load, only
    from .options import Options
    from .tables import terminal

    if args.trust and not args.prior:
        raise SpecError("--trust goes with --prior: a grid cannot ask to be trusted")
    grid = load(args.grid).over([trusted(p) for p in args.prior] if args.trust else args.prior, args.data)
    if args.images is not None:
        if args.images < 1:
            raise SpecError(f"--images must be at least 1, not {args.images}")
        grid = replace(
            grid, images=args.images, override=(*grid.override, {"when": {}, "set": {"images": args.images}})
        )
    grid = grid.joined_by(args.solver)
    cells = only(grid.cells(), args.solver, args.task)
    size = None if args.batch_size == "auto" else value(args.batch_size)
    if size is not None and (not isinstance(size, int) or size < 1):
        raise SpecError(f"--batch-size must be auto or a whole number of at least 1, not {args.batch_size!r}")
    options = Options(args.device, size, args.keep_images, args.fresh, args.ray, args.threads, args.quiet)
    try:
        folder = bench(grid, args.out, options, cells=cells)
    except KeyboardInterrupt:
        print(f"xhat: interrupted; the same command continues with {args.out}", file=sys.stderr)
        return 130
    if not args.quiet:
        terminal(folder.rows(), grid.metrics)
        print(f"{args.out}: {len(folder.rows())} records; xhat report {args.out}")
    return 0


def run_report(args: Namespace) -> int:
    """`xhat report`: writes the report and prints the names of its files."""
    from .report.write import report

    for file in report(args.run_folder, args.out, args.megabytes, args.overwrite):
        print(f"wrote {file}")
    return 0


def run_compare(args: Namespace) -> int:
    """`xhat compare`: prints what changed."""
    from .compare import across, compared, show

    if args.across is None and (args.old or args.new):
        raise SpecError("--before and --after go with --across")
    if args.across is None:
        found = compared(args.before, args.after)
    else:
        found = across(args.before, args.after, args.across, args.old, args.new)
    print(show(*found, everything=args.all))
    return 0


def run_tune(args: Namespace) -> int:
    """`xhat tune`: searches, and prints the best options."""
    from .grid import Cell
    from .tune import ranges_for, tune

    for name in ("trials", "seeds", "images"):
        if (n := getattr(args, name)) is not None:
            whole(f"--{name}", n, 1, 1_000_000)
    solver = spec_in(args.solver)
    cell = Cell(
        task=args.operator,
        label=solver,
        prior=trusted(args.prior) if args.trust else args.prior,
        data=args.data,
        operator=args.operator,
        noise=args.noise,
        solver=solver,
        schedule=args.schedule,
        seeds=tuple(range(args.seeds)),
        images=args.images,
    )

    def say(spec: str, found: float) -> None:
        print(f"{args.objective} {abs(found):.5g}  {spec}", file=sys.stderr, flush=True)

    watch = None if args.quiet else say
    ranges = ranges_for(solver, args.vary)
    best = tune(cell, ranges, args.out, args.objective, args.trials, args.minutes, args.device, watch)
    if not args.quiet:
        before = "" if best["before"] is None else f" (with the solver's own values {best['before']:.5g})"
        print(f"{best['solver']}: {args.objective} {best['value']:.5g}{before}; {args.out / 'best.toml'}")
    return 0
