"""Priors. This import list is the registry: one line per prior."""

from .base import Denoiser, FixedShape, Prior
from .gaussian import GaussianPrior

__all__ = ["Denoiser", "FixedShape", "GaussianPrior", "Prior"]
