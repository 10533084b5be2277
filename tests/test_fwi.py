"""Full waveform inversion: the benchmark's data, waves known in closed form, reciprocity, derivatives, files."""

import json

import numpy as np
import pytest
import torch

from xhat.cli.arguments import main
from xhat.errors import DivergedError, ShapeError, SpecError
from xhat.numerics.autodiff import vjp
from xhat.numerics.inner import normal_map
from xhat.numerics.linalg import dot
from xhat.science.fwi.metrics import velocity_l2
from xhat.science.fwi.operator import FWI
from xhat.science.fwi.stencil import laplacian

double = pytest.mark.usefixtures("float64")
SHAPE = (1, 8, 10)
SMALL = {"sources": 2, "receivers": 3, "time": 60, "frequency": 40, "cells": 4}


def earth(batch=2, shape=SHAPE, seed=0):
    x = torch.rand(batch, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (1.6 * x - 0.8).to(torch.get_default_dtype())


def test_golden(golden):
    """Within 5e-4, which is what Devito itself has here: 4.4e-4 in double, 3.7e-4 in single precision."""
    data = golden("fwi_two_shots")
    A = FWI((1, 128, 128))
    y = []
    for shot in data["shots"]:
        one = FWI((1, 128, 128))
        one.at_shots, one.shots = A.at_shots[shot, None], A.shots[shot, None]
        y.append(one(((data["vp_xz_kms"] - 3) / 1.5)[None, None])[0, 0])
    found, expected = data.pair("data", torch.stack(y))
    assert float((found - expected).norm() / expected.norm()) < 6e-4


@double
def test_the_wave_of_a_point():
    """Far from all borders u is the wavelet convolved with the Green function of the plane."""
    A = FWI((1, 161, 161), sources=1, receivers=161, time=250, frequency=20, dx=5, dz=5, cells=2, dt=0.25,
            source_depth=400, receiver_depth=400)  # fmt: skip
    A.at_shots, A.shots = A.around(torch.tensor([400.0]).double(), 400.0)
    y = A(torch.zeros(1, 1, 161, 161))[0, 0]
    r, dt = 150.0, 0.25  # metres from the source; G = H(t − r/v)/(2π √(t² − r²/v²)), q is of a cell of 25 m²
    t = torch.arange(A.steps) * dt
    primitive = torch.acosh(((t + torch.tensor([[-dt / 2], [dt / 2]])) / (r / 3)).clamp_min(1))  # of 1/√(t² − r²/v²)
    green = (primitive[1] - primitive[0]) / dt / (2 * np.pi) * 25
    wave = torch.tensor(np.convolve(A.wavelet.numpy(), green.numpy())[: A.steps]) * dt
    heard = y[:, int((400 + r) / 5)]
    until = t < 180  # before anything comes back from a border
    assert float((heard - wave)[until].norm() / wave[until].norm()) < 0.02  # 30 points a wavelength


@double
def test_reciprocity():
    """Source and receiver change places: in a medium whose v is the same at both, data are the same."""
    x = earth(1, (1, 12, 12))
    x[..., 6] = 0.1
    options = {"receivers": 1, "sources": 1, "time": 120, "frequency": 30, "cells": 6, "source_depth": 60.0}
    A = FWI((1, 12, 12), receiver_depth=60.0, **options)
    a, b = A.around(torch.tensor([40.0, 170.0]).double(), 60.0)
    y = []
    for s in (0, 1):
        A.at_shots, A.shots, A.at_ears, A.ears = a[s : s + 1], b[s : s + 1], a[1 - s : 2 - s], b[1 - s : 2 - s]
        y.append(A(x))
    torch.testing.assert_close(*y, rtol=1e-10, atol=1e-12)
    assert y[0].abs().max() > 1e-3


@double
def test_laplacian():
    """Of fourth order, symmetric, and odd across the surface: sin kz is an eigenvector up to the far border."""
    at = torch.arange(1, 41) * 0.1
    u = torch.sin(at) * torch.ones(40, 1)
    torch.testing.assert_close(laplacian(u, (0.1, 0.1))[2:-2, :-2], -u[2:-2, :-2], rtol=1e-5, atol=1e-9)
    a, b = torch.randn(2, 1, 7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(dot(laplacian(a, (2.0, 1.0)), b), dot(a, laplacian(b, (2.0, 1.0))))


@double
def test_damping_swallows_waves():
    """With the default number of damping rows little comes back, against a border that reflects all."""
    options = {"sources": 1, "receivers": 5, "time": 400, "frequency": 15}
    energy = [
        float(FWI((1, 16, 16), cells=c, **options)(torch.zeros(1, 1, 16, 16))[..., -100:, :].norm()) for c in (2, 60)
    ]
    assert energy[1] < 0.05 * energy[0]


@double
def test_pullback_and_tangents_over_many_segments(monkeypatch):
    monkeypatch.setattr(FWI, "chunk", 7)
    A, x, u = FWI(SHAPE, **SMALL), earth(), earth(seed=1)
    assert torch.autograd.gradcheck(A, (x.clone().requires_grad_(),), fast_mode=True)
    y, pullback = vjp(A, x)
    v = torch.randn_like(y)
    moved = (A(x + 1e-6 * u) - A(x - 1e-6 * u)) / 2e-6
    size = (dot(moved, moved) * dot(v, v)).sqrt()
    torch.testing.assert_close(dot(moved, v) / size, dot(u, pullback(v)) / size, rtol=0, atol=1e-8)
    gauss = normal_map(A, x, torch.full((2,), 0.5))(u)
    torch.testing.assert_close(gauss, pullback(moved) + 0.5 * u, rtol=1e-5, atol=1e-6)
    short = pullback(v)
    monkeypatch.setattr(FWI, "chunk", 1000)
    torch.testing.assert_close(vjp(A, x)[1](v), short)


def test_refusals():
    with pytest.raises(ShapeError, match="a velocity has shape"):
        FWI((3, 8, 8))
    for options in ({"sources": 0}, {"time": 1}, {"receiver_depth": 0}, {"source_depth": 91.0}, {"cells": 0}):
        with pytest.raises(SpecError, match=next(iter(options))):
            FWI(SHAPE, **options)
    A = FWI(SHAPE, **SMALL)
    with pytest.raises(DivergedError, match=r"above 0 and below 7\.75") as found:
        A(torch.stack([torch.zeros(SHAPE), torch.full(SHAPE, 3.5)]))
    assert found.value.images == (1,)
    with pytest.raises(DivergedError, match="velocities from -0"):
        A(torch.full((1, *SHAPE), -2.1))


def test_metric_is_of_velocities():
    x, truth = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    assert float(velocity_l2(x, truth)) == pytest.approx(1.5 / 4.5)
    assert "velocity_l2" in FWI(SHAPE, **SMALL).modality.metrics
    assert FWI(SHAPE, **SMALL, contrast=1.0).modality.metrics == ("psnr",), "of another scale the metric would be wrong"


@pytest.mark.slow
def test_from_a_file_to_a_figure(tmp_path):
    pytest.importorskip("matplotlib")
    x = torch.linspace(-0.6, 0.6, 10).expand(SHAPE).clone()
    x[..., 5:] += 0.3
    np.savez(tmp_path / "x.npz", x=x.numpy())
    spec = "fwi:" + ",".join(f"{k}={v}" for k, v in SMALL.items())
    call = ["simulate", tmp_path / "x.npz", "--operator", spec, "--noise", "gaussian:sigma=0.001"]
    assert main([*map(str, call), "-o", str(tmp_path / "y.npz")]) == 0
    call = ["restore", tmp_path / "y.npz", "--prior", "powerlaw:std=0.3", "--solver", "reddiff:steps=10"]
    assert main([*map(str, call), "--reference", str(tmp_path / "x.npz"), "-o", str(tmp_path / "out")]) == 0
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert {"psnr", "velocity_l2"} == set(record["metrics"])
    found = np.load(tmp_path / "out" / "velocity.npy")
    assert found.shape == (1, 8, 10)
    assert 1 < found.min() < found.max() < 6
    assert (tmp_path / "out" / "figure.png").stat().st_size > 5000


@double
def test_limits_cut_velocities_off():
    x = earth(1)
    free, cut = FWI(SHAPE, **SMALL), FWI(SHAPE, **SMALL, slowest=2.5, fastest=3.5)
    inside = x / 4  # 2.6 to 3.4 km/s
    torch.testing.assert_close(cut(inside), free(inside), rtol=0, atol=0)
    torch.testing.assert_close(cut(3 * x), free((3 * x).clamp(-1 / 3, 1 / 3)), rtol=0, atol=1e-12)
    assert cut(-40 * x).isfinite().all()
    y, pullback = vjp(cut, 3 * x)
    beyond = (3 * x).abs() > 1 / 3
    g = pullback(torch.ones_like(y))
    assert (g[beyond] == 0).all()
    assert (g[~beyond] != 0).any()
    with pytest.raises(SpecError, match="slowest"):
        FWI(SHAPE, **SMALL, slowest=3, fastest=2)
    for limit in ("slowest", "fastest"):
        with pytest.raises(SpecError, match=limit):
            FWI(SHAPE, **SMALL, **{limit: 0})


@double
def test_water_is_known():
    """Down to its depth the velocity is that of water whatever x is, in the data as in what is written."""
    x, other = earth(1), earth(1, seed=5)
    A = FWI(SHAPE, **SMALL, water=35, water_velocity=1.6)  # four columns, 10 m apart
    changed = torch.cat([other[..., :4], x[..., 4:]], -1)
    torch.testing.assert_close(A(changed), A(x), rtol=0, atol=0)
    assert float((A(torch.cat([x[..., :4], other[..., 4:]], -1)) - A(x)).abs().max()) > 1e-3
    wet = x.clone()
    wet[..., :4] = (1.6 - 3) / 1.5
    torch.testing.assert_close(A(x), FWI(SHAPE, **SMALL)(wet), rtol=0, atol=1e-12)
    v = A.modality.units(x)
    assert (v[..., :4] == 1.6).all()
    assert torch.equal(v[..., 4:], 3 + 1.5 * x[..., 4:])


@double
def test_mute_ends_when_the_direct_wave_has_passed():
    """In a homogeneous half space there is the direct wave and its mirror image, half a wavelength later, and no more.

    Muted at that velocity, less than 10 % of the data's size is left, the tail that waves have in two dimensions. The
    rest, that of a reflector for instance, is as without a mute.
    """
    options = {"sources": 1, "receivers": 4, "time": 400, "frequency": 40, "cells": 40, "source_depth": 10.0}
    shape = (1, 20, 30)
    free, muted = FWI(shape, **options), FWI(shape, **options, mute=3)
    still = torch.zeros(1, *shape)
    assert float(muted(still).norm()) < 0.1 * float(free(still).norm())
    layered = still.clone()
    layered[..., 20:] = 0.5
    y, whole = muted(layered), free(layered)
    assert torch.equal(y, torch.where(muted.support, whole, 0))
    assert float(y.norm()) > 3 * float(muted(still).norm())


@double
def test_every_other_sample():
    x = earth()
    options = {**SMALL, "cells": 4}
    torch.testing.assert_close(FWI(SHAPE, **options, every=3)(x), FWI(SHAPE, **options)(x)[:, :, ::3], rtol=0, atol=0)
    A = FWI(SHAPE, **options, every=3)
    assert A.data_shape == A(x).shape[1:] == A.support.shape[1:]
    torch.testing.assert_close(FWI(SHAPE, **options, amplitude=7.0)(x), 7 * FWI(SHAPE, **options)(x))
