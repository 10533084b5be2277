"""Noise models. This import list is the registry: one line per model."""

from ..registry import concrete
from .base import Gaussian, Noise, Noiseless, Poisson, Whitened
from .vlbi import VLBI

__all__ = ["NOISES", "VLBI", "Gaussian", "Noise", "Noiseless", "Poisson", "Whitened"]

NOISES = concrete(vars(), Noise)
