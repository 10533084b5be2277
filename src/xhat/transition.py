"""From level t to level s < t, given an estimate of the clean image.

    x_s = α_s x̂₀ + σ_s (√(1−ζ) e' + √ζ γ ε),   e' = ê = (x_t − α_t x̂₀) / σ_t unless a method keeps the old noise

ζ = 0 is DDIM, ζ = 1 forgets x_t (DAPS), ζ = 1 − (ρ_s/ρ_t)² is DDPM; DiffPIR has a constant ζ. γ is 1 for samplers,
whose variance must come out right. A method that looks for one best image adds only the noise that helps it, and none
at the end: `fresh`. Images are (b, *image).
"""

import math
from collections.abc import Callable
from typing import Literal

from .errors import SpecError
from .numerics.linalg import bcast
from .rng import Rng
from .schedule import Level
from .types import Image, PerImage

Rule = Literal["full", "calibrated", "none"]
FACTOR = 5.0  # fresh noise ends where the prior's error is a fifth of the variance that would be added
VARIANCE = 0.25  # of an image whose prior does not state its error: EDM's σ_data² of pictures in [−1, 1]


def noise_in(x: Image, x0: Image, t: Level) -> Image:
    """ê = (x_t − α_t x̂₀)/σ_t, the noise in `x` at level `t` if `x0` is the clean image."""
    return (x - t.alpha * x0) / t.sigma


def fresh(
    rule: Rule, t: Level, s: Level, mse: Callable[[Level], float | None], moved: Callable[[], PerImage] | None = None
) -> tuple[PerImage | float, PerImage | float]:
    """γ and β of a method that looks for one best image, for the step from level `t` to `s`; `rule` is its `renoise`.

        full         γ = 1,  β = 0
        calibrated   γ² = max(0, 1 − q),  β = max(0, 1 − 1/q),  q = (5 E_t + d²)/ρ_s²
        none         γ = 0,  β = 0: half-quadratic splitting

    `mse` gives E_t, the mean squared error of the prior at level t per number of the image, as `Prior.mse` does; only
    `calibrated` asks it. d² is what `moved` gives, (b,): the mean square of the noise that came in when the data moved
    E[x₀|x_t] to x̂₀. Where A is weak the data step amplifies the noise of y, which then is in the state already. Without
    `moved` it counts as 0, and the results are numbers, else one per image.
    With γ = 1 the state is noisier than the prior is told, because x̂₀ is itself wrong, and the run never comes to the
    mode. Noise is wanted while ρ is large, where it keeps a learned prior on inputs that it knows. Without noise the
    run is a fixed-point iteration, which contracts by the mean derivative of the denoiser, E_t/ρ_t²: where that is
    close to 1 it is slow, and β is the momentum that speeds it up. None stands for a prior that does not state its
    error: it is taken at the largest that it can have for images of variance V = 0.25, that of the best linear
    denoiser, ρ²V/(ρ² + V). There is then less noise, never too much. Raises SpecError for another `rule`.
    """
    if rule == "full":
        return 1.0, 0.0
    if rule == "none" or s.sigma == 0:
        return 0.0, 0.0
    if rule != "calibrated":
        raise SpecError(f"renoise must be full, calibrated or none, not {rule!r}")
    error = mse(t)
    q = FACTOR * (t.ratio**2 * VARIANCE / (t.ratio**2 + VARIANCE) if error is None else error) / s.ratio**2
    if moved is None:
        return math.sqrt(max(0.0, 1 - q)), 1 - 1 / max(1.0, q)
    each = q + moved() / s.ratio**2
    return (1 - each).clamp_min(0).sqrt(), 1 - 1 / each.clamp_min(1)


def renoise(
    x: Image,
    x0: Image,
    t: Level,
    s: Level,
    zeta: float,
    rng: Rng,
    old: Image | None = None,
    gamma: PerImage | float = 1.0,
) -> Image:
    """x_s at level `s` from x_t = `x` at level `t` and the estimate `x0`, by the formula above.

    `zeta` in [0, 1] is the fraction of the noise variance that is new, and `gamma` in [0, 1] the share of its standard
    deviation that is added, a number or one per image. e' is recomputed from `x0`, or is `old` if that is given. At the
    clean level the result is `x0` itself.
    """
    if s.sigma == 0:
        return x0
    out = s.alpha * x0
    if zeta < 1:
        out = out + s.sigma * math.sqrt(1 - zeta) * (noise_in(x, x0, t) if old is None else old)
    if zeta > 0 and not (isinstance(gamma, float) and gamma == 0):
        out = out + s.sigma * math.sqrt(zeta) * bcast(gamma, x) * rng.randn_like(x)
    return out


def mean(x: Image, x0: Image, t: Level, s: Level, zeta: float) -> Image:
    """The mean of `renoise`; its standard deviation is σ_s √ζ."""
    return s.alpha * x0 + s.sigma * math.sqrt(1 - zeta) * noise_in(x, x0, t)


def ddpm(t: Level, s: Level) -> float:
    """The ζ that makes `renoise` the posterior p(x_s | x_t, x₀ = x̂₀) (Ho et al., 2020, eq. 6). arXiv:2006.11239"""
    return 1 - (s.ratio / t.ratio) ** 2


def ancestral(x: Image, x0: Image, t: Level, s: Level, rng: Rng) -> Image:
    """One DDPM step: `renoise` with ζ of `ddpm`."""
    return renoise(x, x0, t, s, ddpm(t, s), rng)
