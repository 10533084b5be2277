"""The arguments of every command, and `main`, which runs one."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from .. import __version__
from ..app.command import arguments as app_arguments
from ..bench import arguments as bench
from ..bench.arguments import TRUST, YES, later
from ..effort import asked, consenting
from ..errors import SpecError, TooMuchError
from ..files.extras import page
from ..train.arguments import train_arguments
from .completion import SCRIPTS, commands, completed, script
from .ending import Parser, ended
from .manual import manual

RESTORE = """examples:
  xhat restore photo.jpg -o out/               looks at the file, and says what it took the damage to be
  xhat restore photo.jpg -o better.png         writes one picture and nothing else
  xhat restore a.jpg b.png holiday/ -o out/    several files: a picture of each, contact.png and summary.jsonl
  xhat restore 'scans/*.tif' -o '{folder}/{stem}_restored.png' --resume       goes on where it was interrupted
  xhat restore small.png --scale 4 --sigma 2/255 -o out/
  xhat restore y.png --operator gaussian_blur --noise gaussian:sigma=0.05 -o out/
  xhat restore y.png --operator inpaint:fill=mask.png --noise noiseless --solver ddnm -o out/
  xhat restore thumb.png --operator 'jpeg:quality=75 @ super_resolution:factor=2' --noise noiseless -o out/
                                               made smaller, then saved as a JPEG: in A @ B, B comes first
  xhat restore y.npz --samples 8 --seed 3 --batch-size 4 --reference x.png -o out/
  xhat restore y.npz --steps 20 --dtype bfloat16 --stop-at 1.0 -o out/
  xhat restore y.npz -o out/ --resume          continues after Ctrl-C, bit for bit

A SPEC is name:key=value,key=value; `xhat list` shows the names and their options. A .npz written by
`xhat simulate` holds its operator and noise. sigma is in the units of y. Images lie in [-1, 1], so
sigma = 0.05 means 6.4 of 255 grey levels.
"""
FIX = """examples:
  xhat fix photo.jpg                              noise, JPEG; writes photo_fixed.png beside it
  xhat fix holiday/ -o better/                    every picture in a folder
  xhat fix scan.png --scratches mask.png          the mask is white where the scan is damaged
  xhat fix scan.png --scratches red               you have painted the damage red
  xhat fix thumbnail.jpg --enlarge 4
  xhat fix photo.jpg --deblur                     blurred, shaken or out of focus: how is found out
  xhat fix photo.jpg --deblur 1.5                 blurred by about 1.5 pixels; try --crop 256x256 first

The command that it stands for is shown; `xhat restore --help` explains it.
"""
SIMULATE = """examples:
  xhat simulate x.png --operator gaussian_blur --noise gaussian:sigma=0.05 -o y.png
  xhat simulate x.png --operator phase_retrieval --noise gaussian:sigma=0.05 --size 256 -o y.npz
  xhat simulate x.png --operator super_resolution --noise gaussian:sigma=0.05 --crop-multiple 4 -o y.npz \\
      --reference-out x4.png
"""
CALIBRATE = """examples:
  xhat calibrate holiday/ --operator inpaint:keep=0.3 --noise gaussian:sigma=0.05 --size 64 -o inpaint.json
  xhat restore y.npz --samples 8 --calibration inpaint.json -o out/

Each picture is damaged, restored and compared with itself, so take twenty or more like those to be restored.
"""
LIST = """examples:
  xhat list                     shows all names
  xhat list solvers             shows options, defaults and papers of all solvers
  xhat list solvers --for jpeg  shows those that take an operator
  xhat list solvers lmaps       shows one of them in full
"""


DEMO = """examples:
  xhat demo                                    four photographs of 256 x 256; takes a few minutes on two cores
  xhat demo --size 128 --dtype bfloat16        is faster
"""
APP = """examples:
  xhat app                                     opens a page: drop a picture, paint over scratches, take the result
  xhat app --folder ~/Pictures/xhat --port 8000 --no-browser

