"""Holes filled by a smooth surface: where a run under a prior of any size of image begins."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..likelihoods import LinearGaussian
from ..numerics.linalg import cg
from ..operators.inpaint import Inpaint
from ..priors.pixel import PixelPrior
from ..types import Image
from .base import Likelihood, Prior

START = 1.0  # ρ: what is larger than a hole is in the surface, and from here on the prior draws what is smaller
MOST = 2000  # iterations, for holes of about as many pixels across
CLOSE = 1e-3  # of the right side: far below what noise of ρ = 1 covers


def smooth_start(prior: Prior, like: Likelihood) -> bool:
    """Whether a run begins at filled holes: A is a mask, and `prior` knows no size of images.

    A network that was trained on pieces of photographs knows nothing of what is larger than these. From pure noise it
    draws something there that a surface through the rim of the hole excludes.
    """
    whole = isinstance(prior, PixelPrior) and prior.size is None
    return whole and not prior.closed_form and isinstance(like, LinearGaussian) and isinstance(like.A, Inpaint)


def filled(like: Likelihood) -> Image:
    """The measurement of an inpainting problem with its holes filled, (b, *image)."""
    assert isinstance(like.A, Inpaint), "smooth_start asks for it"
    return harmonic(like.y, like.A.support)


def harmonic(y: Image, known: Tensor) -> Image:
    """`y` (b, c, h, w), and where `known` (1 or b, 1 or c, h, w) is false the harmonic function with these values at
    its rim: Δ x = 0, the edges of the image reflecting.
    """
    hole = (~known).to(y).expand_as(y)
    kept = torch.where(known, y, 0.0)
    mean = kept.sum((-2, -1), keepdim=True) / known.expand_as(y).sum((-2, -1), keepdim=True).clamp_min(1)
    surface = cg(lambda v: hole * laplace(hole * v), -hole * laplace(kept), MOST, tol=0.0, x=hole * mean, close=CLOSE)
    return torch.where(known, y, surface)


def laplace(x: Image) -> Image:
    """−Δ x on the grid, (b, c, h, w): each pixel times the number of its neighbours, less these."""
    wide = F.pad(x, [1, 1, 1, 1], mode="replicate")
    around = wide[..., 2:, 1:-1] + wide[..., :-2, 1:-1] + wide[..., 1:-1, 2:] + wide[..., 1:-1, :-2]
    return 4 * x - around
