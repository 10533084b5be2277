"""Noise models. This import list is the registry: one line per model."""

from ..registry import concrete
from ..science.vlbi.noise import VLBI
from .base import Gaussian, Noise, Noiseless, Poisson, Whitened

__all__ = ["NOISES", "VLBI", "Gaussian", "Noise", "Noiseless", "Poisson", "Whitened"]

NOISES = concrete(vars(), Noise)
