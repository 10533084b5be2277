"""The command line: `xhat restore`, `xhat simulate`, `xhat list`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__
from .data import PICTURES, centre_crop, is_picture, resize, save_image
from .errors import DataError, SpecError, XhatError
from .listing import KINDS, listing, overview
from .measurement import Measurement, load_reference
from .noise import Gaussian, Noise
from .restoration import Restoration, check_folder
from .restore import restore
from .simulate import simulate
from .spec import text_of, value

RESTORE = """examples:
  xhat restore y.png --operator gaussian_blur --noise gaussian:sigma=0.05 -o out/
  xhat restore y.png --operator inpaint:mask=mask.png --noise noiseless --solver ddnm -o out/
  xhat restore y.npz --samples 8 --seed 3 --batch-size 4 --reference x.png -o out/
  xhat restore y.npz --steps 20 --dtype bfloat16 --stop-at 1.0 -o out/
  xhat restore y.npz -o out/ --resume          goes on after Ctrl-C, bit for bit

Parts are spec strings, name:key=value,key=value; `xhat list` shows names and options.
A .npz written by `xhat simulate` knows its operator and noise. sigma is in the units of y, where
images lie in [-1, 1]: sigma = 0.05 is 6.4 of 255 grey levels.
"""
SIMULATE = """examples:
  xhat simulate x.png --operator gaussian_blur --noise gaussian:sigma=0.05 -o y.png
  xhat simulate x.png --operator phase_retrieval --noise gaussian:sigma=0.05 --size 256 -o y.npz
  xhat simulate x.png --operator super_resolution --noise gaussian:sigma=0.05 --crop-multiple 4 -o y.npz \\
      --reference-out x4.png
"""
LIST = """examples:
  xhat list                     all names
  xhat list solvers             options, defaults, papers
  xhat list solvers lmaps       one of them in full
