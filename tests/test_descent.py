"""Least squares without a prior: L-BFGS and Adam find what linear algebra finds; bands go from low to high."""

import math
from itertools import pairwise

import pytest
import torch

from oracles import problem, rbf_prior
from xhat.baselines import BASELINES
from xhat.baselines.descent import LBFGS, Adam, begin, coarse, direction
from xhat.errors import DivergedError, MismatchError
from xhat.likelihoods import likelihood
from xhat.loop import solve, trajectory
from xhat.noise import Gaussian, Noiseless
from xhat.operators.base import LinearOperator, Operator
from xhat.priors.none import NoPrior
from xhat.rng import Rng
from xhat.science.fwi.operator import FWI

double = pytest.mark.usefixtures("float64")
SMALL = {"sources": 2, "receivers": 6, "time": 150, "frequency": 20, "cells": 6, "slowest": 1, "fastest": 6, "dt": 1}


class Matrix(LinearOperator):
    """y = M x, M square with singular values from 1 to 1/`worst`."""

    def __init__(self, shape, worst=10.0):
        super().__init__(shape)
        n = math.prod(shape)
        g = torch.Generator().manual_seed(1)
        u, v = (torch.linalg.qr(torch.randn(n, n, generator=g, dtype=torch.float64))[0] for _ in range(2))
        self.M = u @ torch.diag(torch.logspace(0, -math.log10(worst), n, dtype=torch.float64)) @ v

    def forward(self, x):
        return x.flatten(1) @ self.M.T


@double
@pytest.mark.parametrize("steps", [1, 4])
def test_direction_is_newtons_where_the_pairs_tell_all(steps):
    """On ½xᵀ D x with pairs along all axes H is D⁻¹, so that −H g leads to the minimum; with none it is −S g."""
    D = torch.tensor([1.0, 4.0, 9.0, 0.5])
    g = torch.tensor([[0.3, -2.0, 1.0, 0.7]])
    moves = torch.eye(4)[None]
    found = direction(g, moves, moves * D, 1.0, lambda v: v)
    torch.testing.assert_close(found, -g / D)
    none = torch.zeros(1, steps, 4)
    torch.testing.assert_close(direction(g, none, none, 0.5, lambda v: 3 * v), -g * (0.5 / 2.0))


@double
@pytest.mark.parametrize("smooth", [0.0, 0.7])
def test_lbfgs_solves_least_squares(smooth):
    """Of a condition of 100 (ten squared) it needs far fewer steps than the 16 numbers squared; Adam comes near."""
    A = Matrix((1, 4, 4))
    x = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    like = likelihood(A, Noiseless(1e-9), A(x))
    found = solve(LBFGS(steps=60, smooth=smooth), NoPrior(), like, Rng([0, 1]))
    torch.testing.assert_close(found, x, rtol=0, atol=1e-4)
    if not smooth:  # Adam scales each number by itself, which a smooth gradient hardly bears on a matrix like this
        near = solve(Adam(steps=400, lr=0.02), NoPrior(), like, Rng([0, 1]))
        assert float(like.residual(near).norm()) < 0.05 * float(like.y.norm())


@double
def test_the_energy_never_rises():
    A = FWI((1, 10, 8), **SMALL)
    x = torch.linspace(-0.6, 0.6, 8).expand(2, 1, 10, 8).clone()
    x[0, 0, 4:7, 3:5] += 0.4
    like = likelihood(A, Gaussian(1e-3), A(x))
    size = [float(like.residual(s.state.x0).norm()) for s in trajectory(LBFGS(steps=8), NoPrior(), like, Rng([0, 1]))]
    assert all(b <= a for a, b in pairwise(size))
    assert size[-1] < 0.3 * size[0]