The page is served on 127.0.0.1 and makes no other network requests. Pictures, masks and results are kept in the folder.
"""
WHAT = "black holes and what could be mistaken for one; velocities of the ground; vorticities of a flow"
GENERATE = """examples:
  xhat generate blackhole --count 12000 -o pictures.npz
  xhat generate velocity --count 12000 --size 128 -o pictures.npz
  xhat train denoiser pictures.npz --recipe black_hole --out mine --minutes 60
"""
EXACT = f"""examples:
  xhat exact --quick -o quick/               small problems of every kind; takes under 3 minutes
  xhat exact -o full/                        the full table; takes under 2 hours on two cores
  xhat exact -o full/                        the same again continues where it stopped
  xhat exact -o mine/ --problem mixture:d=80,m=2 --problem grf:side=16 --solver lmaps --solver dps:c=0.2 --seeds 5
  xhat exact -o sbc/ --sbc                   calibration of all samplers, 400 problems of three kinds
  xhat exact -o mine/ --quick --solver exact --solver mine:Sampler    your own class, from the file mine.py here

Problems are mixture:d=8,m=1 (sigma is drawn), mixture:d=8,m=1,sigma=0.1, two, grf and funnel.
{page("exactness.md")} explains them, the columns of the table and its results.
"""


PRIOR = """examples:
  xhat prior inspect ffhq_10m.pt               shows architecture, image shape, parametrisation and noise levels
  xhat prior inspect mine.pt --prior-config num_heads=4,noise_schedule=linear
"""
CROP = "first crop to W x H pixels: 256x256 in the middle, 256x256+X+Y from column X and row Y on"
OVERWRITE = "replace a file that is there already"
CONFIG = "options of the prior that its file does not contain: KEY=VALUE,... or a .toml or .json file"


COMPLETION = """examples:
  source <(xhat completion bash)               in ~/.bashrc
  source <(xhat completion zsh)                in ~/.zshrc, behind compinit
  xhat completion fish > ~/.config/fish/completions/xhat.fish
"""
HELP = """examples:
  xhat help                                    the commands
  xhat help restore                            the same as xhat restore --help
  xhat help --man > xhat.1                     all of it as a manual page; man ./xhat.1 shows it
"""

PATHS = {  # arguments that are paths, by their names here
    "out": "-o",
    "reference": "--reference",
    "reference_out": "--reference-out",
    "calibration": "--calibration",
    "init": "--init",
    "autoencoder": "--autoencoder",
    "source": "--from",
}
LISTED = ("operators", "noises", "solvers", "baselines", "priors", "metrics", "schedules", "data", "suites")
GENERATED = ("blackhole", "skies", "velocity", "vorticity")  # of this package; a plug-in may bring others


def command_of(name: str) -> Callable[[argparse.Namespace], int]:
    """The function that runs the command `name`, imported when it is called."""
    return later("xhat.cli.commands", f"run_{name}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command in `argv` and returns the exit code; `ended` says what it is."""
    return ended(lambda: _run(parser().parse_args(argv)))  # Ctrl-C is clean while the parser is built, too


def _run(args: argparse.Namespace) -> int:
    _check_paths(args)
    if not hasattr(args, "yes"):
        return int(args.run(args))
    try:
        with consenting(args.yes):
            return int(args.run(args))
    except TooMuchError as e:
        if args.yes or not asked(str(e)):
            raise
    with consenting(True):
        return int(args.run(args))


