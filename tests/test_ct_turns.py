"""Tomography with few views all around: the mean over turns against its definition, and solves that start from it."""

import numpy as np
import pytest
import torch

from oracles import operator
from xhat.likelihoods import likelihood
from xhat.noise import Gaussian
from xhat.numerics.calls import counting
from xhat.numerics.linalg import rms
from xhat.operators import OPERATORS
from xhat.rng import Rng

pytestmark = pytest.mark.usefixtures("float64")
FEW = {"an even number": ("ct:angles=8", (1, 24, 24)), "twice an odd one": ("ct:angles=6", (2, 24, 24)),
       "an oblong": ("ct:angles=6", (1, 24, 20)), "a start": ("ct:angles=8,start=10", (1, 24, 24)),
       "no cell in the middle": ("ct:angles=7,detectors=30", (1, 24, 24))}  # fmt: skip


def mean_over_turns(A):
    """A Aᵀ averaged over all turns from view to view and over the mirror image, by moving its rows and columns."""
    _, _, views, cells = A.seen.shape
    gram = A.M.to_dense() @ A.M.to_dense().T
    at = np.arange(views * cells).reshape(views, cells)
    turned = torch.from_numpy(np.concatenate([at[1:], at[:1, ::-1]]).ravel())  # after the last view comes −(the first)
    mirrored = torch.from_numpy(np.concatenate([at[:1, ::-1], at[:0:-1]]).ravel())
    total, move = torch.zeros_like(gram), torch.arange(views * cells)
    for _ in range(2 * views):
        total, move = total + gram[move][:, move], turned[move]
    return (total + total[mirrored][:, mirrored]) / (4 * views)


@pytest.mark.parametrize("name", FEW)
def test_mean_over_turns(name):
    spec, shape = FEW[name]
    A = operator(spec, shape)
    K, rho = mean_over_turns(A), torch.tensor([1e-3, 1e-5])
    r = torch.randn(2, shape[0], *A.seen.shape[2:])
    for i, out in enumerate(A.turns(r, rho)):
        want = torch.linalg.solve(K + rho[i] * torch.eye(len(K)), r[i].flatten(1).T).T
        assert torch.allclose(out.flatten(1), want, rtol=1e-9, atol=1e-9 * float(want.abs().max()))


@pytest.mark.parametrize("rho", [1e-6, 1e-4, 1e-2, 1.0])
def test_solves_are_as_near_as_asked(rho):
    """Against dense linear algebra, at ratios of noise and prior from nearly singular on; measured: up to 0.9."""
    A = operator("ct:angles=10", (1, 32, 32))
    dense, y = (
        A.M.to_dense(),
        torch.randn(3, 1, *A.seen.shape[2:]) * A.seen * torch.tensor([0.05, 0.5, 5.0]).reshape(3, 1, 1, 1),
    )
    want = dense.T @ torch.linalg.solve(dense @ dense.T + rho * torch.eye(len(dense)), y.flatten(1).T)
    for close in (0.1, 0.01):
        off = rms(A.ridge(y, rho, close) - want.T.reshape(3, 1, 32, 32))
        assert (off < 1.3 * close).all()
    assert (rms(A.ridge(y, rho) - want.T.reshape(3, 1, 32, 32)) < 1e-3 * rms(want.T)).all()


def test_images_never_mix():
    """Each image of a batch, one harder than the other, is what it is alone; rounding only."""
    A = operator("ct:angles=10", (1, 32, 32))
    y = torch.randn(3, 1, *A.seen.shape[2:]) * torch.tensor([0.01, 1.0, 3.0]).reshape(3, 1, 1, 1)
    rho, close = torch.tensor([1e-5, 1e-3, 1e-1]), torch.tensor([0.02, 0.05, 0.01])
    batch = A.ridge(y, rho, close)
    for i in range(3):
        one = A.ridge(y[i : i + 1], rho[i : i + 1], close[i : i + 1])
        assert (batch[i : i + 1] - one).abs().max() < 1e-9 * one.abs().max()


def test_they_take_half_the_work():
    """As few products as were measured (20 views of 64 x 64: 104 and 254), for the same image."""
    A = OPERATORS["ct"]((1, 64, 64), angles=20)
    x = torch.rand(1, 1, 64, 64).cumsum(3).fmod(1) * 2 - 1
    like = likelihood(A, Gaussian(0.005), Gaussian(0.005).sample(A(x), Rng([0])))
    calls, out = {}, {}
    for A.turning in (True, False):
        with counting() as count:
            out[A.turning] = [like.prox(torch.zeros_like(x), like.var / s**2) for s in (3.0, 1.0, 0.3, 0.1)]
        calls[A.turning] = count.operator
    assert calls[True] < 0.6 * calls[False]
    for a, b, s in zip(out[True], out[False], (3.0, 1.0, 0.3, 0.1), strict=True):
        assert rms(a - b) < 0.1 * s


@pytest.mark.parametrize("spec", ["ct:angles=20,arc=120", "ct:angles=20,offset=0.01", "ct:angles=20,geometry=fan",
                                  "ct:angles=[0,9,20,30,41,50]", "ct:angles=60", "ct:angles=20,axis=[0.1,0]"])  # fmt: skip
def test_where_turns_do_not_help(spec):
    assert not operator(spec, (1, 64, 64)).turning