@double
@pytest.mark.parametrize("name", ["adam", "lbfgs"])
def test_it_stops_at_the_noise(name):
    """Morozov's principle: more steps do not go on to fit the noise, which is 0 at the end of least squares."""
    A = Matrix((1, 4, 4), worst=300.0)
    x = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = A(x)
    like = likelihood(A, Gaussian(0.05), y + 0.05 * torch.randn_like(y))
    left, expected = like.misfit(solve(BASELINES[name](steps=200), NoPrior(), like, Rng([0, 1])))
    assert (left <= expected).all()
    assert (left > 0.3 * expected).all(), "it went on"


class Wall(Operator):
    """y = x², for x below 2 only."""

    def forward(self, x):
        if (bad := (x.abs() > 2).flatten(1).any(1)).any():
            raise DivergedError("wall: x is above 2", bad.nonzero().flatten().tolist())
        return x**2


@double
def test_a_step_out_of_where_the_operator_is_defined_is_not_taken():
    """The first step of length 10 leads beyond the wall; the other image of the batch is as if alone."""
    A = Wall((1, 2, 2))
    x = torch.full((2, 1, 2, 2), 1.5, dtype=torch.float64)
    x[1] = 1.9
    like = likelihood(A, Noiseless(1e-9), A(x))

    class From(LBFGS):
        def init(self, t, prior, like, rng):
            return self.start(torch.full_like(like.y, 1.0))

    both = solve(From(steps=30, reach=3.0), NoPrior(), like, Rng([0, 1]))
    torch.testing.assert_close(both, x, rtol=0, atol=1e-5)
    alone = solve(From(steps=30, reach=3.0), NoPrior(), like.take(torch.tensor([1])), Rng([1]))
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-12)


@double
def test_bands_are_low_passes_of_the_time_of_data():
    """Low frequencies stay and high ones go, the more of them the larger the share; time does not shift."""
    A = FWI((1, 10, 8), **SMALL)
    t = torch.arange(A.steps) * 1e-3
    low, high = (torch.sin(2 * torch.pi * f * t)[None, None, :, None].expand(1, *A.data_shape) for f in (8.0, 150.0))
    inside = slice(40, -40)  # away from the ends, where a filter sees that the record begins and ends

    def size(v):
        return float(v[:, :, inside].norm())

    found = coarse(A, low + high, 0.6)  # 30 Hz
    assert size(found - low) < 0.05 * size(low)
    assert size(coarse(A, low, 0.04)) < 0.1 * size(low)  # 2 Hz
    half = FWI((1, 10, 8), **SMALL, every=2)
    thin = coarse(half, (low + high)[:, :, ::2], 0.6)[:, :, 20:-20]
    torch.testing.assert_close(thin, found[:, :, ::2][:, :, 20:-20], rtol=0, atol=0.02)


def test_bands_go_up_and_the_last_is_all(monkeypatch):
    asked = []
    A = FWI((1, 10, 8), **SMALL)
    monkeypatch.setattr("xhat.baselines.descent.coarse", lambda A, r, share: asked.append(share) or r)
    like = likelihood(A, Gaussian(0.1), torch.ones(1, *A.data_shape))
    solve(Adam(steps=6, bands=3, lowest=0.25), NoPrior(), like, Rng([0]))
    assert asked == pytest.approx([0.25, 0.25, 0.5, 0.5])
    _, other = problem(rbf_prior(), [0], "inpaint", Gaussian(0.1))
    monkeypatch.undo()
    with pytest.raises(MismatchError, match="leave out bands"):
        solve(LBFGS(steps=4, bands=2), NoPrior(), other, Rng([0]))


def test_seismic_descent_begins_with_velocity_growing_with_depth():
    A = FWI((1, 10, 8), **SMALL)
    v = A.modality.units(begin(A, torch.zeros(2, 1, 10, 8)))
    torch.testing.assert_close(v[1, 0, 3], torch.linspace(2, 4, 8))
    assert torch.equal(begin(Matrix((1, 4, 4)), torch.zeros(1, 1, 4, 4)), torch.zeros(1, 1, 4, 4))
