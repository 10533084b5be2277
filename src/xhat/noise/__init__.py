"""Noise models. One line for each model here; those of the sciences join through `xhat.catalogue`."""

from ..registry import Registry, concrete
from .base import Gaussian, Noise, Noiseless, Poisson, Whitened

__all__ = ["NOISES", "Gaussian", "Noise", "Noiseless", "Poisson", "Whitened"]

NOISES: Registry[type[Noise]] = Registry("noises", Noise, concrete(vars(), Noise))
