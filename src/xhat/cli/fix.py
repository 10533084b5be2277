"""`xhat fix`: what people see in a picture, as the `xhat restore` command that mends it.

The command is shown before anything heavy is imported, torch above all, which takes seconds.
"""

import glob
import re
import shlex
import sys
from argparse import Namespace
from pathlib import Path

from ..errors import SpecError
from ..files.colours import is_colour
from ..files.suffixes import PICTURES, READ, written
from ..notes import in_words_of_fix

COLOURS = ("red", "lime", "blue", "cyan", "magenta", "yellow")  # those that people paint with, of all that have names
PURE = {"green": "lime"}  # the green of a paint box, where CSS has a darker one
NARROWEST, WIDEST = 0.3, 15.0  # pixels: less changes nothing, and a Gaussian that is cut at 61 pixels is none beyond
UNKNOWN = "auto"  # the width of a blur that is to be found
PLAIN = re.compile(r"(?!(?:true|false|none)$)(?:[a-z#~/]|\.\.?/)[\w#~./-]*", re.IGNORECASE)  # needs no quotes in a spec


def run(args: Namespace) -> int:
    """Shows the `xhat restore` command that `xhat fix` stands for, and runs it."""
    made = command(args)
    if not args.quiet:
        say(made)
    with in_words_of_fix():
        return int(args.restore(made))


def command(args: Namespace) -> list[str]:
    """The arguments of `xhat restore` that `xhat fix` stands for. Raises SpecError for what does not go together."""
    if not args.pictures:
        swallowed = args.deblur and Path(args.deblur).suffix.lower() in PICTURES
        raise SpecError(
            f"fix: which picture? {args.deblur} was taken for the kernel; put the pictures first: "
            f"xhat fix {args.deblur} --deblur"
            if swallowed
            else "fix: give a picture, several, or a folder"
        )
    parts = []
    if args.scratches:
        parts.append(f"inpaint:fill={_quoted(_painted(args.scratches))}")
    if args.deblur:
        if args.deblur == UNKNOWN and (args.enlarge or args.scratches):
            raise SpecError("--deblur with --enlarge or --scratches needs a width in pixels: --deblur 1.5")
        parts.append(_blur(args.deblur))
    if args.enlarge and parts:
        parts.append(f"super_resolution:factor={args.enlarge}")
    made = ["restore", *map(_no_option, args.pictures), "-o", _no_option(str(args.out or _beside(args.pictures)))]
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
    print(f"xhat: {shlex.join(['xhat', *made])}", file=sys.stderr, flush=True)


def _quoted(text: str) -> str:
    """`text` as an option of a spec, in quotes where it would be read as something else."""
    if PLAIN.fullmatch(text):
        return text
    from ..spec import text_of

    return text_of(text)


def _painted(text: str) -> str:
    """A colour by name or number, or the file of a mask. Raises SpecError if it is none of them."""
    if Path(text).is_file():
        return text
    colour = PURE.get(text.lower(), text)
    if not is_colour(colour):
        raise SpecError(
            f"--scratches {text}: no such file; give a mask, in which white is to be filled, or the colour that you "
            f"painted into the picture: {', '.join(COLOURS)}, another name of CSS, or #rrggbb"
        )
    return colour.lower()


def _blur(text: str) -> str:
    """A width in pixels, the file of a measured kernel, or a blur to be found. Raises SpecError if it is none."""
    if text == UNKNOWN:
        return "blind_blur"
    try:
        width = float(text)
    except ValueError:
        if not Path(text).is_file():
            raise SpecError(
                f"--deblur {text}: give how wide the blur is, in pixels (1 is slight, 3 is strong), or the file of its "
                "kernel, a picture of a point"
            ) from None
        return f"blur:psf={_quoted(text)}"
    if not NARROWEST <= width <= WIDEST:
        raise SpecError(
            f"--deblur {text}: a width lies between {NARROWEST:g} and {WIDEST:g} pixels (1 is slight, 3 is strong); "
            "without a number it is found out"
        )
    return f"gaussian_blur:std={int(width) if width.is_integer() else width}"


def _no_option(path: str) -> str:
    """A path as an argument that is not taken for an option: `-photo.png` is `./-photo.png`."""
    return f"./{path}" if path.startswith("-") else path


def _beside(pictures: list[str]) -> str:
    """Where results go if nobody says: beside a single file, into the folder `fixed` for several.

    A picture becomes a PNG, and a TIFF stays one. Where that name is taken, by the result of `thumb.jpg` for that of
    `thumb.png`, the suffix of the picture joins it. Of a film, or of a measurement, there is a folder with its name.
    """
    path = Path(pictures[0])
    if len(pictures) > 1 or path.is_dir() or (glob.has_magic(pictures[0]) and not path.exists()):
        return "fixed"
    if path.suffix.lower() not in (*PICTURES, *READ):
        return str(path.with_name(f"{path.name.replace('.', '_')}_fixed"))
    made = path.with_name(f"{path.stem}_fixed{written(path)}")
    others = (p for p in path.parent.glob(f"{glob.escape(path.stem)}.*") if p.suffix.lower() in PICTURES and p != path)
    if made.exists() and any(others):
        made = path.with_name(f"{path.stem}_{path.suffix[1:]}_fixed{written(path)}")
    return str(made)
