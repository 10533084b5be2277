"""`xhat fix`: what people see in a picture, as the `xhat restore` command that mends it."""

import shlex
import sys
from argparse import Namespace
from pathlib import Path

from ..errors import SpecError
from ..files.pictures import PICTURES
from ..operators.masks import is_colour
from ..spec import Spec

COLOURS = {
    "red": "#ff0000",
    "green": "#00ff00",
    "blue": "#0000ff",
    "cyan": "#00ffff",
    "magenta": "#ff00ff",
    "yellow": "#ffff00",
}


def command(args: Namespace) -> list[str]:
    """The arguments of `xhat restore` that `xhat fix` stands for. Raises SpecError for what does not go together."""
    parts = []
    if args.scratches:
        parts.append(str(Spec("inpaint", {"fill": _painted(args.scratches)})))
    if args.deblur:
        parts.append(str(_blur(args.deblur)))
    if args.enlarge and parts:
        parts.append(f"super_resolution:factor={args.enlarge}")
    made = ["restore", *args.pictures, "-o", str(args.out or _beside(args.pictures))]
    if parts:
        made += ["--operator", " @ ".join(parts)]
    elif args.enlarge:
        made += ["--scale", str(args.enlarge)]
    given = {"--sigma": args.sigma, "--crop": args.crop, "--steps": args.steps, "--dtype": args.dtype}
    for flag, value in given.items():
        made += [flag, str(value)] if value else []
    flags = ("yes", "resume", "overwrite", "record", "quiet")
    return made + [f"--{name}" for name in flags if getattr(args, name)]


def say(made: list[str]) -> None:
    """Shows the command on stderr."""
    print(f"xhat: {shlex.join(['xhat', *made])}", file=sys.stderr)


def _painted(text: str) -> str:
    """A colour by name or number, or the file of a mask. Raises SpecError if it is none of them."""
    colour = COLOURS.get(text.lower(), text)
    if not is_colour(colour) and not Path(text).is_file():
        raise SpecError(
            f"--scratches {text}: no such file; give a mask, in which white is to be filled, or the colour that you "
            f"painted into the picture: {', '.join(COLOURS)} or #rrggbb"
        )
    return colour


def _blur(text: str) -> Spec:
    """A width in pixels, or the file of a measured kernel. Raises SpecError if it is neither."""
    try:
        width = float(text)
    except ValueError:
        if not Path(text).is_file():
            raise SpecError(
                f"--deblur {text}: give how wide the blur is, in pixels (1 is slight, 3 is strong), or the file of its "
                "kernel, a picture of a point"
            ) from None
        return Spec("blur", {"psf": text})
    return Spec("gaussian_blur", {"std": width})


def _beside(pictures: list[str]) -> str:
    """Where results go if nobody says: beside a single picture, into the folder `fixed` for several."""
    path = Path(pictures[0])
    single = len(pictures) == 1 and not path.is_dir() and path.suffix.lower() in PICTURES
    return str(path.with_name(f"{path.stem}_fixed.png")) if single else "fixed"
