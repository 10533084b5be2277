"""What each command does once its arguments are read. Each returns the exit code."""

import os
import sys
from argparse import Namespace
from pathlib import Path

from ..errors import DataError, SpecError
from ..files import exports
from ..files.folder import alone, check_apart, files_in
from ..files.measurement import Measurement
from ..files.pictures import PICTURES, centre_crop, is_picture, resize, save_image
from ..files.readers.load import load_reference, split
from ..files.writing import atomic
from ..likelihoods.verdict import MEANS, verdict
from ..noise import Gaussian, Noise
from ..priors import path_spec, trusted
from ..priors.generated import GENERATORS
from ..priors.inspect import inspect
from ..spec import parse, value
from ..task.look import AUTO
from ..task.parts import spec_in
from ..task.restoration import Restoration, check_out
from ..task.restore import restore
from ..task.simulate import simulate
from .listing import listing, overview
from .options import read_options


def run_restore(args: Namespace) -> int:
    """`xhat restore`: 0 when finished, 130 when interrupted. Raises an XhatError for a mistake of the user."""
    formats = args.formats.split(",") if args.formats else []
    exports.check(formats)
    with alone(args.out):
        named = files_in(args.operator, args.noise, args.prior, args.solver)
        check_out(args.out, (args.measurement, args.reference, *named), args.overwrite)
        return _restored(args, formats)


def _restored(args: Namespace, formats: list[str]) -> int:
    saved = args.out / "checkpoint.pt"
    if args.overwrite and not args.resume:
        saved.unlink(missing_ok=True)
    given = spec_in(args.solver)
    solver = _with(given, steps=value(args.steps)) if args.steps else given
    prior = _with(_prior_spec(args), **({"dtype": args.dtype} if args.dtype else {}))
    try:
        result = restore(
            args.measurement,
            args.operator,
            _noise_spec(args),
            _with(prior, **({"compile": True} if args.compile else {})),
            solver,
            schedule=args.schedule,
            scale=args.scale,
            seed=args.seed,
            samples=args.samples,
            batch_size=args.batch_size,
            shape=_shape(args.shape),
            reference=args.reference,
            metrics=args.metrics.split(",") if args.metrics else None,
            device=args.device,
            stop_at=args.stop_at,
            record_every=args.record_every,
            progress=not args.quiet and sys.stderr.isatty(),
            checkpoint=saved,
            resume=args.resume,
        )
    except KeyboardInterrupt:
        where = f"; repeat the command with --resume to continue ({saved})" if saved.exists() else ""
        print(f"xhat: interrupted{where}", file=sys.stderr)
        return 130
    try:
        result.save(args.out, args.depth, formats, args.overwrite)
    except DataError as e:
        if result.checkpoint and result.checkpoint.stored is result.checkpoint.last:
            again = f"the finished run is kept in {saved}: repeat the command with --resume once that is mended"
            raise DataError(f"{e}; {again}") from e
        raise
    if not args.quiet:
        print(summary(result))
        print(f"{args.out}: {', '.join(sorted(p.name for p in args.out.iterdir() if not p.name.startswith('.')))}")
    return 0


def summary(result: Restoration) -> str:
    """The parts, the cost, the residuals and the metrics of a restoration, in a few lines of text."""
    r, calls = result.record, result.calls
    knows = "" if r["prior"] == "none" else f" with {r['prior']}"
    lines = [f"{r['operator']}, {r['noise']}{in_levels(result.problem.noise)}; {r['solver']}{knows}"]
    lines.append(
        f"{calls.forwards} network forwards, {calls.backwards} backwards, {calls.operator} operator calls, "
        f"{result.seconds:.1f} s on {r['device']}"
    )
    for i, (found, expected) in enumerate(zip(result.residual.tolist(), result.expected.tolist(), strict=True)):
        fit = f"residual {found:.4g}" + (f", {found / expected:.2f} times the expected" if expected else "")
        word = verdict(found, expected)
        fit += f": {word}" + (f" ({MEANS[word]})" if MEANS[word] else "")
        scores = "".join(f", {k} {float(v[i]):.4g}" for k, v in result.metrics.items() if not k.startswith("mean_"))
        lines.append(f"seed {r['seeds'][i]}: {fit}{scores}")
    if len(result.images) > 1:
        means = "".join(f", {k[5:]} {float(v):.4g}" for k, v in result.metrics.items() if k.startswith("mean_"))
        lines.append(f"mean of {len(result.images)}{means}; smallest residual: sample_{result.best:03d}")
    return "\n".join(lines)


def in_levels(noise: Noise) -> str:
    """σ of Gaussian noise also in 8-bit grey levels, as text; empty for other noise."""
    if isinstance(noise, Gaussian) and isinstance(noise.sigma, float | int):
        return f" ({noise.sigma * 127.5:.3g} of 255 grey levels)"
    return ""


