"""The algebra of operators against dense matrices: A @ B, A + B, c A, Aᴴ, ‖A‖ and stacks of measurements."""

import pytest
import torch

import xhat
from oracles import matrix, rbf_prior
from xhat.errors import ShapeError, SpecError
from xhat.likelihoods import likelihood
from xhat.loop import solve
from xhat.noise import Gaussian
from xhat.operators import OPERATORS, LinearOperator
from xhat.operators.algebra import Stacked
from xhat.rng import Rng
from xhat.testing import linear, operators

SHAPE = (1, 8, 8)


def op(name: str, **options):
    return OPERATORS[name](SHAPE, **options).double()


BLUR, MASK = op("gaussian_blur", std=1.0), op("inpaint", keep=0.4, seed=1)
SMALL = op("super_resolution", factor=2)

FORMS = {
    "product": (MASK @ BLUR, lambda: matrix(MASK) @ matrix(BLUR)),
    "sum": (BLUR + MASK, lambda: matrix(BLUR) + matrix(MASK)),
    "number": (0.5 * BLUR, lambda: 0.5 * matrix(BLUR)),
    "number behind": (BLUR * -2, lambda: -2 * matrix(BLUR)),
    "adjoint": (SMALL.H, lambda: matrix(SMALL).mT),
    "all": (2 * (MASK @ BLUR) + BLUR, lambda: 2 * matrix(MASK) @ matrix(BLUR) + matrix(BLUR)),
    "stack": (xhat.stack(BLUR, SMALL), lambda: torch.cat([matrix(BLUR), matrix(SMALL)])),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_matrix_is_that_of_the_formula(name):
    A, dense = FORMS[name]
    assert isinstance(A, LinearOperator)
    torch.testing.assert_close(matrix(A), dense(), rtol=1e-10, atol=1e-12)
    for law in (linear.is_linear, linear.adjoint, linear.counts_its_calls, operators.counts_its_calls):
        law(A)
    torch.testing.assert_close(A.norm(steps=300).max(), torch.linalg.matrix_norm(dense(), 2), rtol=1e-3, atol=0)


def test_the_adjoint_of_the_adjoint_is_the_operator():
    x = torch.randn(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(SMALL.H.H(x), SMALL(x))


def test_what_is_not_linear_stays_so():
    hdr = op("hdr")
    x = torch.rand(1, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for A, expected in ((hdr + BLUR, hdr(x) + BLUR(x)), (3 * hdr, 3 * hdr(x))):
        assert not isinstance(A, LinearOperator)
        torch.testing.assert_close(A(x), expected)
    assert not isinstance(xhat.stack(hdr, BLUR), LinearOperator)


def test_each_image_keeps_its_own_mask():
    each = OPERATORS["inpaint"](SHAPE, keep=0.4, seed=[1, 2, 3]).double()
    x = torch.randn(3, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for A in (each + BLUR, 2 * each, xhat.stack(each, BLUR)):
        torch.testing.assert_close(A.take(torch.tensor([2]))(x[2:]), A(x)[2:])


def test_two_measurements_of_one_image_with_two_noises():
    """A blurred one with much noise and a small one with little: likelihood, data step and posterior mean are exact."""
    prior = rbf_prior().double()
    x = prior.sample(Rng([0, 1]))
    sigmas = (0.3, 0.05)
    A = xhat.stack(BLUR, SMALL, sigmas=sigmas)
    ys = [part(x) + s * Rng([5, 6]).randn_like(part(x)) for part, s in zip((BLUR, SMALL), sigmas, strict=True)]
    like = likelihood(A, Gaussian(0.05), A.join(ys))
    each = [likelihood(part, Gaussian(s), y) for part, s, y in zip((BLUR, SMALL), sigmas, ys, strict=True)]
    at = 0.3 * x
    torch.testing.assert_close(like.nll(at), each[0].nll(at) + each[1].nll(at))
    # the mode under x' ~ N(at, 0.2²), by dense algebra with the noise of each measurement
    rows = torch.cat([matrix(BLUR) / 0.3, matrix(SMALL) / 0.05])
    data = torch.cat([ys[0].flatten(1) / 0.3, ys[1].flatten(1) / 0.05], 1)
    dense = torch.linalg.solve(
        rows.mT @ rows + torch.eye(64, dtype=rows.dtype) / 0.2**2, (data @ rows + at.flatten(1) / 0.2**2).mT
    ).mT
    found = like.prox(at, like.var / 0.2**2, close=0.0)
    torch.testing.assert_close(found.flatten(1), dense, rtol=0, atol=1e-3 * float(dense.std()))  # CG stops at 1e-4
    # a solver that needs no more than a linear problem takes it, and the second measurement helps
    lmaps = xhat.build("lmaps:steps=20", xhat.solvers.SOLVERS)
    both, one = (solve(lmaps, prior, problem, Rng([0, 1])) for problem in (like, each[0]))
    assert (both - x).square().mean() < 0.7 * (one - x).square().mean()


HOLES = {
    "number": lambda mask: 2 * mask,
    "sum": lambda mask: mask + 0.5 * mask,
    "union": lambda mask: mask + op("inpaint", mask="half"),
    "product": lambda mask: mask @ BLUR,
    "stack": lambda mask: xhat.stack(mask, BLUR, sigmas=[0.1, 0.3]),
    "both": lambda mask: xhat.stack(3 * mask, op("inpaint", mask="half")),
}


@pytest.mark.parametrize("seed", [1, [1, 2, 3]], ids=["one mask", "a mask for each image"])
@pytest.mark.parametrize("name", HOLES)
def test_a_hole_stays_one_in_whatever_it_is_a_part_of(name, seed):
    """The colour painted into it changes no bit of a likelihood, and it counts no number."""
    A = HOLES[name](op("inpaint", keep=0.4, seed=seed))
    g = torch.Generator().manual_seed(0)
    y = torch.stack([A(torch.randn(3, *SHAPE, dtype=torch.float64, generator=g)) for _ in range(4)])
    changes = (y != y[:1]).any(0)
    assert not changes.all()
    assert torch.equal(A.support.expand_as(changes), changes)
    grey, black = (likelihood(A, Gaussian(0.1), torch.where(changes, y[0], value)) for value in (0.0, -1.0))
    assert torch.equal(grey.y, black.y)
    assert torch.equal(grey.count, changes.flatten(1).sum(1).double())


def test_the_norm_of_each_image_is_its_own():
    """An operator with something for each image has a norm for each, one that is shared has one."""
    each = OPERATORS["mri"]((2, 8, 8), acceleration=2, coils=2, seed=[1, 2, 3]).double()
    found = each.norm(steps=300)
    assert found.shape == (3,)
    for i in range(3):
        dense = torch.linalg.matrix_norm(matrix(each.take(torch.tensor([i]))), 2)
        torch.testing.assert_close(found[i], dense, rtol=1e-3, atol=0)
    assert BLUR.norm().shape == (1,)


def test_the_split_undoes_the_join():
    A = xhat.stack(BLUR, SMALL)
    x = torch.randn(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    blurred, small = A.split(A(x))
    torch.testing.assert_close(blurred, BLUR(x))
    torch.testing.assert_close(small, SMALL(x))


def test_misfits_are_refused():
    other = OPERATORS["denoise"]((1, 4, 4))
    for make in (lambda: BLUR + other, lambda: xhat.stack(BLUR, other), lambda: BLUR + SMALL):
        with pytest.raises(ShapeError, match=r"no sum|one image"):
            make()
    with pytest.raises(ShapeError, match="1 weights for 2"):
        Stacked(BLUR, SMALL, weights=[1.0])


@pytest.mark.parametrize("sigma", [0.0, -0.1, float("nan"), float("inf")])
def test_a_noise_that_is_none_is_refused(sigma):
    with pytest.raises(SpecError, match="sigma"):
        xhat.stack(BLUR, SMALL, sigmas=[0.1, sigma])


def test_a_stack_of_nothing_or_with_sigmas_for_other_parts_is_refused():
    with pytest.raises(ShapeError, match="at least one"):
        xhat.stack()
    for sigmas in ([], [0.1], [0.1, 0.1, 0.1]):
        with pytest.raises(ShapeError, match=f"{len(sigmas)} sigmas for 2"):
            xhat.stack(BLUR, SMALL, sigmas=sigmas)
