"""A look at a picture of which nobody said what happened to it: what its file tells, and what can be estimated.

What was found this way is said in one line, and recorded as a guess (`provenance`, `guessed`).
"""

from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from pathlib import Path

import torch
from torch import Tensor

from ..errors import DataError, SpecError, about
from ..files.colours import is_colour
from ..files.jpeg_header import JpegHeader, jpeg_header, stored_luma
from ..files.measurement import Measurement
from ..files.pictures import LEVELS, is_picture
from ..files.webp_header import webp_loss
from ..noise import NOISES, Gaussian, Noise, Noiseless
from ..noise.coded import coded_noise
from ..noise.estimate import estimate_noise, estimate_sigma
from ..notes import advice, note
from ..operators import OPERATORS
from ..operators.base import CellOperator, LinearOperator, Operator, ProxyOperator
from ..operators.building import kind, kind_of_data
from ..operators.masks import brush, painted
from ..spec import Spec, factors, lookup, parse, short, spec_of
from .parts import as_operator

UNSURE = 1.0  # grey levels of error in any picture: of rounding, and of a kernel that is known nearly
EVIDENT = 12.0  # grey levels of noise that no texture is taken for: the fur of a baboon has 9
GRAINY = 1.5  # noise over the loss of compression, beyond which no texture is taken for it
LOST = 1.1  # the noise of a JPEG over that of its fine detail from which compression has taken some away
WEBP = 0.6  # of the loss of a lossy WebP, what its errors are like as noise: 0.2 to 1 dB better on seven photographs
MANY = 64  # numbers that are not all small by chance
AUTO = "auto"  # the noise that is to be estimated
SEEN = {
    "JPEG": "shows more noise than compression",
    "WebP": "is a WebP that has lost detail",
    "": "is neither transparent nor a JPEG",
}  # why a picture is denoised
HOW_MUCH = {"gaussian": "sigma", "poisson": "peak"}  # what says how strong a noise is
OPEN = {"gaussian_blur": "std", "defocus": "radius", "motion_blur": "seed"}  # what a blur cannot be undone without

Given = str | Operator | Callable[[Tensor], Tensor] | None


def look(
    found: Measurement,
    operator: Given = None,
    noise: str | Noise | None = None,
    scale: int | None = None,
    light: bool = True,
) -> Measurement:
    """`found` with an operator and a noise where neither the user nor the file names one, as far as they can be told.

    The operator of a picture's file: `inpaint` where it is transparent, `super_resolution` for a `scale`, `jpeg` where
    compression did more than noise, otherwise `denoise`. The noise is estimated for linear operators, and where `noise`
    is "auto"; it is Gaussian unless the solver takes the noise of `light`. Arrays of floats and files of a science are
    returned as they are. Raises SpecError for a `scale` beside an operator, and DataError where there is nothing to
    restore or no noise can be estimated.
    """
    given = operator or found.operator
    if found.y.is_complex() and found.affine is not None and "calibration" not in found.physics:
        raise DataError(
            f"{found.origin}: holds a complex image that lies in space, and no k-space; it may be a reference"
        )
    if isinstance(given, str):
        found = kind_of_data(given).understood(found)
    if scale is not None and given:
        raise SpecError(f"a scale stands for super_resolution:factor={scale}; give it or an operator, not both")
    found = _with_holes(found, given)
    filled, paint = _painted(found, given)
    picture = found.pixels and is_picture(tuple(found.y.shape))
    header, loss = compression(found)
    grain = _grain(found, header) if header and (given is None or noise in (None, AUTO)) else None
    left = {"operator": operator is None, "noise": noise is None}  # what the user leaves open
    own = {part: value for part, value in found.guessed.items() if left.get(part)}  # what the file's reader estimated
    other = {part: value for part, value in found.guessed.items() if part not in left}  # which it has said itself
    told = [f"its own numbers say --{part} {_quoted(short(value))}" for part, value in own.items()]
    if paint:
        given, own = filled, {**own, "operator": filled}
        told.append(f"{paint}: --operator {_quoted(filled)}")
    if picture and isinstance(operator, str) and found.operator is None:
        own |= _of_defaults(found, operator)
    doubted(found, noise)
    guessed: dict[str, str] = {}
    if given is None and (picture or scale is not None):
        given, why = _operator(found, None if grain else header, scale, "JPEG" if header else "WebP" if loss else "")
        guessed["operator"] = given
        told.append(f"{why}: --operator {_quoted(given)}")
    missing = noise is None and found.noise is None and picture
    if (
        given is not None
        and (noise == AUTO or missing)
        and (model := _noise(found, given, noise == AUTO, light, grain))
    ):
        raised = beside_noise(model, given, loss, header is None)
        level = _level(model) + (f"; {_instead(raised)}" if raised else "")
        model = raised or model
        guessed["noise"] = spec_of(model, NOISES)
        if guessed.get("operator") == "denoise" and isinstance(model, Noiseless):
            what = advice(
                "--scale 4, --operator blind_blur, --operator inpaint:fill=mask.png (xhat list operators)",
                "--enlarge 4, --deblur, --scratches mask.png, or how much noise: --sigma 5/255",
            )
            raise DataError(
                f"{found.origin}: shows neither noise, nor JPEG, nor transparent pixels; say what happened to it: "
                f"{what}"
            )
        told.append(f"{level}: --noise {_quoted(guessed['noise'])}")
    if found.pixels and "mask" in found.physics and not _inpaints(given):
        note("%s: has transparent pixels, which stay so; their colours are taken as they are", found.origin)
        found = replace(found, physics={k: v for k, v in found.physics.items() if k != "mask"})
    if told:
        parts = {**own, **guessed}
        better = " and ".join(f"--{part}" for part in parts)
        mild = ("--sigma", "--deblur, --enlarge, --scratches")
        better = advice(better, " or ".join(w for w, p in zip(mild, ("noise", "operator"), strict=True) if p in parts))
        note("%s: %s; if you know better, give %s", found.origin, "; ".join(told), better)
    return replace(
        found,
        operator=guessed.get("operator", found.operator),
        noise=guessed.get("noise", found.noise),
        guessed={**other, **own, **guessed},
    )