def _check_paths(args: argparse.Namespace) -> None:
    """Raises SpecError for a path that is empty, as an unset variable of a shell leaves it, or that none can have."""
    for name, flag in PATHS.items():
        given = getattr(args, name, None)
        if isinstance(given, str) and (not given.strip() or "\0" in given):
            raise SpecError(f"{flag}: {given!r} is no path")
    if isinstance(getattr(args, "out", None), str):
        args.out = Path(args.out)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = Parser(
        prog="xhat",
        description="What was x, given y = A(x) + noise?",
        epilog=f"xhat COMMAND --help has examples. Documentation: {page('index.md')}",
    )
    top.add_argument("--version", action="version", version=f"xhat {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, help: str, epilog: str) -> argparse.ArgumentParser:
        raw = argparse.RawDescriptionHelpFormatter
        return commands.add_parser(name, help=help, description=help, epilog=epilog, formatter_class=raw)

    _restore_arguments(command("restore", "restore an image from a measurement of it", RESTORE))
    _fix_arguments(command("fix", "mend a picture: noise, JPEG, scratches, too small, blurred", FIX))
    _calibrate_arguments(command("calibrate", "measure how wide intervals must be, on images you know", CALIBRATE))
    _simulate_arguments(command("simulate", "make a measurement of a known image", SIMULATE))
    _demo_arguments(command("demo", "restore real photographs under several kinds of damage", DEMO))
    app_arguments(command("app", "restore pictures in the browser, on this machine alone", APP))
    _exact_arguments(command("exact", "test solvers where the posterior is known", EXACT))
    train_arguments(command("train", "train a prior on your own images", ""))
    _prior_arguments(command("prior", "show what a checkpoint or a folder holds", PRIOR))
    bench.add(command)
    _generate_arguments(command("generate", "make pictures to train a prior on", GENERATE))
    p = command("list", "list what xhat has: operators, noises, solvers, priors, metrics, data sets and so on", LIST)
    p.add_argument("kind", nargs="?", choices=LISTED, help="the kind to list; without it, the names of all kinds")
    p.add_argument("name", nargs="?", help="one part of that kind, to show in full")
    p.add_argument("--for", dest="of", metavar="SPEC", help="of the solvers, only those that take this operator")
    p.set_defaults(run=later("xhat.cli.overview", "run"))
    p = command("completion", "let the tab key of a shell complete commands, options and names", COMPLETION)
    p.add_argument("shell", choices=tuple(SCRIPTS), help="the shell whose script is printed")
    p.add_argument("--line", help=argparse.SUPPRESS)  # what the script asks
    p.add_argument("--breaks", default="", help=argparse.SUPPRESS)
    p.set_defaults(run=_run_completion)
    p = command("help", "explain a command", HELP)
    p.add_argument("command", nargs="*", help="the command; without one, all of them in a line each")
    p.add_argument("--man", action="store_true", help="print a manual page of every command, as groff reads it")
    p.set_defaults(run=_run_help)
    return top


def _run_completion(args: argparse.Namespace) -> int:
    """`xhat completion`: prints the script of a shell, or what could stand at the end of a line."""
    if args.line is None:
        print(script(args.shell), end="")
    else:
        for word in completed(parser(), args.line, args.breaks):
            print(word)
    return 0


def _run_help(args: argparse.Namespace) -> int:
    """`xhat help`: prints what `--help` of a command prints, or the manual page."""
    shown = parser()
    if args.man:
        print(manual(shown), end="")
        return 0
    for word in args.command:
        inner = commands(shown)
        if word not in inner:
            raise SpecError(f"help: {shown.prog} has no command {word!r}, only {', '.join(inner) or 'options'}")
        shown = inner[word]
    shown.print_help()
    return 0


def _restore_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "measurements",
        nargs="+",
        metavar="measurement",
        help="files of measurements: pictures of 8 or 16 bits, .npy, .npz, .pt, or files of a science; scan.h5#12 is "
        "item 12 of scan.h5, scan.h5#all are all slices of a volume, scan.h5#3-12 some; a folder "
        "stands for the pictures in it, 'scans/*.jpg' for all that fit",
    )
    p.add_argument(
        "-o",
        "--out",
        required=True,
        help="the folder to write the results to; x.png, .jpg, .tif or .webp writes only that picture (the mean, if "
        "there are several samples); '{stem}_restored.png' names the pictures of several files, where {name}, {suffix} "
        "and {folder} work as well",
    )
    p.add_argument("--record", action="store_true", help="with a picture as -o, write its record beside it")
    p.add_argument("--operator", metavar="SPEC", help="what made the measurement; default: what its file says or shows")
    p.add_argument(
        "--noise", metavar="SPEC", help="the noise of the measurement; default: what its file says, or an estimate"
    )
    p.add_argument(
        "--sigma",
        metavar="S",
        help="Gaussian noise in place of --noise: 0.05 in the units of images in [-1, 1], 12/255 for 12 of 255 grey "
        "levels, auto to estimate it",
    )
    p.add_argument("--scale", type=int, metavar="K", help="enlarge K times, in place of --operator")
    p.add_argument("--crop", metavar="WxH", help=CROP)
    p.add_argument("--size", type=int, metavar="N", help="first crop the central square and resize it to N x N")
    p.add_argument(
        "--solver", metavar="SPEC", help="the method; default: lmaps, and with --samples one that draws samples"
    )
    p.add_argument(
        "--prior",
        metavar="SPEC",
        help="a spec, a checkpoint or a folder; default: photo, and for the data of a science the prior of its images, "
        "which is said",
    )
    p.add_argument("--prior-config", metavar="CONFIG", help=CONFIG)
    p.add_argument("--trust", action="store_true", help=TRUST)
    p.add_argument(
        "--schedule", metavar="SPEC", help="noise levels, e.g. edm:sigma_max=100,rho=7; default: those of the prior"
    )
    p.add_argument("--steps", metavar="N", help="the number of steps of the solver (its option steps)")
    p.add_argument(
        "--samples",
        type=int,
        default=1,
        metavar="N",
        help="draw N samples, and write their mean and standard deviation",
    )
    p.add_argument(
        "--starts",
        type=int,
        default=1,
        metavar="N",
        help="run a solver that returns a point from N starts and keep the result of highest posterior density",
    )
    p.add_argument(
        "--start",
        metavar="y|classical|FILE",
        help="begin at the measurement, at an answer without a prior or at a picture, with noise of --start-rho, "
        "instead of pure noise",
    )
    p.add_argument(
        "--start-rho",
        type=float,
        metavar="RHO",
        help="the noise level at which --start begins, in units of images in [-1, 1]: what is finer is drawn anew",
    )
    p.add_argument(
        "--modes", type=int, default=0, metavar="K", help="also write the K best different results of --starts"
    )
    p.add_argument(
        "--calibration",
        metavar="FILE",
        help="what xhat calibrate has measured for exactly these specs: scales the standard deviation and writes "
        "low_90 and high_90, between which 90 %% of the true pixels lay",
    )
    p.add_argument("--seed", type=int, default=0, help="sample i uses seed + i; default: 0")
    p.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="compute N samples at a time; changes time and memory, and results by rounding only",
    )
    p.add_argument(
        "--window",
        type=int,
        metavar="N",
        help="restore N frames of a video or slices of a volume at a time; default: as many as memory holds",
    )
    p.add_argument(
        "--flicker",
        metavar="auto|off|G,G,...|FILE",
        help="the light of a film that flickers: estimate a gain for each frame and take them out, leave it, or the "
        "gains themselves, one number > 0 for each frame; default: auto where no --operator is given",
    )
    p.add_argument("--reference", metavar="FILE", help="the true image, which is used for metrics only")
    p.add_argument(
        "--metrics",
        metavar="NAMES",
        help="names from xhat list metrics, or package.module:ROW, separated by commas; default: those that suit the "
        "operator's images",
    )
    p.add_argument("--shape", metavar="C,H,W", help="shape of the image, if it does not follow from the measurement")
    p.add_argument(
        "--value-range",
        metavar="B,W",
        help="what black and white are in a picture in a .npy, .npz or .pt file of floats, 0,1 or 0,255; default: -1,1",
    )
    p.add_argument("--device", default="auto", help="auto, cpu, cuda or mps; default: auto")
    p.add_argument("--dtype", help="the option dtype of the prior, e.g. bfloat16")
    p.add_argument("--compile", action="store_true", help="set the option compile of the prior")
    p.add_argument(
        "--stop-at",
        type=float,
        metavar="R",
        help="stop a sample once its residual is at most R times the one that the noise explains",
    )
    p.add_argument(
        "--record-every", type=int, default=0, metavar="K", help="keep every Kth estimate and write trajectory.png"
    )
    p.add_argument(
        "--depth", type=int, choices=(8, 16), help="bits of the pictures written; default: those of the picture"
    )
    p.add_argument(
        "--formats", metavar="NAMES", help="also write each image in these formats, separated by commas: nii"
    )
    p.add_argument(
        "--resume", action="store_true", help="continue the interrupted run; of several files, skip those that are done"
    )
    p.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files that xhat has not written, and an interrupted run that is not resumed",
    )
    p.add_argument("-y", "--yes", action="store_true", help=YES)
    p.add_argument("-q", "--quiet", action="store_true", help="show no progress bar and no summary")
    p.set_defaults(run=command_of("restore"))


