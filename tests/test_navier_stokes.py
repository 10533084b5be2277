"""Navier-Stokes: the benchmark's numbers, flows known in closed form, symmetries, derivatives, files."""

import json
import math

import numpy as np
import pytest
import torch

import xhat
from xhat.cli.arguments import main
from xhat.errors import DivergedError, ShapeError, SpecError
from xhat.metrics.pixels import relative_l2
from xhat.numerics.autodiff import vjp
from xhat.numerics.inner import normal_map
from xhat.numerics.linalg import dot
from xhat.priors import PowerLaw
from xhat.science.navier_stokes.operator import NavierStokes, Transport

double = pytest.mark.usefixtures("float64")
N = 16


def flow(batch=2, n=N, seed=0, top=4):
    """A smooth vorticity: random numbers for |k| ≤ `top`, of size 1."""
    white = torch.randn(batch, 1, n, n, generator=torch.Generator().manual_seed(seed)).to(torch.get_default_dtype())
    k = torch.fft.fftfreq(n, 1 / n)
    low = (k[:, None] ** 2 + k[: n // 2 + 1].abs() ** 2 <= top**2).to(white)
    x = torch.fft.irfft2(low * torch.fft.rfft2(white), s=(n, n))
    return x / x.square().mean().sqrt()


def mesh(n=N):
    at = torch.arange(n) * (2 * math.pi / n)
    return torch.meshgrid(at, at, indexing="ij")


def transport_of(A, force):
    return Transport(torch.view_as_complex(A.symbols), torch.view_as_complex(A.slopes), force)


def close(a, b):
    return float(relative_l2(a, b).max())


# --- the benchmark's own numbers ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "name", "most"),
    [
        (torch.float64, "y_ds2_float64_solver", 1e-7),  # the golden file rounds to single precision
        (torch.float32, "y_ds2", 5e-5),  # the benchmark's own two precisions are 2.9e-5 apart
    ],
)
def test_golden(golden, dtype, name, most):
    data = golden("navier_stokes_128")
    torch.set_default_dtype(dtype)
    try:
        A = NavierStokes((1, 128, 128))
        y = A(data["x_model"].to(dtype)[None, None])
    finally:
        torch.set_default_dtype(torch.float32)
    assert y.dtype == dtype
    assert close(y, data[name].to(dtype)[None, None]) < most


# --- flows known in closed form ---


@double
def test_a_shear_flow_relaxes_under_the_force():
    """u ∥ x and a function of y alone: no transport, so that w = (a e − f re (1 − e)/16) cos 4y, e = exp(−16 t/re)."""
    A, (_, y) = NavierStokes((1, 12, N), re=50, time=0.7, forcing=4, subsample=1, scale=1), mesh()
    wave = torch.cos(4 * y)[None, None, :12]
    left = math.exp(-16 * 0.7 / 50)
    expected = (3 * left - 4 * 50 / 16 * (1 - left)) * wave
    # Crank-Nicolson's error: (16 dt/re)²/12 · 16 t/re of the distance 15.5 from rest, with dt up to re/2 · 16⁻²
    torch.testing.assert_close(A(3 * wave), expected, rtol=0, atol=3e-4)


@double
def test_the_velocity_is_the_curl_of_the_stream_function():
    """Δψ = −w and u = (∂ψ/∂y, −∂ψ/∂x): w = cos x + 2 sin 3y gives ψ = cos x + (2/9) sin 3y."""
    A, (x, y) = NavierStokes((1, N, N)), mesh()
    w = torch.fft.rfft2(torch.cos(x) + 2 * torch.sin(3 * y))[None]
    pace, speed = transport_of(A, torch.zeros(N, N))(w)
    u, v = 2 / 3 * torch.cos(3 * y), torch.sin(x)
    torch.testing.assert_close(speed[0], (u**2 + v**2).max())
    transport = u * torch.sin(x) - v * 6 * torch.cos(3 * y)  # −u·∇w
    torch.testing.assert_close(torch.fft.irfft2(pace[0], s=(N, N)), transport, rtol=0, atol=1e-12)


@double
def test_taylor_green_vortices_decay():
    A, (x, y) = NavierStokes((1, N, N), re=20, time=0.5, forcing=0, subsample=1), mesh()
    w = (torch.cos(x) * torch.cos(y))[None, None]
    torch.testing.assert_close(A(w), 10 * math.exp(-2 * 0.5 / 20) * w, rtol=1e-6, atol=1e-6)


@double
def test_second_order_in_time():
    x, at = flow(1), lambda c: NavierStokes((1, N, N), time=0.1, courant=c)
    best = at(0.02)(x)
    coarse, fine = (close(at(c)(x), best) for c in (0.4, 0.2))
    assert 3.5 < coarse / fine < 4.6


@double
def test_a_shifted_flow_stays_shifted_and_the_mean_stays():
    A, x = NavierStokes((1, N, N), time=0.2, subsample=1), flow() + 0.1
    y = A(x)
    torch.testing.assert_close(A(x.roll(3, 2)), y.roll(3, 2), rtol=1e-9, atol=1e-9)  # along x the force is constant
    torch.testing.assert_close(A(x.roll(4, 3)), y.roll(4, 3), rtol=1e-9, atol=1e-9)  # along y it has this period
    torch.testing.assert_close(y.mean((1, 2, 3)), 10 * x.mean((1, 2, 3)))


def test_data_are_every_other_point():
    x = flow()
    whole, part = (NavierStokes((1, N, N), time=0.1, subsample=s)(x) for s in (1, 3))
    assert torch.equal(whole[..., ::3, ::3], part)
    assert part.shape[1:] == NavierStokes((1, N, N), subsample=3).data_shape


def test_each_image_has_steps_of_its_own(monkeypatch):
    """A fast flow beside a slow one changes nothing, and neither does how many steps are kept together."""
    A, x = NavierStokes((1, N, N), time=0.2), flow() * torch.tensor([0.2, 3.0])[:, None, None, None]
    y = A(x)
    torch.testing.assert_close(y[:1], A(x[:1]), rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(NavierStokes, "chunk", 3)
    assert torch.equal(A(x), y)


# --- derivatives ---


@double
def test_pullback_over_many_segments(monkeypatch):
    """Through adaptive steps, the last ones cut short, on a grid that has a Nyquist frequency and one that has none."""
    monkeypatch.setattr(NavierStokes, "chunk", 3)
    for shape in ((1, 8, 6), (1, 7, 9)):
        A = NavierStokes(shape, time=0.3)
        x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(A, (x,), fast_mode=True)
        assert torch.isfinite(vjp(A, torch.zeros_like(x))[1](A(x.detach()))).all(), "a flow at rest has a slope"


@double
def test_tangents_and_pullbacks_are_adjoint():
    """J u is the derivative of the pullback in its argument, which Gauss-Newton takes; checked by differences."""
    A, x, u = NavierStokes((1, N, N), time=0.3), flow(), flow(seed=1)
    moved = (A(x + 1e-5 * u) - A(x - 1e-5 * u)) / 2e-5
    y, pullback = vjp(A, x)
    v = flow(n=y.shape[-1], seed=2, top=3)
    size = (dot(moved, moved) * dot(v, v)).sqrt()
    torch.testing.assert_close(dot(moved, v) / size, dot(u, pullback(v)) / size, rtol=0, atol=1e-8)
    assert torch.equal(pullback(v), pullback(v))
    gauss = normal_map(A, x, torch.full((2,), 0.5))(u)
    torch.testing.assert_close(gauss, pullback(moved) + 0.5 * u, rtol=1e-6, atol=1e-6)


def test_second_derivatives_are_nan_not_wrong():
    x = flow().requires_grad_()
    g = torch.autograd.grad(NavierStokes((1, N, N), time=0.05)(x).square().sum(), x, create_graph=True)[0]
    assert torch.isnan(torch.autograd.grad(g.sum(), x)[0]).all()


def test_states_kept_are_few(monkeypatch):
    """The memory of a pullback: one state a segment, so that about the root of the number of steps is kept."""
    A, steps, kept = NavierStokes((1, 8, 8), time=1.0, courant=0.1), [], []
    call, many = Transport.__call__, A.steps
    monkeypatch.setattr(Transport, "__call__", lambda *a: steps.append(1) or call(*a))
    monkeypatch.setattr(A, "steps", lambda *a: kept.append(1) or many(*a))
    A(flow(1, 8, top=3))
    assert len(kept) == math.ceil(len(steps) / 2 / A.chunk) > 1


# --- refusals ---


def test_refusals():
    with pytest.raises(ShapeError, match="a vorticity has shape"):
        NavierStokes((3, 8, 8))
    for options in ({"re": 0}, {"time": -1}, {"subsample": 0}, {"courant": 0.0}, {"forcing": math.nan}):
        with pytest.raises(SpecError, match=next(iter(options))):
            NavierStokes((1, 8, 8), **options)
    with pytest.raises(DivergedError, match="too fast") as found:
        NavierStokes((1, 8, 8))(torch.stack([torch.zeros(1, 8, 8), 1e6 * torch.randn(1, 8, 8)]))
    assert found.value.images == (1,)
    assert torch.isnan(NavierStokes((1, 8, 8))(torch.full((1, 1, 8, 8), torch.nan))).all()


# --- from file to figure ---


@pytest.fixture
def truth():
    """A draw of the prior below."""
    return PowerLaw(exponent=6.0, std=0.3).sample(torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)))[
        0
    ]


