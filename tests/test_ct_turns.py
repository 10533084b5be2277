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


@pytest.mark.parametrize("sigma", [0.001, 0.01])
@pytest.mark.parametrize("s", [3.0, 0.3, 0.03])
def test_solves_are_as_near_as_asked(sigma, s):
    """prox under N(0, s² I), with data of white noise, of a ramp and of a blur, against dense linear algebra.

    Measured: off by up to 2.0 times what is asked for; solves on the image, which know less, by up to 3.3.
    """
    A, close = operator("ct:angles=10", (1, 32, 32)), 0.05 * s
    torch.manual_seed(0)
    x = torch.randn(3, 1, 32, 32)
    x[1], x[2] = torch.rand(32, 32).cumsum(1).fmod(1), torch.nn.functional.avg_pool2d(x[2], 5, 1, 2)
    y = A(x) + sigma * torch.randn(3, *A.data_shape) * A.seen
    dense, rho = A.M.to_dense(), (sigma / s) ** 2
    want = (dense.T @ torch.linalg.solve(dense @ dense.T + rho * torch.eye(len(dense)), y.flatten(1).T)).T
    want = want.reshape(x.shape)
    assert (rms(A.ridge(y, rho, close) - want) < 2.5 * close).all()
    # A residual of 1e-4 on the data is an error of 1e-4 ‖y‖/(2 √ρ) of the image, and of less where it fits.
    assert (rms(A.ridge(y, rho) - want) < 1e-2 * rms(want)).all()


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
    """Measured: 102 operator calls and 230, for the same image."""
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


@pytest.mark.parametrize(
    "given", ["20,arc=120", "20,offset=0.01", "20,geometry=fan", "[0,9,20,30,41]", "60", "20,axis=[0.1,0]"]
)
def test_where_turns_do_not_help(given):
    assert not operator(f"ct:angles={given}", (1, 64, 64)).turning
