"""Operators of volumes and of a rolling shutter, against dense algebra, plain loops and their own limits."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

import xhat
from operator_cases import double
from xhat.errors import DataError, ShapeError
from xhat.likelihoods import SpectralGaussian, likelihood
from xhat.loop import solve
from xhat.noise import Gaussian
from xhat.operators import OPERATORS
from xhat.operators.base import SpectralOperator
from xhat.operators.building import build_operator
from xhat.operators.sections import section
from xhat.rng import Rng
from xhat.science.mri.volume import drawn
from xhat.solvers import SOLVERS
from xhat.spec import build
from xhat.testing.linear import matrix

SHAPE = (1, 5, 6, 8)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- rolling shutter --------------------------------------------------------------------------


@double
def test_a_rolling_shutter_reads_each_row_at_its_own_time():
    """Of a picture that brightens by 1 a frame, row r is r · readout / h brighter than the first."""
    A = build_operator("rolling_shutter:readout=0.5", (1, 4, 10, 3))
    x = torch.arange(4.0)[None, None, :, None, None].expand(1, 1, 4, 10, 3)
    y = A(x)
    expected = torch.arange(4.0)[:, None] + 0.05 * torch.arange(10.0)
    assert torch.allclose(y[0, 0, :3, :, 0], expected[:3])
    assert torch.allclose(y[0, 0, 3, :, 0], torch.full((10,), 3.0))
    still = randn(1, 1, 1, 10, 3).expand(-1, -1, 4, -1, -1)
    assert torch.allclose(A(still), still)


@pytest.mark.parametrize("open", [False, True])
@pytest.mark.parametrize("count", [2, 5])
@double
def test_the_system_of_a_rolling_shutter_is_solved_exactly(open, count):
    A = OPERATORS["rolling_shutter"]((1, count, 6, 2), readout=0.9, open=open)
    M, b = matrix(A), randn(1, 1, count, 6, 2)
    expected = torch.linalg.solve(M.T @ M + 0.3 * torch.eye(len(M.T)), b.flatten())
    assert torch.allclose(A.normal_solve(b, 0.3).flatten(), expected, atol=1e-12)


def test_a_section_of_a_rolling_shutter_measures_what_the_whole_does():
    A = build_operator("rolling_shutter", (1, 9, 6, 4))
    x = randn(1, 1, 9, 6, 4).float()
    for begin, end in ((0, 4), (3, 7), (5, 9)):
        part = section(A, begin, end)
        assert torch.allclose(part.A(x[:, :, begin:end]), part.data(A(x)), atol=1e-6)
    assert section(A, 3, 7).count == 3
    assert section(A, 5, 9).count == 4


# --- blur -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("boundary", "mode"), [("circular", "wrap"), ("reflect", "mirror")])
@double
def test_a_volume_is_convolved_with_its_psf(boundary, mode):
    psf = randn(3, 5, 3, seed=2).abs()
    A = OPERATORS["volume_blur"](SHAPE, psf=psf, boundary=boundary)
    x = randn(2, *SHAPE, seed=3)
    expected = [convolve(v.numpy(), (psf / psf.sum()).numpy(), mode=mode) for v in x[:, 0]]
    assert np.allclose(A(x)[:, 0].numpy(), expected, atol=1e-12)


def test_a_periodic_blur_has_a_closed_form():
    A = build_operator("volume_blur:boundary=circular", SHAPE)
    assert isinstance(A, SpectralOperator)
    assert isinstance(likelihood(A, Gaussian(0.1), torch.zeros(1, *SHAPE)), SpectralGaussian)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".nii.gz"])
def test_a_psf_is_read_from_a_file(tmp_path, suffix):
    psf = randn(3, 4, 5, seed=2).abs().numpy()
    path = tmp_path / f"psf{suffix}"
    if suffix == ".nii.gz":
        nibabel.save(nibabel.Nifti1Image(psf.transpose(), np.eye(4)), path)
    else:
        np.save(path, psf) if suffix == ".npy" else np.savez(path, psf=psf)
    A, B = (OPERATORS["volume_blur"](SHAPE, psf=p) for p in (str(path), torch.from_numpy(psf)))
    x = randn(1, *SHAPE).float()
    assert torch.allclose(A(x), B(x), atol=1e-6)


def test_what_is_no_psf_is_refused(tmp_path):
    blur = OPERATORS["volume_blur"]
    for bad in (torch.ones(3, 3), torch.zeros(3, 3, 3), torch.full((3, 3, 3), torch.nan)):
        with pytest.raises(DataError, match="PSF"):
            blur(SHAPE, psf=bad)
    for boundary in ("reflect", "circular"):
        with pytest.raises(ShapeError, match="PSF"):
            blur(SHAPE, psf=torch.ones(13, 3, 3), boundary=boundary)
    (tmp_path / "no.nii").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"no\.nii"):
        blur(SHAPE, psf=str(tmp_path / "no.nii"))


# --- computed tomography ----------------------------------------------------------------------


@double
def test_each_slice_of_a_helical_scan_has_its_own_angles():
    A = OPERATORS["helical_ct"]((1, 4, 8, 8), angles=3, arc=60, turn=90)
    x = randn(1, 1, 1, 8, 8).expand(-1, -1, 4, -1, -1)
    y = A(x)
    assert y.shape[1:3] == (1, 4)
    one = build_operator("ct:angles=3,arc=60", (1, 8, 8))
    assert torch.allclose(y[:, :, 0], one(x[:, :, 0]))
    # view 0 of slice 1 sums rows where that of slice 0 sums columns: a turn of 90 degrees is one of the picture
    assert torch.allclose(y[:, :, 1], one(x[:, :, 0].rot90(-1, (-2, -1))), atol=1e-9)
    assert not torch.allclose(y[:, :, 1], y[:, :, 0], atol=0.1)


# --- magnetic resonance -----------------------------------------------------------------------


def test_the_mask_of_a_volume_undersamples_two_directions():
    kept = drawn(16, 32, 4, 0.15, 0)
    assert int(kept.sum()) == 16 * 32 // 4
    assert kept[7:10, 14:19].all()
    assert 0 < kept.float().mean(0).min() < 1 or (kept.float().mean(1) < 1).all()
    assert not torch.equal(kept, drawn(16, 32, 4, 0.15, 1))
    with pytest.raises(ShapeError, match="centre"):
        drawn(16, 32, 100, 0.5, 0)
    A = OPERATORS["mri_volume"]((2, 16, 32, 4))
    y = A(randn(1, 2, 16, 32, 4).float())
    assert torch.equal((y != 0).any(1).any(-1)[0], kept)


def test_k_space_of_a_volume_is_the_transform_of_numpy(tmp_path):
    z = torch.complex(randn(4, 8, 6), randn(4, 8, 6, seed=1))
    np.save(tmp_path / "m.npy", np.ones((4, 8)))
    A = OPERATORS["mri_volume"]((2, 4, 8, 6), mask=str(tmp_path / "m.npy")).double()
    y = A(torch.stack([z.real, z.imag])[None])[0]
    expected = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(z.numpy()), norm="ortho"))
    assert np.allclose(torch.complex(y[0], y[1]).numpy(), expected, atol=1e-6)
    assert torch.equal(A.intake(torch.complex(y[0], y[1])[None]), y[None])


# --- solvers ----------------------------------------------------------------------------------

MAGNITUDE = "slices:prior=(magnitude:prior=brain)"
RUNS = [
    ("rolling_shutter", (1, 4, 16, 16), "frames:prior=photo", 0.05),
    ("volume_blur:boundary=circular", (1, 4, 16, 16), "slices:prior=brain", 0.05),
    ("volume_blur:depth=0.8,std=0.8", (1, 4, 16, 16), "slices:prior=brain,couple=0.3", 0.05),
    ("helical_ct:angles=20,arc=90", (1, 3, 16, 16), "slices:prior=brain,couple=0.2", 0.05),
    ("mri_volume:acceleration=3,seed={}", (2, 8, 24, 24), MAGNITUDE, 0.02),
    ("slices:operator=(mri_single:acceleration=2,seed=[1,2,3,4])", (2, 4, 16, 16), MAGNITUDE, 0.02),
]


@pytest.mark.parametrize(("operator", "shape", "prior", "sigma"), RUNS, ids=lambda v: str(v)[:24])
def test_a_solver_restores_what_is_measured(operator, shape, prior, sigma):
    """Smooth blobs: nearer to the truth than the regularised least-squares image, and within the noise.

    A mask is random, and one with a prior of brains may come out worse: of six, ratios 0.1 to 0.3 and 0.7, 1.4. So it
    is the mean of three masks that is nearer.
    """
    n = shape[-1]
    line = torch.arange(float(n))
    down = [line[:, None] - n / 2 + 2 - s / 2 for s in range(shape[1])]
    blob = torch.stack([torch.exp(-(d**2 + (line - n / 2) ** 2) / 18) for d in down])
    x = (1.4 * blob - 0.7)[None] if shape[0] == 1 else torch.stack([blob, torch.zeros_like(blob)])
    model, ours, theirs = xhat.build_prior(prior, "cpu"), 0.0, 0.0
    for spec in dict.fromkeys(operator.format(k) for k in range(3)):
        A = build_operator(spec, shape)
        y = Gaussian(sigma).sample(A(x[None]), Rng([1]))
        like = likelihood(A, Gaussian(sigma), y)
        found = solve(build("lmaps:steps=10", SOLVERS), model, model.problem(like), model.streams(shape)([0]))
        ours, theirs = ours + (found - x).square().mean(), theirs + (A.pinv(y) - x).square().mean()
        residual, expected = like.misfit(found)
        assert residual < 1.5 * expected
    assert ours < 0.7 * theirs


def test_a_mask_of_a_seed_hangs_on_draws_that_every_torch_makes_alike():
    """`rand` and `randperm` gave the same numbers in 2.6, 2.13 and 2.15, `multinomial` did not: a measurement whose
    record names a seed was read with another mask.
    """
    source = Path(xhat.__file__).parent
    parts = [
        f for room in ("operators", "science", "noise", "solvers", "priors") for f in (source / room).rglob("*.py")
    ]
    assert [f.name for f in parts if "torch.multinomial(" in f.read_text()] == []
    few, many = (drawn(8, 24, acceleration, 0.15, 7) for acceleration in (4, 2))
    assert int(few.sum()) == 8 * 24 // 4
    assert not (few & ~many).any(), "the order of the clocks is that of the seed"
