"""`xhat restore`: what its arguments mean, and how one measurement becomes a folder or a picture."""

import math
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..baselines import BASELINES
from ..errors import DataError, SpecError, about
from ..files import exports
from ..files.arrays import black_white
from ..files.cut import Cut
from ..files.folder import alone, files_in
from ..files.pictures import LEVELS
from ..files.room import text_of
from ..files.suffixes import PICTURES, UNWRITTEN
from ..files.video import check_writable
from ..likelihoods import Likelihood
from ..likelihoods.verdict import MEANS
from ..noise import NOISES, Gaussian, Noiseless
from ..operators.modality import Complex
from ..priors import path_spec, trusted
from ..solvers import SOLVERS
from ..spec import Spec, parameters, parse, short, value
from ..spec import text_of as literal
from ..task.film import FLICKER
from ..task.look import AUTO
from ..task.parts import spec_in
from ..task.picture import check_picture, checkpoint_beside, names_picture
from ..task.restoration import Restoration, check_out
from ..task.restore import restore
from ..task.samplers import POINT
from ..task.usual import UNNAMED, unnamed
from .options import read_options


def run_one(args: Namespace, measurement: str) -> int:
    """0 when finished, 130 when interrupted. Raises an XhatError for a mistake of the user."""
    formats = args.formats.split(",") if args.formats else []
    exports.check(formats)
    inputs = (measurement, args.reference, args.start, *files_in(args.operator, args.noise, args.prior, args.solver))
    if names_picture(args.out):
        if flag := "formats" if formats else "record-every" if args.record_every else "modes" if args.modes else "":
            raise SpecError(f"--{flag} writes more than one picture: give a folder, -o {args.out.with_suffix('')}")
        with alone(args.out.parent, f".{args.out.name}.lock"):
            check_writable(args.out)
            check_picture(args.out, inputs, args.overwrite, record=args.record)
            return _restored(args, measurement, formats)
    if args.out.suffix.lower() in UNWRITTEN and not args.out.is_dir():
        raise SpecError(f"-o {args.out}: pictures are written as {', '.join(PICTURES)}; a folder has another name")
    with alone(args.out):
        check_out(args.out, inputs, args.overwrite)
        return _restored(args, measurement, formats)


def options(args: Namespace) -> dict[str, Any]:
    """The arguments of `task.restore.restore` that hold for every measurement of a command."""
    if args.modes < 0 or (args.modes and args.starts == 1):
        raise SpecError("--modes N writes the N best of several --starts")
    if args.steps and args.samples > 1 and not args.solver:
        raise SpecError("--steps is an option of a solver: name one beside --samples, such as --solver mmps")
    given = spec_in(args.solver or POINT)
    chosen = _with(given, steps=value(args.steps)) if args.steps else given
    solver = None if args.samples > 1 and not args.solver else chosen
    prior = _with(prior_spec(args), **({"dtype": args.dtype} if args.dtype else {}))
    return {
        "operator": args.operator,
        "noise": _noise_spec(args),
        "prior": _with(prior, **({"compile": True} if args.compile else {})),
        "solver": solver,
        "schedule": args.schedule,
        "scale": args.scale,
        "cut": Cut(args.crop, args.size),
        "seed": args.seed,
        "samples": args.samples,
        "starts": args.starts,
        "start": args.start,
        "start_rho": args.start_rho,
        "calibration": args.calibration,
        "batch_size": args.batch_size,
        "window": args.window,
        "flicker": _flicker(args.flicker),
        "shape": _shape(args.shape),
        "value_range": _range(args.value_range),
        "metrics": args.metrics.split(",") if args.metrics else None,
        "device": args.device,
        "stop_at": args.stop_at,
        "record_every": args.record_every,
    }


def _restored(args: Namespace, measurement: str, formats: list[str]) -> int:
    picture = names_picture(args.out)
    saved = checkpoint_beside(args.out) if picture else args.out / "checkpoint.pt"
    if args.overwrite and not args.resume:
        saved.unlink(missing_ok=True)
    try:
        with about(measurement):
            result = restore(
                measurement,
                **options(args),
                reference=args.reference,
                progress=not args.quiet and sys.stderr.isatty(),
                checkpoint=saved,
                resume=args.resume,
            )
    except KeyboardInterrupt:
        where = f"; repeat the command with --resume to continue ({saved})" if saved.exists() else ""
        print(f"xhat: interrupted{where}", file=sys.stderr)
        return 130
    try:
        if picture:
            result.save_picture(args.out, args.depth, args.record, args.overwrite)
        else:
            result.save(args.out, args.depth, formats, args.overwrite, args.modes)
    except DataError as e:
        if result.checkpoint and result.checkpoint.stored is result.checkpoint.last:
            again = f"the finished run is kept in {saved}: repeat the command with --resume once that is mended"
            raise DataError(f"{e}; {again}") from e
        raise
    if not args.quiet:
        print(summary(result))
        if picture:
            print(args.out)
        else:
            print(f"{args.out}: {', '.join(sorted(p.name for p in args.out.iterdir() if not p.name.startswith('.')))}")
    return 0


