"""Denoising diffusion null-space model."""

from dataclasses import dataclass
from typing import Annotated

from ..ranges import Fraction
from ..transition import noise_in, renoise
from .base import Count, Level, PinvGaussian, Prior, Rng, Solver, State


@dataclass(frozen=True)
class DDNM(Solver[PinvGaussian]):
    """Null-space projection, Algorithm 1 (Wang et al., 2023), for noiseless data. arXiv:2212.00490

        x̂₀' = x̂₀ + A⁺(y) − A⁺(A(x̂₀)),   then ζ = η² with the network's own noise e

    For JPEG, where A⁺ is the identity, this is the rule of DDRM-JPEG (Kawar et al., 2022, arXiv:2209.11888).
    """

    needs = PinvGaussian

    steps: int = 100
    eta: Annotated[float, Fraction] = 0.85

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: PinvGaussian, rng: Rng) -> State:
        x0 = prior(state.x, t)
        projected = like.guided(x0, 0.0)
        return State(renoise(state.x, projected, t, s, self.eta**2, rng, old=noise_in(state.x, x0, t)), projected)