def _of_defaults(found: Measurement, operator: str) -> dict[str, str]:
    """The operator as a guess, which is said, if it is a blur of which the user leaves open how strong it is."""
    spec = parse(operator) if "@" not in operator else Spec("", {})
    option = OPEN.get(spec.name)
    if option is None or option in spec.options:
        return {}
    value = signature(lookup(spec.name, OPERATORS)).parameters[option].default
    note(
        "%s: %s=%s is a guess, and a wrong one ruins pictures: give --operator %s:%s=…, or --operator blind_blur, "
        "which looks for the blur",
        found.origin,
        option,
        value,
        spec.name,
        option,
    )
    return {"operator": str(Spec(spec.name, {**spec.options, option: value}))}


def doubted(found: Measurement, noise: str | Noise | None) -> None:
    """Says so if the noise that the user names is a default that nobody chose, or more than the numbers can have.

    Gaussian noise leaves a number y as small as |y| < sigma with a probability of 0.68 at most, whatever A x is: that
    all of them are is chance for a few, and for a picture it is a sigma in other units.
    """
    spec = parse(noise) if isinstance(noise, str) and noise != AUTO else None
    how = HOW_MUCH.get(spec.name) if spec is not None else None
    if spec is not None and how is not None and how not in spec.options:
        if found.pixels and is_picture(tuple(found.y.shape)):
            usual = signature(NOISES[spec.name]).parameters[how].default
            note(
                "%s: %s=%s is a guess: --noise auto estimates the noise, --noise %s:%s=… says it",
                *(found.origin, how, usual, spec.name, how),
            )
        return
    sigma = noise.sigma if isinstance(noise, Gaussian) else spec and spec.name == "gaussian" and spec.options["sigma"]
    if not isinstance(sigma, float | int) or sigma < 1 or found.y.numel() < MANY:
        return
    largest = float(found.y.abs().max())
    if largest < sigma:
        note(
            "%s: noise of sigma=%.4g is more than its numbers, which are at most %.3g; %.4g of 255 grey levels are "
            "sigma=%.3g",
            *(found.origin, sigma, largest, sigma, sigma / LEVELS),
        )


