"""Operators of other libraries give what they give there, and their adjoint is theirs."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import xhat
from xhat.errors import MismatchError, ShapeError, SpecError
from xhat.numerics.autodiff import vjp
from xhat.operators.base import LinearOperator
from xhat.testing import check_operator

G = torch.Generator().manual_seed(0)
M = torch.randn(30, 48, generator=G)
SHAPE = (3, 4, 4)
X = torch.randn(2, *SHAPE, generator=G)
QUICK = {"noise": 0.05, "prior": lambda x, s: x / (1 + s**2), "solver": "lmaps:steps=2", "device": "cpu"}


def forms():
    sparse = pytest.importorskip("scipy.sparse")
    yield "tensor", M
    yield "array", M.numpy()
    yield "sparse", sparse.csr_array(M.numpy())
    yield "linop", sparse.linalg.aslinearoperator(M.double().numpy())


@pytest.mark.parametrize("form", ["tensor", "array", "sparse", "linop"])
def test_a_matrix_in_every_form_is_one_operator(form):
    given = dict(forms())[form]
    y = M @ X[0].flatten()
    r = xhat.restore(y, operator=given, shape=SHAPE, **QUICK)
    assert torch.allclose(r.problem.A(X), X.flatten(1) @ M.T, atol=1e-4)
    exact = xhat.restore(y, operator=M, shape=SHAPE, **QUICK).images  # by the SVD; others solve to 1e-4 in A x
    assert torch.allclose(r.images, exact, atol=2e-3)
    assert "0x" not in r.record["operator"]
    assert xhat.simulate(X[0], given, 0.05).y.shape == (30,)


def test_a_foreign_operator_keeps_the_laws():
    linalg = pytest.importorskip("scipy.sparse.linalg")
    check_operator(xhat.from_linop(linalg.aslinearoperator(M.double().numpy()), SHAPE))


def test_a_large_matrix_is_not_decomposed():
    wide = torch.randn(5, 3 * 64 * 64, generator=G)
    A = xhat.restore(torch.zeros(5), operator=wide, shape=(3, 64, 64), **QUICK).problem.A
    assert type(A).__name__ == "Matrix"
    x, y = torch.randn(1, 3, 64, 64, generator=G), torch.randn(1, 5, generator=G)
    assert torch.allclose((A(x) * y).sum(), (x * A.adjoint(y)).sum(), rtol=1e-3)


def test_a_complex_linear_operator():
    linalg = pytest.importorskip("scipy.sparse.linalg")
    C = (torch.randn(20, 48, generator=G) + 1j * torch.randn(20, 48, generator=G)).numpy()
    A = xhat.from_linop(linalg.aslinearoperator(C), SHAPE)
    assert torch.allclose(A(X), (X.flatten(1).to(torch.complex64) @ torch.from_numpy(C).T), atol=1e-4)
    y = torch.randn(2, 20, dtype=torch.complex64, generator=G)
    assert torch.allclose(A.adjoint(y), (y @ torch.from_numpy(C).conj()).real.reshape(X.shape), atol=1e-4)


def test_what_is_wrong_with_a_linear_operator():
    linalg = pytest.importorskip("scipy.sparse.linalg")
    A = M.numpy()
    with pytest.raises(ShapeError, match="give shape=, that of an image of 48 numbers, not None"):
        xhat.from_linop(linalg.aslinearoperator(A))
    with pytest.raises(MismatchError, match="has no adjoint: give it rmatvec"):
        xhat.from_linop(linalg.LinearOperator((30, 48), matvec=lambda v: A @ v, dtype="f4"), SHAPE)
    wrong = linalg.LinearOperator((30, 48), matvec=lambda v: A @ v, rmatvec=lambda v: 1.1 * A.T @ v, dtype="f4")
    bent = linalg.LinearOperator((30, 48), matvec=lambda v: (A @ v) ** 2, rmatvec=lambda v: A.T @ v, dtype="f4")
    for given, says in ((wrong, "its adjoint does not fit"), (bent, "is not linear")):
        with pytest.raises(MismatchError, match=says):
            xhat.from_linop(given, SHAPE)
    with pytest.raises(ShapeError, match="needs shape="):
        xhat.restore(torch.zeros(30), operator=M, **QUICK)
    with pytest.raises(SpecError, match=r"an operator is a spec string .* not int"):
        xhat.restore(torch.zeros(30), operator=3, **QUICK)


def test_pylops_says_the_shape_itself():
    class Lop:
        dims, shape, dtype = (4, 12), (48, 48), np.float32
        matvec = rmatvec = staticmethod(lambda v: 3 * v)

    assert xhat.from_linop(Lop()).shape == (1, 4, 12)


@pytest.mark.parametrize("real", [True, False])
def test_a_linop_of_sigpy(real):
    sigpy = pytest.importorskip("sigpy")
    linop = sigpy.linop.Multiply((6, 8), np.linspace(0.1, 1, 48).reshape(6, 8)) * sigpy.linop.FFT((6, 8))
    A = xhat.from_sigpy(linop, real)
    assert A.shape == ((1, 6, 8) if real else (2, 6, 8))
    assert A.modality.name == ("grey picture" if real else "complex image")
    x = torch.randn(2, *A.shape, generator=G)
    z = x[:, 0].numpy() if real else (x[:, 0] + 1j * x[:, 1]).numpy()
    for i in range(2):
        assert np.allclose(A(x)[i].numpy(), linop(z[i]), atol=1e-4)
    y = torch.randn(A(x).shape, dtype=A(x).dtype, generator=G)
    assert torch.allclose(vjp(A, x)[1](y), A.adjoint(y), atol=1e-5)
    r = xhat.restore(A(x)[0], operator=A, **QUICK)
    if not real:  # a linop may be given as it is
        assert torch.equal(xhat.restore(A(x)[0], operator=linop, **QUICK).images, r.images)


def test_a_linop_does_not_say_whether_its_images_are_real():
    sigpy = pytest.importorskip("sigpy")
    weights = sigpy.linop.Multiply((6, 8), np.linspace(0.5, 1, 48).reshape(6, 8))
    fourier = sigpy.linop.FFT((6, 8))
    x = torch.randn(1, 6, 8, generator=G)
    real, complex_y = (torch.from_numpy(f(x[0].numpy())) for f in (weights, fourier))
    with pytest.raises(
        MismatchError,
        match=r"Multiply \[6, 8\]x\[6, 8\] gives complex numbers, and the measurement is "
        r"real; if its images are real numbers, give xhat.from_sigpy\(linop, real=True\)",
    ):
        xhat.restore(real, operator=weights, **QUICK)
    with pytest.raises(
        MismatchError, match=r"gives real numbers, .* complex; its images may be complex: .*without real"
    ):
        xhat.restore(complex_y, operator=xhat.from_sigpy(weights, real=True), **QUICK)
    with pytest.raises(MismatchError, match=r"FFT .* the measurement is real; give y as complex numbers"):
        xhat.restore(real, operator=fourier, **QUICK)
    exact = {**QUICK, "solver": "ddnm:steps=2", "noise": 0}
    for y, linop in (
        (real, weights),
        (complex_y, fourier),
    ):  # what the advice leads to is right; the shape says it, too
        r = xhat.restore(y, operator=xhat.from_sigpy(linop, real=True), **exact)
        assert torch.allclose(r.first, x, atol=2e-3)
        assert torch.equal(xhat.restore(y, operator=linop, shape=(1, 6, 8), **exact).images, r.images)
    assert xhat.restore(complex_y, operator=fourier, shape=(2, 6, 8), **exact).images.shape == (1, 2, 6, 8)


@pytest.mark.parametrize("given", [3, "fft", np.eye(3), nn.Linear, None])
def test_what_is_no_operator_of_that_library_is_said(given):
    for make, says in (
        (xhat.from_sigpy, "a linop of SigPy has ishape, oshape and H, which .* lacks"),
        (xhat.from_linop, "a linear operator has matvec, rmatvec and shape, which .* lacks"),
        (xhat.from_deepinv, "a physics of DeepInverse has A, which .* lacks"),
    ):
        with pytest.raises(SpecError, match=says):
            make(given)


class Physics(nn.Module):
    """The interface of DeepInverse: `A` is the operator, a call adds noise; images are in [0, 1]."""

    def A(self, x: Tensor) -> Tensor:
        return 3 * x.flip(-1)

    def A_adjoint(self, y: Tensor) -> Tensor:
        return 3 * y.flip(-1)

    def forward(self, x: Tensor) -> Tensor:
        return self.A(x) + 0.05 * torch.randn_like(x)


class Bent(Physics):
    A_adjoint = None

    def A(self, x: Tensor) -> Tensor:
        return x**2


def test_a_physics_of_deepinverse_is_taken_without_its_noise_and_in_its_range():
    x = (X[:1].clamp(-2, 2) / 4 + 0.5).double().float()  # in [0, 1]
    A = xhat.from_deepinv(Physics(), SHAPE)
    assert torch.allclose(A(2 * x - 1), 3 * x.flip(-1), atol=1e-6)
    assert torch.equal(A(X), A(X))
    assert isinstance(A.linear, LinearOperator)
    r = xhat.restore(3 * x[0].flip(-1), operator=Physics(), shape=SHAPE, **{**QUICK, "solver": "ddnm", "noise": 0})
    assert torch.allclose(r.images[0], 2 * x[0] - 1, atol=1e-3)  # solved by conjugate gradient to 1e-4
    same = xhat.from_deepinv(Physics(), SHAPE, black=-1.0)
    assert torch.allclose(same(X), 3 * X.flip(-1), atol=1e-6)
    bent = xhat.from_deepinv(Bent(), SHAPE)
    assert torch.allclose(bent(2 * x - 1), x**2, atol=1e-6)
    with pytest.raises(ShapeError, match="give shape="):
        xhat.restore(x[0], operator=Physics(), **QUICK)
    with pytest.raises(SpecError, match="black must be 0 or -white"):
        xhat.from_deepinv(Physics(), SHAPE, black=0.5)


def test_the_case_of_the_noise_that_was_added_at_each_call():
    """y is noise alone of standard deviation 0.05 around black: residual 0.05, not √2 of it."""
    y = 0.05 * torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0))
    like = xhat.restore(y, operator=Physics(), shape=y.shape, **QUICK).problem
    black = -torch.ones(1, *y.shape)
    assert torch.allclose(like.residual(black)[0], y, atol=1e-5)
    assert torch.equal(like.residual(black), like.residual(black))
