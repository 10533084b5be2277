"""Videos from files: operators and priors of pictures are lifted to them."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import DataError, SpecError, XhatError
from ..files.measurement import Measurement
from ..files.pictures import LEVELS, save_image
from ..files.video import is_numbered, numbered, save_video
from ..noise import NOISES, Gaussian, Noiseless
from ..noise.estimate import estimate_sigma
from ..notes import note
from ..operators import OPERATORS
from ..operators.base import AffineOperator, LinearOperator
from ..operators.building import kind
from ..operators.modality import VIDEO
from ..priors import LiftedPrior, Prior
from ..spec import Spec, factors, lookup, parse, spec_of
from .flicker import SLOW, estimate_gains
from .parts import as_operator

Put = Callable[[Path], object]
LOOKED_AT = 8  # frames of which the noise is estimated; the median is taken
COUPLE = 0.05  # how much neighbouring frames are taken to differ where nobody says it


def lifted_operator(given: Any, word: str = "frames") -> Any:
    """The spec of an operator of pictures as one of videos, or with the `word` slices of volumes: each part of `A @ B`
    on every frame. Others stay.
    """
    if not isinstance(given, str):
        return given
    parts = factors(given)
    return " @ ".join(p if kind(p).modality == VIDEO or _is_lifted(p) else f"{word}:operator=({p})" for p in parts)


def _is_lifted(text: str) -> bool:
    return len(getattr(lookup(parse(text).name, OPERATORS), "example", ())) == 4


def lifted_prior(given: Any, operator: Any, word: str = "frames") -> Any:
    """A prior of pictures as one of videos; with OpenCV its frames are coupled if `operator` is linear. With the `word`
    slices it is one of volumes, whose slices are not coupled. Others stay.

    Of an operator that mixes frames or slices neither may be alone: frames are coupled without OpenCV, too, and volumes
    are seen in all directions. A prior of single slices knows nothing of what lies between thick ones.

    What was chosen is said.
    """
    if isinstance(given, LiftedPrior) or not isinstance(given, str | Path | Prior):
        return given
    if isinstance(given, Prior):
        return LiftedPrior(given)
    name = str(given).split(":")[0]
    if name in ("frames", "slices"):
        return given
    options: dict[str, Any] = {}
    if word == "slices" and _mixes(operator):
        options = {"planes": "all"}
    elif word == "frames" and _linear(operator) and (_mixes(operator) or find_spec("cv2") is not None):
        options = {"couple": COUPLE, **({"motion": "dis"} if find_spec("cv2") is not None else {})}
    made = f"{word}:prior=({given})" + "".join(f",{k}={v}" for k, v in options.items())
    note("each %s has the prior %s; if you know better, give --prior '%s'", word[:-1], given, made)
    return made


ALONE = ("frames", "slices", "scratches", "flicker")  # operators in which no frame is mixed with another


def _mixes(operator: Any) -> bool:
    """Whether the spec of an operator names one that mixes frames or slices."""
    return isinstance(operator, str) and any(parse(p).name not in ALONE for p in factors(operator))


def _linear(operator: Any) -> bool:
    """Whether the parts of an operator are linear or affine, as far as their specs tell."""
    if not isinstance(operator, str):
        return isinstance(operator, LinearOperator | AffineOperator)
    inner = [parse(p) for p in factors(operator)]
    texts = [
        str(s.options.get("operator", "denoise")).strip("()") if s.name in ("frames", "slices") else str(s)
        for s in inner
    ]
    return all(issubclass(kind(text), LinearOperator | AffineOperator) for text in texts)


def stacked(found: Measurement, operator: Any, shape: Any = None) -> Measurement:
    """`found` with an axis of channels if it is a stack (slices, h, w) and `operator` is one of volumes or videos."""
    if found.y.ndim != 3 or found.image_shape or shape or not isinstance(operator, str):
        return found
    if len(getattr(lookup(parse(factors(operator)[0]).name, OPERATORS), "example", ())) != 4:
        return found
    for y in (found.y, found.y[None]):
        try:
            A = as_operator(operator, None, tuple(y.shape), found.physics)
        except XhatError:
            continue
        if A.data_shape == tuple(y.shape) and len(A.shape) == 4:
            return replace(found, y=y)
    return found


def seen(
    found: Measurement,
    operator: Any,
    noise: Any,
    scale: int | None,
    word: str = "frames",
    gains: Sequence[float] | None = None,
) -> Measurement:
    """`found`, a video or with the `word` slices a volume, with an operator and a noise where nobody names one.

    `gains` are those of a light that flickers before that operator's data. What was estimated is said and recorded.

    Raises SpecError for a `scale` beside an operator.
    """
    given = operator or found.operator
    if scale is not None and given:
        raise SpecError(f"a scale stands for super_resolution:factor={scale}; give it or an operator, not both")
    guessed: dict[str, str] = {}
    if given is None:
        part = "denoise" if scale is None else str(Spec("super_resolution", {"factor": scale}))
        guessed["operator"] = f"{word}:operator=({part})" if gains is None else lit(gains, part)
    if noise == "auto" or (noise is None and found.noise is None):
        count = found.y.shape[1]
        picks = sorted({round(i * (count - 1) / max(1, LOOKED_AT - 1)) for i in range(LOOKED_AT)})
        fields = 2 if isinstance(given, str) and parse(factors(given)[0]).name == "interlace" else 1  # of two times
        pictures = (found.y[:, f, i::fields] for f in picks for i in range(fields))
        sigma = float(f"{median(map(estimate_sigma, pictures)):.3g}")
        model = Gaussian(sigma) if sigma > Noiseless().tolerance else Noiseless()
        guessed["noise"] = spec_of(model, NOISES)
        if given is None and scale is None and gains is None and isinstance(model, Noiseless):
            raise DataError(
                f"{found.origin}: shows no noise; say what happened to it: --scale 2, --operator gaussian_blur:std=1, "
                "--operator inpaint:fill=mask.png (xhat list operators)"
            )
        note("%s: noise of %.3g of 255 grey levels: --noise %s", found.origin, sigma * LEVELS, guessed["noise"])
    return replace(
        found,
        operator=guessed.get("operator", found.operator),
        noise=guessed.get("noise", found.noise),
        guessed={**found.guessed, **guessed},
    )


FLICKER = ("auto", "off")
Light = str | Sequence[float] | None  # what is to be done about a light that flickers: estimate it, nothing, its gains


def lit(gains: Sequence[float], operator: str) -> str:
    """The spec of `operator`, one of pictures or of videos, for a film whose light flickers with `gains`.

    Light comes before what happens to each frame, so that a mask hides what flickered; the gains of pictures that are
    of several frames, as long exposures are, are those of the pictures.
    """
    flicker = str(Spec("flicker", {"gains": list(gains)}))
    if operator == "denoise":
        return flicker
    rest = lifted_operator(operator)
    if all(parse(p).name in ("frames", "scratches") for p in factors(rest)):
        return f"{rest} @ {flicker}"
    return f"{flicker} @ {rest}"


def light_of(found: Measurement, operator: Any, flicker: Light) -> list[float] | None:
    """The gains of the light of a film that flickers, as `flicker` says: given, estimated, or None.

    None estimates them where nobody names an operator, and elsewhere says that the film flickers, if it does. What was
    estimated is said. Raises SpecError for gains, or auto, that have no place.
    """
    if flicker == "off":
        return None
    named = operator or found.operator
    if flicker is not None and named is not None and not isinstance(named, str):
        raise SpecError("flicker stands before an operator that is a spec string; give it composed with your own")
    own = isinstance(named, str) and any(parse(p).name == "flicker" for p in factors(named))
    if own:
        if flicker is None:
            return None
        raise SpecError("the operator has the gains of the light already: give them there or as flicker, not both")
    if flicker is not None and flicker != "auto":
        if isinstance(flicker, str) or not all(isinstance(g, int | float) and 0 < g < math.inf for g in flicker):
            raise SpecError(f"flicker is auto, off, or a gain > 0 for each frame, not {flicker!r}")
        return [float(g) for g in flicker]
    if found.y.ndim != 4 or found.y.is_complex() or found.y.shape[0] not in (1, 3):
        return None
    gains = estimate_gains(found.y)
    if gains is None:
        if flicker == "auto":
            note("%s: its light does not flicker, as far as can be told", found.origin)
        return None
    size = 100 * float(torch.tensor(gains).log().std())
    if named is not None and flicker is None:
        note(
            "%s: its light flickers by %.2g %%, which the operator leaves in; --flicker auto takes it out",
            found.origin,
            size,
        )
        return None
    note(
        "%s: its light flickers by %.2g %%, which is taken out; cuts, and what changes more slowly than %d frames, "
        "stay; to leave it in, give --flicker off",
        found.origin,
        size,
        SLOW,
    )
    return gains


def rate_of(found: Measurement, restored: Tensor) -> float | None:
    """The frames a second at which the film `restored` (n, c, t, h, w) takes as long as the measured one.

    Of what is interlaced, dropped or exposed for long, a film has several frames for each that was measured.
    """
    if found.rate is None or found.y.ndim != 4 or restored.ndim != 5:
        return found.rate
    return found.rate * max(1, round(restored.shape[2] / found.y.shape[1]))


# --- what is written --------------------------------------------------------------------------


def puts(path: Path, x: Tensor, rate: float) -> dict[Path, Put]:
    """The writers of a video `x` (c, t, h, w): one file, or numbered pictures."""
    if not is_numbered(path):
        return {path: partial(_put, x=x, rate=rate)}
    frames = zip(numbered(path, x.shape[1]), x.unbind(1), strict=True)
    return {name: partial(save_image, x=frame) for name, frame in frames}


def _put(file: Path, x: Tensor, rate: float) -> None:
    save_video(file, x, rate)


def videos(restored: Tensor, y: Tensor, rate: float) -> Iterator[tuple[str, Put]]:
    """The videos of a folder of results, by name: what was restored, and the measurement beside it if it is a video."""
    suffix = ".mp4" if find_spec("av") else ".gif"
    yield f"restored{suffix}", partial(_put, x=restored, rate=rate)
    if y.ndim == 4 and y.shape[0] in (1, 3) and y.shape[1] == restored.shape[1] and not y.is_complex():
        c = max(len(y), len(restored))
        before = F.interpolate(y.transpose(0, 1), size=restored.shape[-2:], mode="nearest").transpose(0, 1)
        both = torch.cat([v.expand(c, -1, -1, -1) for v in (before, restored)], -1)
        yield f"side_by_side{suffix}", partial(_put, x=both, rate=rate)
