"""The program that measures coverage: an exact sampler holds 90 %, one too sure or blind to bright pixels less."""

from dataclasses import dataclass

import pytest
import torch
from benchmarks.coverage import DRAWS, TRUTHS, covered

from xhat.likelihoods import likelihood
from xhat.noise import Gaussian
from xhat.operators.inpaint import Inpaint
from xhat.priors.none import NoPrior
from xhat.rng import Rng
from xhat.solvers import State
from xhat.solvers.base import Solver

SHAPE = (1, 16, 16)


@dataclass(frozen=True)
class Draw(Solver):
    """Draws of the posterior under N(0, I), spread times `width`, less `bias` where they are above 1."""

    steps: int = 1
    width: float = 1.0
    bias: float = 0.0

    def lacks(self, prior):
        return None

    def step(self, state, k, t, s, prior, like, rng):
        zero = torch.zeros_like(state.x)
        mean = like.prox(zero, like.var)
        x = mean + self.width * (like.draw(zero, 1.0, rng) - mean)
        x = torch.where(x > 1, x - self.bias, x)
        return State(x, x)


@pytest.mark.parametrize(("solver", "low", "high"), [(Draw(), 0.88, 0.92), (Draw(width=0.5), 0.0, 0.75)])
def test_an_exact_sampler_holds_ninety_per_cent(solver, low, high):
    """Six truths of 256 pixels that are independent: a standard error of 0.8 %."""
    x = Rng(range(TRUTHS)).randn_like(torch.empty(TRUTHS, *SHAPE))
    A = Inpaint(SHAPE, keep=0.5)
    noise = Gaussian(0.5)
    like = likelihood(A, noise, noise.sample(A(x), Rng(range(50, 50 + TRUTHS))))
    found = covered(solver, NoPrior(), like, x)
    assert low < sum(found["all"]) / TRUTHS < high
    assert len(found["all"]) == len(found["bright"]) == TRUTHS
    assert (DRAWS - 1) / (DRAWS + 1) == 0.9


def test_bright_pixels_are_told_apart():
    """Draws that lose what is bright hold most pixels and hardly a bright one."""
    x = Rng(range(TRUTHS)).randn_like(torch.empty(TRUTHS, *SHAPE))
    A = Inpaint(SHAPE, keep=1.0)
    noise = Gaussian(0.05)
    like = likelihood(A, noise, noise.sample(A(x), Rng(range(50, 50 + TRUTHS))))
    found = covered(Draw(bias=3.0), NoPrior(), like, x)
    assert sum(found["all"]) / TRUTHS > 0.7
    assert sum(found["bright"]) / TRUTHS < 0.1
