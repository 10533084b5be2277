"""Likelihoods. A class of your own, anywhere, is found by the types of its fields: nothing is listed here but names."""

from .base import (
    LeastSquares,
    Likelihood,
    LinearGaussian,
    NoiselessLinear,
    NoiselessSpectral,
    PinvGaussian,
    SpectralGaussian,
    likelihood,
)
from .blind import BlindGaussian
from .cells import CellGaussian
from .coupled import CoupledGaussian, CoupledVariation, couple
from .latent import LatentLikelihood, LatentLinear, of_latents

__all__ = [
    "BlindGaussian",
    "CellGaussian",
    "CoupledGaussian",
    "CoupledVariation",
    "LatentLikelihood",
    "LatentLinear",
    "LeastSquares",
    "Likelihood",
    "LinearGaussian",
    "NoiselessLinear",
    "NoiselessSpectral",
    "PinvGaussian",
    "SpectralGaussian",
    "couple",
    "likelihood",
    "of_latents",
]