def summary(result: Restoration) -> str:
    """The parts, the cost, the residuals and the metrics of a restoration, in a few lines of text."""
    r, calls = result.record, result.calls
    knows = "" if r["prior"] == "none" else f" with {r['prior']}"
    noise = chosen(r["noise"], NOISES) if isinstance(result.problem.noise, Noiseless) else r["noise"]
    solver = chosen(r["solver"], SOLVERS, BASELINES)
    lines = [f"{short(r['operator'])}, {noise}{in_levels(result.problem)}; {solver}{knows}"]
    lines.append(
        f"{calls.forwards} network forwards, {calls.backwards} backwards, {calls.operator} operator calls, "
        f"{result.seconds:.1f} s on {r['device']}"
    )
    for i, (found, expected) in enumerate(zip(result.residual.tolist(), result.expected.tolist(), strict=True)):
        fit = f"residual {found:.4g}" + (f", {found / expected:.2f} times the expected" if expected else "")
        word = result.verdict(i)
        fit += f": {word}" + (f" ({MEANS[word]})" if MEANS[word] else "")
        scores = "".join(f", {k} {float(v[i]):.4g}" for k, v in result.metrics.items() if not k.startswith("mean_"))
        lines.append(f"seed {r['seeds'][i]}: {fit}{scores}")
    if modes := result.modes:
        best = ", ".join(f"{float(modes.score[i]):.1f} (seed {modes.seeds[i]})" for i in modes.distinct[:4])
        lines.append(
            f"best of {len(modes.seeds)} starts, which came to {len(modes.distinct)} different images; "
            f"-log posterior {best}"
        )
    if len(result.images) > 1:
        means = "".join(f", {k[5:]} {float(v):.4g}" for k, v in result.metrics.items() if k.startswith("mean_"))
        lines.append(f"mean of {len(result.images)}{means}; smallest residual: sample_{result.best:03d}")
    return "\n".join(lines)


def chosen(spec: str, *registries: Mapping[str, Any]) -> str:
    """`spec` of a record, which names every option, with those alone that are not the defaults of its part."""
    said = parse(spec)
    part = next((registry[said.name] for registry in registries if said.name in registry), None)
    if part is None:
        return spec
    usual = {name: literal(p.default) for name, p in parameters(part).items()}
    return str(Spec(said.name, {k: v for k, v in said.options.items() if usual.get(k) != literal(v)}))


def in_levels(problem: Likelihood) -> str:
    """σ of Gaussian noise also in 8-bit grey levels, as text; empty for other noise, and for data that are none."""
    noise = problem.noise
    picture = problem.level_of_images and not isinstance(problem.A.modality, Complex)
    if picture and isinstance(noise, Gaussian) and isinstance(noise.sigma, float | int):
        return f" ({noise.sigma * LEVELS:.3g} of 255 grey levels)"
    return ""


def _with(spec: str, **options: object) -> str:
    """`spec` with more options. Raises SpecError for one that it has already."""
    found = parse(spec)
    if twice := sorted(found.options.keys() & options.keys()):
        raise SpecError(f"{spec!r}: option {', '.join(twice)} is given twice")
    return str(found.with_(**options)) if options else spec


def prior_spec(args: Namespace) -> str:
    """The prior that the arguments name; a path takes options only as the spec it stands for."""
    prior: str = args.prior or UNNAMED
    if (args.dtype or args.compile or args.prior_config) and not unnamed(prior):
        prior = path_spec(prior)
    prior = trusted(prior) if args.trust else prior
    return _with(prior, **(read_options(args.prior_config) if args.prior_config else {}))


def _noise_spec(args: Namespace) -> str | None:
    """The noise that --noise or --sigma names: `12/255` is 12 of 255 grey levels, `auto` is to be estimated."""
    if args.sigma is None:
        return None if args.noise is None else noise_spec(args.noise)
    if args.noise:
        raise SpecError("--sigma stands for --noise gaussian:sigma=...; give one of them")
    return AUTO if args.sigma == AUTO else _gaussian("--sigma", args.sigma)


def noise_spec(text: str) -> str:
    """What --noise says: a spec, or as in Python a number, the sigma of Gaussian noise, and `12/255`."""
    return _gaussian("--noise", text) if text[:1].isdigit() or text[:1] == "." else text


def _gaussian(flag: str, text: str) -> str:
    """The spec of Gaussian noise of sigma 0.05 or 12/255. Raises SpecError for what is no such number."""
    number, slash, white = text.partition("/")
    try:
        sigma = float(number) * 2 / float(white) if slash else float(number)
    except (ValueError, ZeroDivisionError):
        raise SpecError(f"{flag}: expected 0.05, 12/255 or auto, not {text!r}") from None
    if not 0 < sigma < math.inf:
        raise SpecError(
            f"{flag} {text}: expected more than 0, such as 0.05 or 12/255; without noise say --noise noiseless"
        )
    if sigma >= 2:
        grey = f"; for {number} of 255 grey levels say {number}/255" if not slash and float(number) < 255 else ""
        raise SpecError(f"{flag} {text}: is more than images have, which lie in [-1, 1]{grey}")
    return f"gaussian:sigma={sigma:.4g}"


def _flicker(text: str | None) -> str | list[float] | None:
    """What --flicker says: auto, off, or gains, written out or in a file of text."""
    if text is None or text in FLICKER:
        return text
    try:
        listed = text if any(c.isdigit() for c in text) and not Path(text).is_file() else text_of(Path(text))
        return [float(g) for g in listed.replace(",", " ").split()]
    except (OSError, ValueError) as e:
        raise SpecError(
            f"--flicker: expected auto, off, gains such as 1,0.93,1.1, or a file of them, not {text!r}"
        ) from e


def _range(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return black_white([float(n) for n in text.split(",")])
    except ValueError as e:  # a SpecError is one, too
        raise SpecError(f"--value-range: expected black and white, such as 0,1 or 0,255, not {text!r}") from e


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
