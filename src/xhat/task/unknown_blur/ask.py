"""`blind_blur` for a solver that needs the kernel: it is found first, said, and recorded as a guess."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from ...errors import DataError, SpecError
from ...files.measurement import Measurement
from ...files.pictures import LEVELS, is_picture
from ...likelihoods import BlindGaussian
from ...noise import Gaussian, Noise
from ...noise.estimate import estimate_sigma
from ...notes import advice, note
from ...priors import Prior
from ...solvers.base import AnySolver
from ...spec import parse
from ..look import AUTO, compression, look
from .choose import Blur, find_blur

SHAPES = {"gauss": ("gauss",), "shake": ("shake",), None: ("gauss", "disc", "shake")}
CODED = 2 / LEVELS  # the noise at least that a deconvolution is told of a JPEG or WebP, whose errors are not white
BETTER = "if you know better, give --operator gaussian_blur:std=2, defocus:radius=4 or blur:psf=FILE"
WIDTH = "if you know better, give --deblur its width in pixels, or the picture of a point"


def asks_for_kernel(operator: Any, solver: AnySolver) -> bool:
    """Whether `operator` is `blind_blur`, and `solver` is none that finds a kernel by itself."""
    return (
        isinstance(operator, str)
        and "@" not in operator
        and parse(operator).name == "blind_blur"
        and not issubclass(solver.needs, BlindGaussian)
        and solver.denoises
    )


def with_kernel(
    found: Measurement, operator: str, noise: str | Noise | None, known: Callable[[], Prior], scale: int | None = None
) -> tuple[Measurement, torch.Tensor | None]:
    """`found` with the blur that its picture shows in place of `operator`, and the kernel, (1, side, side).

    Where no kernel makes the picture better, it is only cleaned, or left as it is, and the kernel is None; that is
    said. Raises DataError unless the measurement is a picture, and SpecError for a noise that is not Gaussian.
    """
    if not is_picture(tuple(found.y.shape)):
        raise DataError(f"{found.origin}: the kernel of a blur can be found in pictures only")
    if scale is not None:
        raise SpecError("a scale and an unknown blur cannot be told apart; give the width of the blur")
    sigma, least = _noise(found, noise)
    shapes = SHAPES[parse(operator).options.get("kernels")]
    note("%s: looks for the blur, which takes some time", found.origin)
    blur = find_blur(found.y, known(), max(sigma, least), shapes)
    if blur is None:
        return _left(found, noise, sigma), None
    spec, kernel = blur.spec, blur.kernel[None]
    physics = dict(found.physics) if blur.round else {**found.physics, "kernel": kernel}
    model = (
        noise if isinstance(noise, Noise) else f"gaussian:sigma={blur.sigma:.3g}" if noise in (None, AUTO) else noise
    )
    text = model if isinstance(model, str) else f"gaussian:sigma={sigma:.3g}"
    note("%s: %s: --operator %s --noise %s; %s", found.origin, _words(blur), spec, text, advice(BETTER, WIDTH))
    guessed = {"operator": spec} | ({"noise": text} if noise in (None, AUTO) else {})
    return replace(found, operator=spec, noise=text, physics=physics, guessed={**found.guessed, **guessed}), kernel


def _noise(found: Measurement, noise: str | Noise | None) -> tuple[float, float]:
    """The noise of the picture, estimated unless it is given, and the least that compression may have hidden."""
    _, loss = compression(found)
    least = max(CODED, loss / LEVELS / 1.5) if loss else 0.0
    if isinstance(noise, str) and noise != AUTO:
        from ..parts import as_noise

        noise = as_noise(noise)
    if isinstance(noise, Noise):
        if not isinstance(noise, Gaussian) or not isinstance(noise.sigma, float | int):
            raise SpecError("an unknown blur needs Gaussian noise of one sigma, or noise that is to be estimated")
        return float(noise.sigma), 0.0
    return estimate_sigma(found.y), least


def _words(blur: Blur) -> str:
    level = f"told {blur.sigma * LEVELS:.2g} of 255 grey levels of noise"
    if blur.spec.startswith("gaussian"):
        return f"is blurred as by a Gaussian, {level}"
    if blur.round:
        return f"is out of focus, {level}"
    return f"is blurred by a kernel of its own, as of a shaken camera, which a folder of results holds; {level}"


def _left(found: Measurement, noise: str | Noise | None, sigma: float) -> Measurement:
    """What is done with a picture of which no kernel was found: its noise is removed, if it shows some."""
    note("%s: shows no blur that can be undone, so only its noise is removed; %s", found.origin, advice(BETTER, WIDTH))
    try:
        return look(found, None, noise)
    except DataError:  # nothing that could be removed: the picture comes back
        model = f"gaussian:sigma={max(sigma, 1 / LEVELS / 2):.3g}"
        return replace(found, operator="denoise", noise=model, guessed={"operator": "denoise", "noise": model})
