"""A data step that goes as far as the noise lets it, for methods whose own steps end before the data are explained."""

from ..numerics.inner import adam
from ..numerics.linalg import sq
from .base import Image, Likelihood

LR = 0.005  # of Adam on latents of unit variance; the official code of ReSample has it


def fit(x: Image, like: Likelihood, steps: int, lr: float = LR) -> Image:
    """argmin ‖y − A(x)‖² by at most `steps` steps of Adam from `x`, stopped when the residual is that of the noise."""
    return adam(lambda x: sq(like.residual(x)), x, lr, steps, goal=like.explained)