def _fix_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("pictures", nargs="*", metavar="picture", help="pictures, folders of them, or patterns")
    p.add_argument(
        "-o",
        "--out",
        help="as for xhat restore; default: NAME_fixed.png beside the picture (a TIFF stays one), a folder "
        "beside a film, or the folder fixed for several",
    )
    p.add_argument(
        "--scratches", metavar="MASK", help="fill what is white in this picture, or what is painted in a colour: red"
    )
    p.add_argument("--enlarge", type=int, choices=(2, 4), help="make the picture 2 or 4 times larger")
    p.add_argument(
        "--deblur",
        nargs="?",
        const="auto",
        metavar="WIDTH",
        help="sharpen a picture that is blurred, shaken or out of focus: how is found out, or give a width in pixels "
        "(a standard deviation: 1 is slight, 3 is strong), or the file of the kernel, a picture of a point",
    )
    p.add_argument("--sigma", metavar="S", help="the noise, such as 12/255; default: it is estimated")
    p.add_argument("--crop", metavar="WxH", help=CROP)
    p.add_argument("--steps", metavar="N", help="the number of steps of the solver; fewer are faster")
    p.add_argument("--dtype", help="the option dtype of the prior, e.g. bfloat16")
    p.add_argument("--resume", action="store_true", help="continue an interrupted run; skip pictures that are done")
    p.add_argument("--record", action="store_true", help="write the record beside a picture")
    p.add_argument("--overwrite", action="store_true", help="replace files that xhat has not written")
    p.add_argument("-y", "--yes", action="store_true", help=YES)
    p.add_argument("-q", "--quiet", action="store_true", help="show no command, no progress bar and no summary")
    p.set_defaults(run=later("xhat.cli.fix", "run"), restore=_run_restore)