def _inpaints(given: Given) -> list[str]:
    """The parts of an operator that fill holes."""
    return [part for part in factors(given) if parse(part).name == "inpaint"] if isinstance(given, str) else []


def _with_holes(found: Measurement, given: Given) -> Measurement:
    """`found` with what an inpainting operator must know of the picture. Refuses masks that nobody can have meant."""
    masked = _inpaints(given)
    options = parse(masked[0]).options if masked else {}
    if masked and found.file is not None and not options and "mask" not in found.physics:
        raise SpecError(
            f"inpaint would drop pixels of {found.origin} at random; say which are lost: inpaint:fill=mask.png (white "
            "is to be filled), inpaint:known=mask.png (white is known), inpaint:fill=#ff0000 (painted red)"
        )
    for name in ("fill", "known"):
        if isinstance(file := options.get(name), str) and not Path(file).exists() and not is_colour(file):
            colour = ", and no colour such as red or #ff0000" if name == "fill" else ""
            raise DataError(f"inpaint: {name}={file}: there is no such file{colour}")
    if is_colour(options.get("fill")):
        return replace(found, physics={**found.physics, "picture": found.y})
    return found


def compression(found: Measurement) -> tuple[JpegHeader | None, float]:
    """What the file of a picture as it was stored says of its compression: the header of a JPEG, and the standard
    deviation of the errors that it made at most, in grey levels; 0 for what is neither a JPEG nor a lossy WebP.
    """
    if not found.file or not found.pixels or found.resized or not is_picture(tuple(found.y.shape)):
        return None, 0.0
    header = jpeg_header(found.file)
    return header, header.loss if header else webp_loss(found.file) or 0.0


def _painted(found: Measurement, given: Given) -> tuple[str, str]:
    """An operator that fills what is painted in a colour called by its name, with the colour that this paint has in the
    picture, and how that was seen; empty where no colour is called by its name.
    """
    named = [part for part in _inpaints(given) if is_colour(parse(part).options.get("fill"))]
    if not isinstance(given, str) or not named or (name := str(parse(named[0]).options["fill"])).startswith("#"):
        return "", ""
    colour = brush(found.y, name)
    share = 1 - float(painted(found.y, colour).double().mean())
    filled = [parse(part) for part in factors(given)]
    filled = [part.with_(fill=colour) if part.options.get("fill") == name else part for part in filled]
    return " @ ".join(map(str, filled)), f"the {name} in it is {colour}, with {share:.1%} of the picture to be filled"


def _grain(found: Measurement, header: JpegHeader) -> float | None:
    """The noise of a JPEG, in grey levels of a channel, where it is evident and more than compression did."""
    assert found.file is not None, "who has a header has a file"
    seen = coded_noise(stored_luma(found.file), header.steps, len(found.y) == 3)
    if seen is None or seen.sigma < (header.loss if seen.even else max(EVIDENT, GRAINY * header.loss)):
        return None
    return seen.sigma


def _operator(found: Measurement, header: JpegHeader | None, scale: int | None, coding: str) -> tuple[str, str]:
    """What made a picture, as a spec, and how that was seen.

    `coding` is JPEG, WebP or nothing. Of a JPEG whose noise is evident there is no `header`.
    """
    if "mask" in found.physics:
        if not torch.as_tensor(found.physics["mask"]).any():
            raise DataError(
                f"{found.origin}: no pixel is opaque, so that nothing is known; flatten it onto a background"
            )
        return "inpaint", "has transparent pixels, which are filled"
    small = None if scale is None else f"super_resolution:factor={scale}"
    if header and header.subsampling is None and len(found.y) == 3:
        header = None  # a subsampling for which there is no operator
    if header and estimate_sigma(found.y) * LEVELS < header.loss and header.quality < 100:
        code, what = _jpeg(found, header)
        if small is None:
            return code, what
        return f"{code} @ {small}", f"{what}, after it was made {scale} times smaller"
    if small is not None:
        return small, f"was made {scale} times smaller"
    return "denoise", SEEN[coding]


