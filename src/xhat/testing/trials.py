"""Small problems with a known posterior, one of which any solver takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from ..errors import MismatchError
from ..likelihoods import Likelihood, likelihood
from ..loop import Step, solve, trajectory
from ..noise import Gaussian, Noise, Noiseless
from ..numerics.build_dtype import double_by_default
from ..operators.base import Operator
from ..operators.blind_blur import BlindBlur
from ..operators.inpaint import Inpaint
from ..priors.base import Prior
from ..priors.latent import Autoencoded
from ..rng import Rng
from ..schedule import Schedule
from ..solvers.base import AnySolver
from .exact import SHAPE, GaussianText, LayeredGaussian, Rotation, smooth_field

KINDS = ("field", "layers", "latents", "text")


@dataclass(frozen=True)
class Trial:
    """A problem: 8x8 images of a smooth Gaussian field, measured. `kind` names the prior, see `prior_of`."""

    kind: str
    prior: Prior
    like: Likelihood
    truth: Tensor  # (b, 1, 8, 8)
    seen: Tensor  # (1, 8, 8), true where a pixel was measured

    def run(self, solver: AnySolver, seeds: Sequence[int], schedule: Schedule | None = None) -> Tensor:
        """The estimate with one seed an image, on the levels of `schedule` or of the prior."""
        return solve(solver, self.prior, self.like, Rng(seeds), schedule)

    def steps(self, solver: AnySolver, rng: Rng, **options: Any) -> Iterator[Step]:
        """The steps one by one; `options` are those of `trajectory`."""
        return trajectory(solver, self.prior, self.like, rng, **options)


def prior_of(kind: str, base: Prior | None = None) -> Prior:
    """A prior of images of `SHAPE`: a "field", one with "layers" to enter, over "latents", or over latents with "text".

    `base` stands in for the field, but for "layers", which only the field has.
    """
    field = smooth_field()
    if kind == "field":
        return base or field
    if kind == "layers":
        return LayeredGaussian(field)
    rotation = Rotation()
    latents = base or rotation.rotated(field)
    return GaussianText(latents, rotation) if kind == "text" else Autoencoded(latents, rotation)


def trial(
    solver: AnySolver,
    seeds: Sequence[int] = (0, 1),
    dtype: torch.dtype = torch.float64,
    noise: Noise | None = None,
    keep: float = 0.3,
) -> Trial:
    """The first problem that `solver` takes, one image a seed: image and measurement depend on the seed only.

    Tried are `noise` (Gaussian of 0.1 by default) before none, each with inpainting, a share `keep` of the pixels
    seen, before a blur with an unknown kernel, each with the priors of `KINDS` in turn. Raises MismatchError if the
    solver takes none of these.
    """
    reason = ""
    for model, blind, kind in product((noise or Gaussian(0.1), Noiseless()), (False, True), KINDS):
        made = _problem(kind, blind, model, seeds, dtype, keep)
        try:
            next(made.steps(solver, Rng(seeds)))
        except MismatchError as e:
            reason = reason or str(e)
        else:
            return made
    raise MismatchError(f"no problem of xhat.testing fits {type(solver).__name__}; the first said: {reason}")


def _problem(kind: str, blind: bool, noise: Noise, seeds: Sequence[int], dtype: torch.dtype, keep: float) -> Trial:
    with double_by_default():
        A: Operator = BlindBlur(SHAPE, size=3, std=0.6) if blind else Inpaint(SHAPE, keep=keep)
        seen = torch.ones(SHAPE, dtype=torch.bool) if blind else A(torch.ones(1, *SHAPE))[0] > 0
        x, prior = smooth_field().sample(Rng(seeds)), prior_of(kind)
        y = noise.sample(A(x), Rng([s + 1000 for s in seeds]))
    prior = prior.to(dtype)
    return Trial(kind, prior, prior.problem(likelihood(A.to(dtype), noise, y.to(dtype))), x, seen)