def run_simulate(args: Namespace) -> int:
    """`xhat simulate`: writes the measurement and, if asked, the image that it is of."""
    outputs = [Path(p) for p in (args.out, args.reference_out) if p]
    check_apart(outputs, [split(args.image)[0], *files_in(args.operator, args.noise)])
    x = load_reference(args.image)
    if args.size or args.crop_multiple:
        if not is_picture(tuple(x.shape)):
            raise DataError(f"{args.image}: only pictures can be cropped or resized, not shape {tuple(x.shape)}")
        if min(args.size or 1, args.crop_multiple or 1) < 1:
            raise SpecError("--size and --crop-multiple must be at least 1")
    if args.size:
        side = min(x.shape[1:])
        x = resize(centre_crop(x, side, side), args.size, args.size)
    if k := args.crop_multiple:
        if min(x.shape[1:]) < k:
            raise DataError(f"{args.image}: an image of {x.shape[1]}x{x.shape[2]} has no side of {k}")
        x = centre_crop(x, x.shape[1] // k * k, x.shape[2] // k * k)
    made = simulate(x, args.operator, args.noise, args.seed)
    made.save(args.out, args.depth)
    if args.reference_out:
        save_image(args.reference_out, x, args.depth)
    if args.out.suffix.lower() in PICTURES and not args.quiet:
        print(f"xhat: note: {picture_note(made, args.depth)}", file=sys.stderr)
    return 0


def picture_note(made: Measurement, depth: int) -> str:
    """What a measurement loses when it is written as a picture of `depth` bits, as text."""
    clipped = float((made.y.abs() > 1).float().mean())
    step = 2 / (2**depth - 1)
    return (
        f"a picture clips to [-1, 1] ({clipped:.1%} of the values) and rounds to {depth} bits (error up to "
        f"{step / 2:.2g}), and does not know its operator and noise; .npz keeps all"
    )


def run_list(args: Namespace) -> int:
    """`xhat list`: prints the names of all parts, or the parts of one kind."""
    print(listing(args.kind, args.name) if args.kind else overview())
    return 0


def run_inspect(args: Namespace) -> int:
    """`xhat prior inspect`: prints what a checkpoint or folder holds."""
    print(inspect(args.path, read_options(args.prior_config) if args.prior_config else {}))
    return 0


def run_generate(args: Namespace) -> int:
    """`xhat generate`: writes generated pictures."""
    import numpy as np

    if args.count < 1 or args.size < 8 or args.seed < 0:
        raise SpecError("--count must be at least 1, --size at least 8, --seed at least 0")
    if args.out.suffix.lower() != ".npz":
        raise DataError(f"{args.out}: pictures are written as .npz")
    pictures = GENERATORS[args.what](args.count, args.size, args.seed)
    atomic(args.out, lambda file: np.savez_compressed(file, x=pictures))
    print(f"{args.out}: x {pictures.shape} of uint8")
    return 0


def run_demo(args: Namespace) -> int:
    """`xhat demo`: restores the photographs of the demo."""
    from .demo import demo

    demo(args.out, args.size, _prior_spec(args), args.quiet)
    return 0


def run_exact(args: Namespace) -> int:
    """`xhat exact`: 0 when finished, 130 when interrupted."""
    from ..exact.grid import grid
    from ..exact.scorecard import scorecard

    cells = grid(args.quick, args.problem, args.solver, args.seeds, args.samples)
    try:
        written = scorecard(cells, args.out, (os.cpu_count() or 1) if args.jobs is None else args.jobs, args.quiet)
    except KeyboardInterrupt:
        print(f"xhat: interrupted; the same command continues with {args.out}", file=sys.stderr)
        return 130
    if not args.quiet:
        print(f"{args.out}: {', '.join(written)}")
    return 0


def _with(spec: str, **options: object) -> str:
    """`spec` with more options. Raises SpecError for one that it has already."""
    found = parse(spec)
    if twice := sorted(found.options.keys() & options.keys()):
        raise SpecError(f"{spec!r}: option {', '.join(twice)} is given twice")
    return str(found.with_(**options)) if options else spec


def _prior_spec(args: Namespace) -> str:
    """A path takes options only as the spec it stands for."""
    prior: str = args.prior
    if args.dtype or args.compile or args.prior_config:
        prior = path_spec(prior)
    prior = trusted(prior) if args.trust else prior
    return _with(prior, **(read_options(args.prior_config) if args.prior_config else {}))


def _noise_spec(args: Namespace) -> str | None:
    """The noise that --noise or --sigma names: `12/255` is 12 of 255 grey levels, `auto` is to be estimated."""
    if args.sigma is None:
        noise: str | None = args.noise
        return noise
    if args.noise:
        raise SpecError("--sigma stands for --noise gaussian:sigma=...; give one of them")
    if args.sigma == AUTO:
        return AUTO
    number, slash, white = args.sigma.partition("/")
    try:
        sigma = float(number) * 2 / float(white) if slash else float(number)
    except (ValueError, ZeroDivisionError):
        raise SpecError(f"--sigma: expected 0.05, 12/255 or auto, not {args.sigma!r}") from None
    if not 0 < sigma < 2:
        raise SpecError(
            f"--sigma {args.sigma}: images lie in [-1, 1]; for {number} of 255 grey levels say {number}/255"
        )
    return f"gaussian:sigma={sigma:.4g}"


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        shape = tuple(int(n) for n in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise SpecError(f"--shape: expected numbers such as 3,256,256, not {text!r}")
    return shape
