"""Linear inverse scattering: golden agreement, conventions, and the decomposition against dense linear algebra."""

import numpy as np
import pytest
import torch

from xhat.errors import DataError, ShapeError, SpecError
from xhat.files import cache
from xhat.likelihoods import LinearGaussian, SpectralGaussian, likelihood
from xhat.noise import Gaussian
from xhat.numerics.linalg import dot
from xhat.rng import Rng
from xhat.science.scattering.operator import Scattering

double = pytest.mark.usefixtures("float64")
NR = pytest.mark.parametrize("receivers", [60, 180, 360])
SMALL = {"receivers": 7, "transmitters": 5, "side": 0.02}  # on 8 x 16 pixels: 70 data for 128 pixels


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path, monkeypatch):
    from xhat.science.scattering.born import decomposition

    monkeypatch.setenv("XHAT_CACHE", str(tmp_path / "cache"))
    decomposition.cache_clear()


def images(batch=3, shape=(1, 8, 16), seed=0):
    return torch.rand(batch, *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def matrix(A):
    n = torch.Size(A.shape).numel()
    return A.forward(torch.eye(n).reshape(n, *A.shape)).flatten(1).T


# --- the benchmark's own numbers: 1e-6 relative, the precision of its float32 images ---


@NR
@pytest.mark.parametrize("name", ["", "_delta"])
@double
def test_golden_data(golden, receivers, name):
    data = golden(f"inverse_scatter_NR{receivers}")
    A = Scattering((1, 128, 128), receivers)
    y = torch.view_as_complex(A(2 * data["x" + name].double()[None, None] - 1))[0]
    off = (y - data["y" + name]).abs().max() / data["y" + name].abs().max()
    assert off < 1e-7  # a pixel or a row off would be of order 1; the image is float32


@NR
def test_golden_data_in_single_precision(golden, receivers):
    data = golden(f"inverse_scatter_NR{receivers}")
    y = torch.view_as_complex(Scattering((1, 128, 128), receivers)(2 * data["x"][None, None] - 1))[0]
    assert (y - data["y"]).abs().max() / data["y"].abs().max() < 1e-6


@NR
@double
def test_golden_loss_and_gradient(golden, receivers):
    data = golden(f"inverse_scatter_NR{receivers}")
    A = Scattering((1, 128, 128), receivers)
    x = (2 * data["xb"].double() - 1)[None, None].requires_grad_()
    loss = (A(x) - A.intake(data["y_noisy_seed0"][None])).square().sum()
    assert abs(float(loss.detach()) / float(data["loss_at_xb"]) - 1) < 1e-6
    (by_autograd,) = torch.autograd.grad(loss, x)
    residual = A(x.detach()) - A.intake(data["y_noisy_seed0"][None])
    for gradient in (by_autograd, 2 * A.linear.adjoint(residual)):
        g, expected = data.pair("grad_at_xb_wrt_model_space", gradient[0, 0])
        assert (g - expected).abs().max() / expected.abs().max() < 1e-6


@double
def test_golden_singular_values(shared):
    """Through two of their moments and the largest, which cost seconds; all of them were compared once, by hand."""
    s = torch.from_numpy(np.load(shared / "golden" / "inverse_scatter_singular_values_NR60.npy"))
    A = Scattering((1, 128, 128), 60).linear
    t, r = len(A.incident) // 2, len(A.green) // 2
    u = torch.complex(*A.incident.reshape(2, t, -1)) * 2  # of the contrast, twice that of x
    G = torch.complex(*A.green.reshape(2, r, -1))
    power = (u.abs() ** 2 * 1.0) @ (G.abs() ** 2).T
    torch.testing.assert_close(power.sum(), s.square().sum(), rtol=1e-9, atol=0)
    x = torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    for _ in range(60):
        x = A.adjoint(A.forward(x))
        x = x / x.norm()
    assert abs(2 * float(A.forward(x).norm()) / float(s.max()) - 1) < 1e-3  # close values: the power method is slow


# --- conventions ---


@double
def test_a_single_pixel_is_two_fields(golden):
    """y[t, r] = d² conj(u_t(p)) G_r(p) with row along y, column along x and no half-pixel: pinned off the centre."""
    data = golden("inverse_scatter_NR60")
    A = Scattering((1, 128, 128), 60)
    x = -torch.ones(1, 1, 128, 128)
    x[0, 0, 40, 70] = 1
    d = 0.18 / 128
    p = torch.tensor([(70 - 64) * d, (40 - 64) * d])
    k = 2 * torch.pi / 0.0084375
    g = lambda where: torch.complex(
        -torch.special.bessel_y0(k * (where - p).norm(dim=1)), torch.special.bessel_j0(k * (where - p).norm(dim=1))
    ) / 4  # fmt: skip
    expected = d**2 * g(data["tx_xy"]).conj()[:, None] * k**2 * g(data["rx_xy"])
    torch.testing.assert_close(torch.view_as_complex(A(x))[0], expected, rtol=1e-9, atol=1e-18)


def test_an_image_of_minus_one_is_empty():
    A = Scattering((1, 8, 16), **SMALL)
    assert A(-torch.ones(1, 1, 8, 16)).abs().max() < 1e-6 * A(torch.ones(1, 1, 8, 16)).abs().max()


def test_positions_may_be_given():
    circle = torch.linspace(0, 359, 7, dtype=torch.float64).deg2rad()
    places = 1.6 * torch.stack([circle.cos(), circle.sin()], 1)
    x = images()
    given = Scattering((1, 8, 16), places.numpy(), 5, side=0.02)
    torch.testing.assert_close(given(x), Scattering((1, 8, 16), **SMALL)(x), rtol=1e-6, atol=1e-12)


@double
@pytest.mark.parametrize("solve", ["svd", "cg"])
def test_adjoint(solve):
    A = Scattering((1, 8, 16), **SMALL, solve=solve).linear
    x, y = images(), torch.randn(3, 5, 7, 2, generator=torch.Generator().manual_seed(1))
    left, right = dot(A.forward(x), y), dot(x, A.adjoint(y))
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(A.adjoint(y)[1].flatten(), matrix(A).T @ y[1].flatten(), rtol=1e-10, atol=1e-15)


# --- the decomposition against dense linear algebra ---


@double
def test_svd_is_the_dense_one():
    A = Scattering((1, 8, 16), **SMALL).linear
    M = matrix(A)
    values = torch.linalg.svdvals(M)
    r = A.svd.V.shape[1]
    assert r == int((values > A.cutoff * values[0]).sum())
    # from the eigenvalues of A Aᵀ a value is good to rounding times the largest over it
    torch.testing.assert_close(A.s[0, :r], values[:r], rtol=0, atol=1e-10 * float(values[0]))
    torch.testing.assert_close(A.svd.V.T @ A.svd.V, torch.eye(r), rtol=0, atol=1e-10)
    x, w = images(), torch.randn(3, A.s.shape[1], generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(A.V(A.Vt(x)), x, rtol=0, atol=1e-10)
    torch.testing.assert_close(dot(A.Vt(x), A.Vt(x)), dot(x, x), rtol=1e-10, atol=0)
    off = A.cutoff * float(values[0]) * 10
    torch.testing.assert_close(A.U(A.s * A.Vt(x)), A.forward(x), rtol=0, atol=off)
    torch.testing.assert_close(A.Ut(A.U(w))[:, :r], w[:, :r], rtol=0, atol=1e-10)
    assert (A.Ut(A.forward(x))[:, r:] == 0).all()


@double
def test_white_noise_stays_white():
    """V Vᵀ = I, though there are more coordinates than pixels."""
    A = Scattering((1, 8, 16), **SMALL).linear
    n = A.s.shape[1]
    V = A.V(torch.eye(n)).flatten(1).T
    torch.testing.assert_close(V @ V.T, torch.eye(128), rtol=0, atol=1e-10)


@double
@pytest.mark.parametrize("rho", [1e-7, torch.tensor([1e-8, 1e-6, 1e-9], dtype=torch.float64)])
def test_closed_forms(rho):
    A = Scattering((1, 8, 16), **SMALL).linear
    M, x = matrix(A), images()
    y = A.forward(images(seed=3))
    each = rho.tolist() if isinstance(rho, torch.Tensor) else [rho] * 3
    for i, r in enumerate(each):
        normal = torch.linalg.inv(M.T @ M + r * torch.eye(128))
        # singular values under the cutoff count as 0
        near = {"rtol": 0, "atol": 1e-3}
        torch.testing.assert_close(A.normal_solve(x, rho)[i].flatten() * r, normal @ x[i].flatten() * r, **near)
        torch.testing.assert_close(A.ridge(y, rho)[i].flatten(), normal @ M.T @ y[i].flatten(), **near)
    torch.testing.assert_close(A.forward(A.pinv(y)), y, rtol=0, atol=1e-4 * float(y.abs().max()))


@double
def test_the_exact_prox_is_the_one_of_conjugate_gradient():
    sigma, rho, x = Gaussian(1e-5), torch.tensor([1e-7, 1e-8, 1e-6]), images()
    A, B = Scattering((1, 8, 16), **SMALL), Scattering((1, 8, 16), **SMALL, solve="cg")
    y = sigma.sample(A(images(seed=4)), Rng([0, 1, 2]))
    exact, iterative = likelihood(A, sigma, y), likelihood(B, sigma, y)
    assert isinstance(exact, SpectralGaussian)
    assert type(iterative) is LinearGaussian
    torch.testing.assert_close(exact.prox(x, rho), iterative.prox(x, rho, close=1e-6), rtol=0, atol=1e-3)


@double
def test_the_likelihood_takes_the_constant_off():
    A, x = Scattering((1, 8, 16), **SMALL), images()
    like = likelihood(A, Gaussian(1e-5), A(x))
    assert like.residual(x).abs().max() < 1e-15
    assert like.A is A.linear


def test_complex_data_become_pairs():
    A = Scattering((1, 8, 16), **SMALL)
    y = A(images())
    assert torch.equal(A.intake(torch.view_as_complex(y)), y)
    assert torch.equal(A.intake(y), y)


# --- the cache on disk ---


def test_the_decomposition_is_computed_once_and_survives_a_broken_file(tmp_path, monkeypatch):
    from xhat.science.scattering import born

    made = []
    honest = born.decompose
    monkeypatch.setattr(born, "decompose", lambda *args: made.append(1) or honest(*args))
    s = Scattering((1, 8, 16), **SMALL).linear.s
    born.decomposition.cache_clear()
    assert torch.equal(Scattering((1, 8, 16), **SMALL).linear.s, s)
    assert len(made) == 1
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    born.decomposition.cache_clear()
    assert torch.equal(Scattering((1, 8, 16), **SMALL).linear.s, s)
    assert len(made) == 2
    Scattering((1, 8, 16), **SMALL | {"receivers": 6}).linear.s.sum()
    assert len(made) == 3, "another geometry is another decomposition"


def test_the_cache_is_the_users(monkeypatch):
    monkeypatch.setenv("XHAT_CACHE", "~/elsewhere")
    assert cache.folder().name == "elsewhere"
    assert "~" not in str(cache.folder())
    monkeypatch.delenv("XHAT_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert str(cache.folder()) == "/c/xhat"


def test_a_cache_that_cannot_be_written_is_only_slow(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XHAT_CACHE", str(tmp_path / "file" / "inside"))
    assert Scattering((1, 8, 16), **SMALL).linear.s.max() > 0


# --- refusals ---


def test_refusals():
    with pytest.raises(ShapeError, match=r"\(1, height, width\)"):
        Scattering((3, 8, 8))
    with pytest.raises(SpecError, match="receivers must be a whole number from 1"):
        Scattering((1, 8, 8), 0)
    with pytest.raises(SpecError, match="svd, cg"):
        Scattering((1, 8, 8), solve="lu")
    with pytest.raises(SpecError, match="wavelength must be a number above 0"):
        Scattering((1, 8, 8), wavelength=0.0)
    with pytest.raises(ShapeError, match=r"points \(n, 2\)"):
        Scattering((1, 8, 8), torch.zeros(4, 3))
    with pytest.raises(DataError, match="NaN"):
        Scattering((1, 8, 8), torch.full((4, 2), torch.nan))
    with pytest.raises(SpecError, match="stands on a pixel"):
        Scattering((1, 8, 8), torch.zeros(1, 2))