def _jpeg(found: Measurement, header: JpegHeader) -> tuple[str, str]:
    chroma = f",subsampling={header.subsampling}" if len(found.y) == 3 else ""
    near = "its tables are those" if header.exact else "its own tables are near to those"
    turned = header.turned and (any(side % 16 for side in header.size) or header.subsampling == "4:2:2")
    what = f"is a JPEG, {near} of quality {header.quality}"
    what += ", and lies turned, so that its blocks are not where this takes them to be" if turned else ""
    if found.file and not turned:
        return str(Spec("jpeg", {"tables": str(found.file)})), what
    return f"jpeg:quality={header.quality}{chroma}", what


def _noise(
    found: Measurement,
    given: str | Operator | Callable[[Tensor], Tensor],
    asked: bool,
    light: bool,
    grain: float | None,
) -> Noise | None:
    """The noise of a picture behind an operator; None if nothing can be said and nobody `asked`.

    Of a JPEG it is `grain` where that is clearly more: its fine detail has lost most of the noise.
    """
    if isinstance(given, str):
        outer: type = kind(factors(given)[0])
    else:
        outer = type(given)
    if issubclass(outer, ProxyOperator):
        return Noiseless()  # rounding is the operator's own; noise before it cannot be told from the picture
    if not is_picture(tuple(found.y.shape)) or not issubclass(outer, LinearOperator | CellOperator):
        if asked:
            raise SpecError("noise can be estimated for pictures and linear operators only; give its sigma")
        return None
    A = as_operator(given, found.image_shape, tuple(found.y.shape), found.physics)
    seen = None if A.support is None else A.support[0].expand(found.y.shape).all(0, keepdim=True)
    if seen is None and found.pixels and "mask" in found.physics:
        seen = torch.as_tensor(found.physics["mask"])[None]  # what is transparent often holds nothing
    try:
        with about(found.origin, (DataError,)):
            if grain and estimate_sigma(found.y, seen) * LEVELS * LOST < grain:
                return Gaussian(float(f"{grain / LEVELS:.3g}"))
            return estimate_noise(found.y, seen, light)
    except DataError:
        if asked or not isinstance(given, str) or factors(given) != _inpaints(given):
            raise
        return Noiseless()  # too little is seen in one piece to tell


def beside_noise(model: Noise, given: Given, loss: float = 0.0, unmodelled: bool = True) -> Noise | None:
    """The noise that an operator is told of a picture in place of what was estimated, `model`; None: that is it.

    A blur or an enlargement amplifies every error that it is not told of: those of compression, up to `loss` grey
    levels, which swallows noise, and `UNSURE` grey levels for what is not known of kernels and rounding. Compression
    that is `unmodelled`, for which there is no operator, is taken as noise. A mask only fills: what is known is kept as
    it is where the noise is not `EVIDENT`, because fine texture is taken for as much, and whoever has scratches filled
    has not asked for it to be smoothed.
    """
    parts = [parse(part).name for part in factors(given)] if isinstance(given, str) else []
    if (
        not parts
        or (parts == ["denoise"] and not (unmodelled and loss))
        or issubclass(kind_of_data(str(given)), ProxyOperator)
    ):
        return None
    if isinstance(model, Noiseless):
        levels = 0.0
    elif isinstance(model, Gaussian) and isinstance(model.sigma, float | int):
        levels = model.sigma * LEVELS
    else:
        return None
    if parts == ["inpaint"]:
        return Noiseless() if 0 < levels < EVIDENT else None
    least = WEBP * loss if parts == ["denoise"] else max(UNSURE, loss)
    return Gaussian(round(least / LEVELS, 4)) if levels < least else None


def _instead(model: Noise) -> str:
    if isinstance(model, Gaussian):
        return f"with those of compression and others it is taken as {_grey(model)}"
    return "it may be texture, so that what is seen is kept as it is"


def _grey(model: Gaussian) -> str:
    assert isinstance(model.sigma, float | int), "what is estimated is one number"
    return f"{model.sigma * LEVELS:.3g} of 255 grey levels"


def _level(model: Noise) -> str:
    if isinstance(model, Noiseless):
        return "noise taken for none"
    if isinstance(model, Gaussian):
        return f"noise estimated as {_grey(model)}"
    return "noise estimated, more of it in bright places"


def _quoted(spec: str) -> str:
    return f"'{spec}'" if " " in spec else spec