def _run_restore(argv: Sequence[str]) -> int:
    """The command that `xhat fix` stands for, with the arguments `argv`."""
    args = parser().parse_args(argv)
    _check_paths(args)
    return int(args.run(args))


def _simulate_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("image", help="the file of the true image: a picture of 8 or 16 bits, .npy, .npz or .pt")
    p.add_argument("-o", "--out", required=True, help="the file to write: .npz, or a picture (clipped and rounded)")
    p.add_argument("--operator", metavar="SPEC", required=True, help="what makes the measurement")
    p.add_argument(
        "--noise", metavar="SPEC", required=True, help="the noise to add; a number, 0.05 or 12/255, is Gaussian"
    )
    p.add_argument("--seed", type=int, default=0, help="seed of the noise; default: 0")
    p.add_argument("--crop", metavar="WxH", help=CROP)
    p.add_argument("--size", type=int, metavar="N", help="first crop the central square and resize it to N x N")
    p.add_argument("--crop-multiple", type=int, metavar="K", help="first crop to sides that are multiples of K")
    p.add_argument("--reference-out", metavar="FILE", help="also write the cropped or resized image")
    p.add_argument("--depth", type=int, choices=(8, 16), default=8, help="bits of a picture; default: 8")
    p.add_argument("--overwrite", action="store_true", help=OVERWRITE)
    p.add_argument("-y", "--yes", action="store_true", help=YES)
    p.add_argument("-q", "--quiet", action="store_true", help="print no notes")
    p.set_defaults(run=command_of("simulate"))


