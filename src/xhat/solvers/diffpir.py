"""Plug-and-play diffusion restoration."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..ranges import Fraction, Positive
from .base import Image, Level, PinvGaussian, PointEstimator, Prior, Rng, Rule


@dataclass(frozen=True)
class DiffPIR(PointEstimator[PinvGaussian]):
    """Plug-and-play diffusion restoration, Algorithm 1 (Zhu et al., 2023). arXiv:2305.08995

        x̂₀ = argmin ‖y − A x‖² + λ σ_y²/ρ_t² ‖x − E[x₀|x_t]‖²,   then ζ with the recomputed noise

    λ = 1 is the exact mean under Cov[x₀|x_t] = ρ_t² I. The defaults are those of the official yaml files, whose
    λ = 1 is 0.25 here, because σ_y is in units of [0, 1] there and ρ_t in units of [−1, 1]. ζ is 0.25 there for
    super-resolution, 0.1 for deblurring and 1 for inpainting. The paper is about linear A; for JPEG,
    quantisation and clipping the data step is the mean on the cells that y names, see `CellGaussian.prox`.
    """

    needs = PinvGaussian
    returns: ClassVar[str] = "sample"  # the paper draws with ζ < 1

    steps: int = 100
    lam: Annotated[float, Positive] = 0.25
    zeta: Annotated[float, Fraction] = 0.25
    renoise: Rule = "full"

    @property
    def proximal(self) -> bool:
        return True

    def estimates(
        self, x: Image, t: Level, s: Level, prior: Prior, like: PinvGaussian, rng: Rng
    ) -> tuple[Image, Image]:
        m = prior(x, t)
        return m, like.prox(m, self.lam * like.var / t.ratio**2)
