"""The arguments of `xhat train`, and what each of its commands does with them."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from ..files.extras import page

EXAMPLES = """examples:
  xhat train denoiser photos/ --recipe small --out mine --minutes 60
  xhat train denoiser train-images-idx3-ubyte.gz --recipe fashion --out fashion --minutes 60
  xhat train denoiser photos/ --set data.square=64 --set optimiser.batch=32 --out mine --steps 20000
  xhat train denoiser photos/ --out mine --minutes 120 --resume      continues after Ctrl-C, bit for bit
  xhat train consistency photos/ --from mine --out mine_consistency --minutes 60
  xhat train autoencoder photos/ --out codes --minutes 60             latents, and a prior for them:
  xhat train denoiser photos/ --autoencoder codes --recipe latent --out mine --minutes 60
  accelerate launch -m xhat train denoiser photos/ --out mine        several GPUs or machines
  xhat restore y.png --operator gaussian_blur --noise gaussian:sigma=0.05 --prior mine -o out/
"""
DATA = f"""DATA is a folder of pictures, a tar of pictures, an .npz of uint8 or an IDX file (gzipped or not).
Recipes are TOML files; `--set table.key=value` changes one entry.
{page("training.md")} explains them.
"""
CONSISTENCY = """Makes a consistency model from a trained denoiser, by easy consistency tuning or, with
--set consistency.method=cd, by consistency distillation.
"""


def train_arguments(p: ArgumentParser) -> None:
    """Adds the commands of `xhat train` and their arguments to the parser `p`."""
    p.description, p.epilog = f"{p.description}.\n\n{DATA}", EXAMPLES
    kinds = p.add_subparsers(metavar="WHAT", required=True)
    raw = RawDescriptionHelpFormatter
    d = kinds.add_parser(
        "denoiser", help="train a denoiser on images", description=DATA, epilog=EXAMPLES, formatter_class=raw
    )
    d.add_argument("data", metavar="DATA", help="folder, tar, .npz or IDX file of images")
    d.add_argument("--recipe", default="small", metavar="NAME", help="a recipe that ships with xhat, or a TOML file")
    d.add_argument("--init", metavar="DIR", help="start from the weights in the folder of a trained denoiser")
    d.add_argument("--autoencoder", metavar="DIR", help="train on the latents of this autoencoder")
    _common(d)
    d.set_defaults(run=run_denoiser)
    a = kinds.add_parser(
        "autoencoder", help="train an autoencoder on images", description=DATA, epilog=EXAMPLES, formatter_class=raw
    )
    a.add_argument("data", metavar="DATA", help="folder, tar, .npz or IDX file of images")
    a.add_argument("--recipe", default="autoencoder", metavar="NAME", help="a shipped recipe, or a TOML file")
    _common(a)
    a.set_defaults(run=run_autoencoder)
    c = kinds.add_parser(
        "consistency",
        help="make a consistency model from a trained denoiser",
        description=CONSISTENCY,
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    c.add_argument("data", metavar="DATA", nargs="?", help="images, as for denoiser; default: samples of the denoiser")
    c.add_argument("--from", required=True, metavar="DIR", dest="source", help="the folder of the trained denoiser")
    c.add_argument("--recipe", default="consistency", metavar="NAME", help="a shipped recipe, or a TOML file")
    _common(c)
    c.set_defaults(run=run_consistency)


def _common(p: ArgumentParser) -> None:
    p.add_argument("-o", "--out", required=True, help="the folder to write the prior to")
    p.add_argument(
        "--set", action="append", default=[], metavar="T.K=V", help="set key K in table T of the recipe to V"
    )
    p.add_argument(
        "--minutes", type=float, metavar="M", help="stop after M minutes; default: 60, unless --steps is given"
    )
    p.add_argument("--steps", type=int, metavar="N", help="stop after N steps")
    p.add_argument("--resume", action="store_true", help="continue the run in the folder")
    p.add_argument("--half", action="store_true", help="write the weights as 16-bit floats")
    p.add_argument("--device", default="auto", help="auto or cpu; default: auto")
    p.add_argument(
        "--precision", metavar="P", help="no, bf16 or fp16; default: the faster one here, no for a UNet2DModel on a CPU"
    )
    p.add_argument("--compile", action="store_true", help="pass the network through torch.compile, which needs g++")
    p.add_argument("--licence", default="not stated", metavar="TEXT", help="licence of the data, for the model card")
    p.add_argument(
        "-y", "--yes", action="store_true", help="train although --steps take more than an hour, or memory is short"
    )
    p.add_argument("-q", "--quiet", action="store_true", help="show no progress bar and print nothing")


def _options(args: Namespace) -> Any:
    from .loop import Limit
    from .session import Options

    minutes = 60.0 if args.minutes is None and args.steps is None else args.minutes
    return Options(
        args.out, Limit(args.steps, minutes), args.resume, args.half, args.device, args.precision, args.licence,
        args.quiet, args.compile,
    )  # fmt: skip


def _end(finished: bool, args: Namespace) -> int:
    if not finished:
        print(
            f"xhat: interrupted; repeat the command with --resume to continue ({args.out}/checkpoint.pt)",
            file=sys.stderr,
        )
        return 130
    from accelerate import PartialState  # type: ignore[import-untyped]

    if not args.quiet and PartialState().is_main_process:
        print(f"{args.out}: {', '.join(sorted(p.name for p in args.out.iterdir()))}")
    return 0


def run_denoiser(args: Namespace) -> int:
    """`xhat train denoiser`: returns the exit code, 0 when finished and 130 when interrupted."""
    from .denoiser import train_denoiser
    from .recipe import read_recipe

    recipe = read_recipe(args.recipe, args.set)
    return _end(train_denoiser(args.data, recipe, _options(args), args.init, args.autoencoder), args)


def run_autoencoder(args: Namespace) -> int:
    """`xhat train autoencoder`: returns the exit code, 0 when finished and 130 when interrupted."""
    from .autoencoder import train_autoencoder
    from .recipe import read_recipe

    return _end(train_autoencoder(args.data, read_recipe(args.recipe, args.set), _options(args)), args)


def run_consistency(args: Namespace) -> int:
    """`xhat train consistency`: returns the exit code, 0 when finished and 130 when interrupted."""
    from .distil import train_consistency
    from .recipe import read_recipe

    recipe = read_recipe(args.recipe, args.set, Path(args.source).expanduser() / "recipe.toml")
    return _end(train_consistency(args.source, recipe, _options(args), args.data), args)
