"""What each command does once its arguments are read. Each returns the exit code."""

import os
import sys
import time
from argparse import Namespace
from pathlib import Path

from ..checks import SEEDS, whole
from ..effort import check_time, estimating, repeated
from ..errors import FITTING, DataError, SpecError, about
from ..files.cut import Cut
from ..files.folder import check_apart, check_new, files_in
from ..files.measurement import Measurement
from ..files.pictures import PICTURES, save_image
from ..files.readers.load import load_reference, split
from ..files.targets import BART, is_pattern, sources
from ..files.writing import atomic
from ..notes import tell
from ..priors.generated import GENERATORS, check_pictures
from ..priors.inspect import inspect
from ..spec import lookup
from ..task.calibrate import calibrate
from ..task.coverage import check_place
from ..task.simulate import simulate
from .options import read_options
from .restoring import noise_spec, prior_spec, run_one
from .several import run_several


def run_restore(args: Namespace) -> int:
    """`xhat restore` of one measurement or of several: 0 when finished, 1 if some of several failed, 130 when
    interrupted. Raises an XhatError for a mistake of the user.
    """
    out = str(args.out)
    found = sources(args.measurements, None if is_pattern(out) else args.out)
    one = args.measurements[:1], [args.measurements[0] + BART[0]]
    if [source.path for source in found] in one and not is_pattern(out):
        return run_one(args, found[0].path)
    return run_several(args, found)


def run_simulate(args: Namespace) -> int:
    """`xhat simulate`: writes the measurement and, if asked, the image that it is of."""
    whole("--seed", args.seed, 0, SEEDS)
    cut = Cut(args.crop, args.size, args.crop_multiple)
    outputs = [Path(p) for p in (args.out, args.reference_out) if p is not None]
    for path, words in zip(
        outputs, ("measurements are written as .npz or as a picture", "it is a picture"), strict=False
    ):
        if path.suffix.lower() not in PICTURES and (path.suffix.lower() != ".npz" or path != outputs[0]):
            raise DataError(f"{path}: {words} ({', '.join(PICTURES)})")
    check_apart(outputs, [split(args.image)[0], *files_in(args.operator, args.noise)])
    for path in outputs:
        check_new(path, args.overwrite)
    x = load_reference(args.image)
    if cut:
        x = cut(x, args.image)
    with about(args.image, (*FITTING, DataError)):
        made = simulate(x, args.operator, noise_spec(args.noise), args.seed)
    made.save(args.out, args.depth)
    if args.reference_out is not None:
        save_image(args.reference_out, x, args.depth)
    if args.out.suffix.lower() in PICTURES and not args.quiet:
        tell(picture_note(made, args.depth))
    return 0


def picture_note(made: Measurement, depth: int) -> str:
    """What a measurement loses when it is written as a picture of `depth` bits, as text."""
    clipped = float((made.y.abs() > 1).float().mean())
    step = 2 / (2**depth - 1)
    return (
        f"a picture clips to [-1, 1] ({clipped:.1%} of the values) and rounds to {depth} bits (error up to "
        f"{step / 2:.2g}), and does not know its operator and noise; .npz keeps all"
    )


def run_calibrate(args: Namespace) -> int:
    """`xhat calibrate`: writes how wide intervals must be, and prints what images that were left out hold."""
    if args.out.suffix.lower() != ".json":
        raise DataError(f"{args.out}: a calibration is written as .json")
    check_place(args.out)
    told = not args.quiet and sys.stderr.isatty()
    images = [str(source.path) for source in sources(args.images)]
    repeated(len(images))
    found = calibrate(
        images,
        args.operator,
        noise_spec(args.noise),
        prior_spec(args),
        args.solver,
        samples=args.samples,
        schedule=args.schedule,
        cut=Cut(args.crop, args.size),
        seed=args.seed,
        batch_size=args.batch_size,
        device=args.device,
        watch=(lambda i, n: print(f"xhat: image {i} of {n}", file=sys.stderr)) if told else None,
    )
    found.save(args.out)
    if not args.quiet:
        print(f"{found.parts['solver']} with {found.parts['prior']}, {found.images} images")
        print("level   scale of the standard deviation   held in images left out")
        for level, scale in found.scales.items():
            print(f"{100 * level:4.1f} %   {scale:31.2f}   {100 * found.covered[level]:21.1f} %")
    return 0


def run_inspect(args: Namespace) -> int:
    """`xhat prior inspect`: prints what a checkpoint or folder holds."""
    print(inspect(args.path, read_options(args.prior_config) if args.prior_config else {}))
    return 0


def run_generate(args: Namespace) -> int:
    """`xhat generate`: writes generated pictures."""
    import numpy as np

    generator = lookup(args.what, GENERATORS)
    check_pictures("--", args.count, args.size, args.seed)
    if args.out.suffix.lower() != ".npz":
        raise DataError(f"{args.out}: pictures are written as .npz")
    check_new(args.out, args.overwrite)
    if args.count > 1 and estimating():
        began = time.monotonic()
        generator(1, args.size, args.seed)
        check_time((time.monotonic() - began) * args.count, f"{args.count:,} pictures", "fewer --count or --size")
    pictures = generator(args.count, args.size, args.seed)
    atomic(args.out, lambda file: np.savez_compressed(file, x=pictures))
    print(f"{args.out}: x {pictures.shape} of uint8")
    return 0


def run_demo(args: Namespace) -> int:
    """`xhat demo`: restores the photographs of the demo."""
    from .demo import demo

    demo(args.out, args.size, prior_spec(args), args.quiet)
    return 0


def run_exact(args: Namespace) -> int:
    """`xhat exact`: 0 when finished, 130 when interrupted."""
    from ..exact.grid import grid
    from ..exact.sbc import calibrate, trials
    from ..exact.scorecard import scorecard

    given = {"--quick": args.quick, "--samples": args.samples, "--jobs": args.jobs}
    if args.sbc and (idle := [name for name, v in given.items() if v]):
        raise SpecError(f"{', '.join(idle)} has no meaning with --sbc")
    jobs = (os.cpu_count() or 1) if args.jobs is None else args.jobs
    try:
        if args.sbc:
            written = calibrate(trials(args.problem, args.solver, args.seeds), args.out, args.quiet)
        else:
            cells = grid(args.quick, args.problem, args.solver, args.seeds, args.samples)
            written = scorecard(cells, args.out, jobs, args.quiet)
    except KeyboardInterrupt:
        print(f"xhat: interrupted; the same command continues with {args.out}", file=sys.stderr)
        return 130
    if not args.quiet:
        print(f"{args.out}: {', '.join(written)}")
    return 0