@pytest.mark.parametrize("solver", ["lmaps:steps=1", "lmaps:steps=2,inner=adam,inner_steps=3", "dps:steps=4"])
def test_solvers_that_take_gradients_run(solver, truth):
    y = xhat.simulate(truth, "navier_stokes:time=0.05", "gaussian:sigma=0.1")
    assert torch.isfinite(xhat.restore(y, prior="powerlaw:exponent=6,std=0.3", solver=solver).images).all()


@pytest.mark.slow
def test_from_a_file_to_a_figure(tmp_path, truth):
    pytest.importorskip("matplotlib")
    np.savez(tmp_path / "x.npz", x=truth.numpy())
    call = ["simulate", tmp_path / "x.npz", "--operator", "navier_stokes:time=0.2,subsample=1"]
    assert main([*map(str, call), "--noise", "gaussian:sigma=0.05", "-o", str(tmp_path / "y.npz")]) == 0
    call = ["restore", tmp_path / "y.npz", "--prior", "powerlaw:exponent=6,std=0.3", "--reference", tmp_path / "x.npz"]
    out = tmp_path / "out"
    assert main([*map(str, call), "--solver", "reddiff:steps=100,lr=0.02", "-o", str(out)]) == 0
    record = json.loads((out / "record.json").read_text())
    assert record["metrics"]["relative_l2"][0] < 0.1  # that of the prior's mean is 1
    assert {"vorticity.npy", "figure.png", "panel.png"} <= set(record["files"])
    found = torch.from_numpy(np.load(out / "vorticity.npy"))[None] / 10
    assert close(found, truth[None]) == pytest.approx(record["metrics"]["relative_l2"][0], rel=1e-4)
    assert (out / "figure.png").stat().st_size > 5000
