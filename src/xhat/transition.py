"""From level t to level s < t, given an estimate of the clean image.

    x_s = α_s x̂₀ + σ_s (√(1−ζ) e' + √ζ ε),   e' = ê = (x_t − α_t x̂₀) / σ_t unless a method keeps the old noise

ζ = 0 is DDIM, ζ = 1 forgets x_t (DAPS), ζ = 1 − (ρ_s/ρ_t)² is DDPM; DiffPIR has a constant ζ. Images are (b, *image).
"""

import math

from .rng import Rng
from .schedule import Level
from .types import Image


def noise_in(x: Image, x0: Image, t: Level) -> Image:
    """ê = (x_t − α_t x̂₀)/σ_t, the noise in `x` at level `t` if `x0` is the clean image."""
    return (x - t.alpha * x0) / t.sigma


def renoise(x: Image, x0: Image, t: Level, s: Level, zeta: float, rng: Rng, old: Image | None = None) -> Image:
    """x_s at level `s` from x_t = `x` at level `t` and the estimate `x0`, by the formula above.

    `zeta` in [0, 1] is the fraction of the noise variance that is new. e' is recomputed from `x0`, or is `old` if that
    is given. At the clean level the result is `x0` itself.
    """
    if s.sigma == 0:
        return x0
    out = s.alpha * x0
    if zeta < 1:
        out = out + s.sigma * math.sqrt(1 - zeta) * (noise_in(x, x0, t) if old is None else old)
    if zeta > 0:
        out = out + s.sigma * math.sqrt(zeta) * rng.randn_like(x)
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