def _calibrate_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("images", nargs="+", metavar="image", help="true images: pictures, folders of them, or patterns")
    p.add_argument("-o", "--out", required=True, help="the .json to write, for xhat restore --calibration")
    p.add_argument("--operator", metavar="SPEC", required=True, help="what makes the measurements")
    p.add_argument(
        "--noise", metavar="SPEC", required=True, help="the noise to add; a number, 0.05 or 12/255, is Gaussian"
    )
    p.add_argument("--solver", metavar="SPEC", help="the method; default: one that draws samples")
    p.add_argument("--prior", metavar="SPEC", default="photo", help="a spec, a checkpoint or a folder; default: photo")
    p.add_argument("--prior-config", metavar="CONFIG", help=CONFIG)
    p.add_argument("--trust", action="store_true", help=TRUST)
    p.add_argument("--dtype", help="the option dtype of the prior, e.g. bfloat16")
    p.add_argument("--schedule", metavar="SPEC", help="noise levels; default: those of the prior")
    p.add_argument("--samples", type=int, default=8, metavar="N", help="draw N samples of each; default: 8")
    p.add_argument("--batch-size", type=int, metavar="N", help="compute N samples at a time")
    p.add_argument("--crop", metavar="WxH", help=CROP)
    p.add_argument("--size", type=int, metavar="N", help="first crop the central square and resize it to N x N")
    p.add_argument("--seed", type=int, default=0, help="seed of noise and samples; default: 0")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda or mps; default: auto")
    p.add_argument("-y", "--yes", action="store_true", help=YES)
    p.add_argument("-q", "--quiet", action="store_true", help="print no table")
    p.set_defaults(run=command_of("calibrate"), compile=False)


def _demo_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("-o", "--out", default="demo_out", help="the folder for the results; default: demo_out")
    p.add_argument("--size", type=int, default=256, metavar="N", help="use photographs of N x N pixels; default: 256")
    p.add_argument("--prior", metavar="SPEC", default="photo", help="a spec, a checkpoint or a folder; default: photo")
    p.add_argument("--prior-config", metavar="CONFIG", help=CONFIG)
    p.add_argument("--trust", action="store_true", help=TRUST)
    p.add_argument("--dtype", help="the option dtype of the prior, e.g. bfloat16")
    p.add_argument("--compile", action="store_true", help="set the option compile of the prior")
    p.add_argument("-q", "--quiet", action="store_true", help="show no progress bars")
    p.set_defaults(run=command_of("demo"))


def _prior_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("action", choices=("inspect",), help="inspect: show what it holds, without running a network")
    p.add_argument("path", help="a checkpoint, a diffusers folder or the name of a prior")
    p.add_argument("--prior-config", metavar="CONFIG", help=CONFIG)
    p.set_defaults(run=command_of("inspect"))


def _generate_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("what", metavar=f"{{{','.join(GENERATED)}}}", help=WHAT)
    p.add_argument("-o", "--out", required=True, help="the .npz to write; x is (count, size, size), uint8")
    p.add_argument("--count", type=int, default=10000, metavar="N", help="number of pictures; default: 10000")
    p.add_argument("--size", type=int, default=64, metavar="N", help="make pictures of N x N pixels; default: 64")
    p.add_argument("--seed", type=int, default=0, help="seed of the pictures; default: 0")
    p.add_argument("--overwrite", action="store_true", help=OVERWRITE)
    p.add_argument("-y", "--yes", action="store_true", help=YES)
    p.set_defaults(run=command_of("generate"))


def _exact_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("-o", "--out", default="exact_out", help="the folder for the results; default: exact_out")
    p.add_argument("--quick", action="store_true", help="run a small grid")
    p.add_argument(
        "--sbc",
        action="store_true",
        help="simulation-based calibration in place of the scorecard: ranks of the truth among the draws",
    )
    p.add_argument("--problem", action="append", default=[], metavar="SPEC", help="run only this; may be repeated")
    p.add_argument("--solver", action="append", default=[], metavar="SPEC", help="run only this; may be repeated")
    p.add_argument("--seeds", type=int, metavar="N", help="make N measurements of each problem, with seeds 0 to N - 1")
    p.add_argument("--samples", type=int, metavar="N", help="draw N posterior samples in each run")
    p.add_argument("--jobs", type=int, metavar="N", help="number of processes; default: one for each core")
    p.add_argument("-y", "--yes", action="store_true", help=YES)
    p.add_argument("-q", "--quiet", action="store_true", help="show no progress bar and no table")
    p.set_defaults(run=command_of("exact"))
