"""Network conventions that only checkpoints have; those of diffusers folders are in `precondition.py`."""

import math
from dataclasses import dataclass

from ..precondition import Coefficients, Karras, Precondition


@dataclass(frozen=True)
class SongVP(Precondition):
    """EDM's "VP": ε from a network told 999 t, β(t) = β_min + β_d t (Karras et al., 2022, table 1). arXiv:2206.00364"""

    predictions = ("epsilon",)

    prediction: str = "epsilon"
    beta_d: float = 19.9
    beta_min: float = 0.1
    steps: int = 1000  # number of time steps of the discrete model in which the network counts time

    def __call__(self, ratio: float) -> Coefficients:
        t = (math.sqrt(self.beta_min**2 + 2 * self.beta_d * math.log1p(ratio**2)) - self.beta_min) / self.beta_d
        return Coefficients(1.0, -ratio, 1 / math.hypot(1, ratio), (self.steps - 1) * t)


@dataclass(frozen=True)
class SongVE(Precondition):
    """EDM's "VE": −ε from a network told ln(ρ/2) (Karras et al., 2022, table 1). arXiv:2206.00364"""

    predictions = ("epsilon",)

    prediction: str = "epsilon"

    def __call__(self, ratio: float) -> Coefficients:
        return Coefficients(1.0, ratio, 1.0, math.log(ratio / 2))


@dataclass(frozen=True)
class Teacher(Precondition):
    """The EDM models of github.com/openai/consistency_models: like EDM, but the time is 250 ln σ, as ADM counts to
    1000.
    """

    predictions = ("epsilon",)

    prediction: str = "epsilon"
    sigma_data: float = 0.5

    def __call__(self, ratio: float) -> Coefficients:
        edm = Karras(self.prediction, self.sigma_data)(ratio)
        return edm._replace(noise=1000 * edm.noise)