"""


def main(argv: Sequence[str] | None = None) -> int:
    """0 if all went well, 2 for a mistake of the user's (one line on stderr), 130 after Ctrl-C."""
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except XhatError as e:
        print(f"xhat: {' '.join(str(e).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("xhat: interrupted", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="xhat", description="What was x, given y = A(x) + noise?", epilog="xhat COMMAND --help has examples."
    )
    top.add_argument("--version", action="version", version=f"xhat {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, help: str, epilog: str) -> argparse.ArgumentParser:
        raw = argparse.RawDescriptionHelpFormatter
        return commands.add_parser(name, help=help, description=help, epilog=epilog, formatter_class=raw)

    _restore_arguments(command("restore", "restore an image from a measurement of it", RESTORE))
    _simulate_arguments(command("simulate", "make a measurement of a known image", SIMULATE))
    p = command("list", "list operators, noises, solvers, priors, metrics and schedules", LIST)
    p.add_argument("kind", nargs="?", choices=KINDS, help="all kinds by name if left out")
    p.add_argument("name", nargs="?", help="one of them in full")
    p.set_defaults(run=run_list)
    return top


def _restore_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("measurement", help="picture of 8 or 16 bits, or .npy, .npz, .pt")
    p.add_argument("-o", "--out", required=True, type=Path, help="folder of the results")
    p.add_argument("--operator", metavar="SPEC", help="what made the measurement; a .npz may know it")
    p.add_argument("--noise", metavar="SPEC", help="its noise; a .npz may know it")
    p.add_argument("--solver", metavar="SPEC", default="lmaps", help="default: lmaps")
    p.add_argument("--prior", metavar="SPEC", default="photo", help="or a diffusers folder; default: photo")
    p.add_argument(
        "--schedule", metavar="SPEC", help="noise levels, e.g. edm:sigma_max=100,rho=7; default: the prior's"
    )
    p.add_argument("--steps", metavar="N", help="short for the solver's option steps")
    p.add_argument("--samples", type=int, default=1, metavar="N", help="N samples, their mean and standard deviation")
    p.add_argument("--seed", type=int, default=0, help="sample i uses seed + i; default: 0")
    p.add_argument("--batch-size", type=int, metavar="N", help="so many samples at a time; changes no result")
    p.add_argument("--reference", metavar="FILE", help="the true image, for metrics")
    p.add_argument("--metrics", metavar="NAMES", help="comma-separated, see xhat list metrics; default: psnr,ssim")
    p.add_argument("--shape", metavar="C,H,W", help="of the image, where it does not follow from the measurement")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda or mps; default: auto")
    p.add_argument("--dtype", help="short for the prior's option dtype, e.g. bfloat16")
    p.add_argument("--compile", action="store_true", help="short for the prior's option compile=true")
    p.add_argument("--stop-at", type=float, metavar="R", help="freeze an image at R times the expected residual")
    p.add_argument("--record-every", type=int, default=0, metavar="K", help="keep every Kth estimate: trajectory.png")
    p.add_argument("--depth", type=int, choices=(8, 16), default=8, help="bits of the pictures written; default: 8")
    p.add_argument("--resume", action="store_true", help="go on with the interrupted run in the folder")
    p.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no summary")
    p.set_defaults(run=run_restore)


def _simulate_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("image", help="picture of 8 or 16 bits, or .npy, .npz, .pt")
    p.add_argument("-o", "--out", required=True, type=Path, help=".npz, or a picture (clipped and rounded)")
    p.add_argument("--operator", metavar="SPEC", required=True)
    p.add_argument("--noise", metavar="SPEC", required=True)
    p.add_argument("--seed", type=int, default=0, help="of the noise; default: 0")
    p.add_argument("--size", type=int, metavar="N", help="crop the central square and resize it to N x N first")
    p.add_argument("--crop-multiple", type=int, metavar="K", help="crop to sides that are multiples of K first")
    p.add_argument("--reference-out", metavar="FILE", help="write the cropped or resized image, too")
    p.add_argument("--depth", type=int, choices=(8, 16), default=8, help="bits of a picture; default: 8")
    p.add_argument("-q", "--quiet", action="store_true", help="no notes")
    p.set_defaults(run=run_simulate)


def run_restore(args: argparse.Namespace) -> int:
    check_folder(args.out)
    saved = args.out / "checkpoint.pt"
    if saved.exists() and not args.resume:
        print(f"xhat: note: {saved} of an interrupted run is not used; --resume would go on with it", file=sys.stderr)
    solver = _with(args.solver, steps=value(args.steps)) if args.steps else args.solver
    prior = _with(_prior_spec(args), **({"dtype": args.dtype} if args.dtype else {}))
    try:
        result = restore(
            args.measurement,
            args.operator,
            args.noise,
            _with(prior, **({"compile": True} if args.compile else {})),
            solver,
            schedule=args.schedule,
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
        where = f"; go on with the same command and --resume ({saved})" if saved.exists() else ""
        print(f"xhat: interrupted{where}", file=sys.stderr)
        return 130
    result.save(args.out, args.depth)
    if not args.quiet:
        print(summary(result))
        print(f"{args.out}: {', '.join(sorted(p.name for p in args.out.iterdir()))}")
    return 0


def summary(result: Restoration) -> str:
    """What a user wants to know at the end, in a few lines."""
    r, calls = result.record, result.calls
    lines = [f"{r['operator']}, {r['noise']}{in_levels(result.problem.noise)}; {r['solver']} with {r['prior']}"]
    lines.append(
        f"{calls.forwards} network forwards, {calls.backwards} backwards, {calls.operator} operator calls, "
        f"{result.seconds:.1f} s on {r['device']}"
    )
    for i, (found, expected) in enumerate(zip(result.residual.tolist(), result.expected.tolist(), strict=True)):
        fit = f"residual {found:.4g}" + (f", {found / expected:.2f} times the expected" if expected else "")
        scores = "".join(f", {k} {float(v[i]):.4g}" for k, v in result.metrics.items() if not k.startswith("mean_"))
        lines.append(f"seed {r['seeds'][i]}: {fit}{scores}")
    if len(result.images) > 1:
        means = "".join(f", {k[5:]} {float(v):.4g}" for k, v in result.metrics.items() if k.startswith("mean_"))
        lines.append(f"mean of {len(result.images)}{means}; smallest residual: sample_{result.best:03d}")
    return "\n".join(lines)


def in_levels(noise: Noise) -> str:
    """A σ also in the 8-bit levels people know from photographs."""
    if isinstance(noise, Gaussian) and isinstance(noise.sigma, float | int):
        return f" ({noise.sigma * 127.5:.3g} of 255 grey levels)"
    return ""


def run_simulate(args: argparse.Namespace) -> int:
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
    """What a picture loses of a measurement."""
    clipped = float((made.y.abs() > 1).float().mean())
    step = 2 / (2**depth - 1)
    return (
        f"a picture clips to [-1, 1] ({clipped:.1%} of the values) and rounds to {depth} bits (error up to "
        f"{step / 2:.2g}), and does not know its operator and noise; .npz keeps all"
    )


def run_list(args: argparse.Namespace) -> int:
    print(listing(args.kind, args.name) if args.kind else overview())
    return 0


def _with(spec: str, **options: object) -> str:
    """`spec` with more options; one given twice is refused when it is parsed."""
    more = ",".join(f"{k}={text_of(v)}" for k, v in options.items())
    return spec + ("," if ":" in spec else ":") + more if more else spec


def _prior_spec(args: argparse.Namespace) -> str:
    """A folder takes options only as the spec it stands for."""
    prior: str = args.prior
    if (args.dtype or args.compile) and Path(prior).expanduser().is_dir():
        return f"diffusers:path={text_of(prior)}"
    return prior


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
