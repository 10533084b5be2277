"""`--batch-size` changes time and memory: what it may change in a result is rounding, with conjugate gradient too."""

import numpy as np
import pytest
import torch

import xhat
from oracles import rbf_prior
from xhat.files.photographs import photographs
from xhat.likelihoods import likelihood
from xhat.loop import solve
from xhat.noise import Gaussian
from xhat.numerics.linalg import BAND, cg, norm
from xhat.numerics.particles import ParticleRng
from xhat.operators.building import build_operator
from xhat.rng import Rng
from xhat.solvers import SOLVERS

PROMISED = 1e-3  # an eighth of a grey level: what docs promise of a result in [−1, 1]
SIGMA = 0.05
PHOTO = "photo:dtype=float32"
ITERATIVE = {  # operators that solve by conjugate gradient, and the kind of image
    "motion_blur:seed=1": 3,
    "motion_blur:seed=2,size=21": 3,
    "super_resolution:factor=2 @ motion_blur:seed=1,size=9": 3,
    "ct:angles=20": 3,
    "ct:angles=60": 3,
    "mri:mask=mask.npy": 2,
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mask = torch.rand(32, 32, generator=torch.Generator().manual_seed(0)) < 0.4
    mask[14:18, 14:18] = True
    np.save("mask.npy", mask.numpy().astype(np.float32))


def picture(channels=3, side=32):
    """Two channels of a photograph stand for a complex image."""
    pytest.importorskip("skimage")
    return photographs(side, ("astronaut",))[0][:channels]


@pytest.mark.slow
@pytest.mark.parametrize("spec", ITERATIVE)
def test_conjugate_gradient_does_not_amplify_rounding(spec):
    """‖ridge(y + e) − ridge(y)‖ ≤ ‖e‖/(2√ρ) holds for the exact solve, because 1/(2√ρ) is its largest gain.

    A factor of 4 is left for an iterate that has not converged, and for the rounding of y itself, a tenth of e. In
    single precision the factor was 30 to 900 where ρ is small.
    """
    x = picture(ITERATIVE[spec])
    A, g = build_operator(spec, tuple(x.shape)), torch.Generator().manual_seed(0)
    y = A(x[None])
    y = y + SIGMA * torch.randn(y.shape, generator=g)
    for level in (0.4, 1.2, 3.0) if "ct" not in spec else (0.4, 1.2):
        rho = SIGMA**2 / level**2
        for close in (0.0, 0.05 * level):
            for _ in range(3):
                e = 1e-6 * torch.randn(y.shape, generator=g)
                moved = norm(A.ridge(y + e, rho, close) - A.ridge(y, rho, close))
                assert moved <= 4 * norm(e) / (2 * rho**0.5), (level, close)


def test_an_image_that_is_almost_at_its_goal_makes_a_part_of_a_step():
    """Whether an error is a millionth above or below the goal changes nothing, wherever the goal is."""
    g = torch.Generator().manual_seed(0)
    U = torch.linalg.qr(torch.randn(40, 40, generator=g, dtype=torch.float64))[0]
    M = U @ torch.diag(torch.logspace(-2, 0, 40, dtype=torch.float64)) @ U.T
    b = torch.randn(1, 40, generator=g, dtype=torch.float64)
    errors: list[float] = []

    def error(r, _):
        errors.append(float(norm(r) / norm(b)))
        return norm(r) / norm(b)

    cg(lambda v: v @ M, b, 60, 1e-6, error=error)
    passed = errors[1:-1]
    assert len(passed) > 20
    for name in ("tol", "close"):
        solve = lambda goal, name=name: cg(lambda v: v @ M, b, 60, error=error, **{"tol": 1e-9, name: goal})
        ends = [e / (1 - BAND) for e in passed]  # where steps are no longer made
        for goal in (*passed, *ends):  # exactly where one iterate arrives
            below, above = solve(goal * (1 - 1e-6)), solve(goal * (1 + 1e-6))
            assert norm(below - above) < 1e-2  # 2e-6 / 0.1 of a few steps, which are up to 40 long


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "solver", "prior"),
    [
        ("motion_blur:seed=1", "lmaps:steps=5", PHOTO),
        ("motion_blur:seed=2,size=21", "diffpir:steps=5", PHOTO),
        ("ct:angles=60", "diffpir:steps=5", PHOTO),
        ("gaussian_blur:std=1", "lmaps:steps=5", PHOTO),
        # A network of ReLUs has a Jacobian that jumps where a unit is at zero, as rounding may decide: the gradient of
        # a smooth prior shows what the solver itself does.
        ("motion_blur:seed=2,size=21", "pigdm:steps=5", "powerlaw"),
        ("ct:angles=60", "pigdm:steps=5", "powerlaw"),
    ],
)
def test_the_batch_size_changes_a_result_by_rounding(spec, solver, prior):
    x = picture(side=48)
    y = xhat.simulate(x, spec, f"gaussian:sigma={SIGMA}", seed=1)
    run = lambda **options: xhat.restore(y, solver=solver, prior=prior, **options).images
    whole = run(samples=3, seed=5)
    single = run(samples=3, seed=5, batch_size=1)
    assert (whole - single).abs().max() < PROMISED
    assert torch.equal(run(samples=3, seed=5), whole), "the same run is the same bit for bit"


def test_random_numbers_do_not_depend_on_the_layout_in_memory():
    x = torch.zeros(3, 4, 6, 5)
    strided = torch.zeros(4, 6, 5, 3).permute(3, 0, 1, 2)
    layouts = x.contiguous(memory_format=torch.channels_last), strided, x[:1].expand(3, 4, 6, 5), x.mT.contiguous().mT
    for draw in (Rng.randn_like, Rng.rand_like):
        want = draw(Rng([1, 2, 3]), x)
        for other in layouts:
            found = draw(Rng([1, 2, 3]), other)
            assert torch.equal(found, want)
            assert found.is_contiguous()
    grouped = x.reshape(12, 1, 6, 5)
    want = ParticleRng(Rng([1, 2, 3]), 4).randn_like(grouped)
    assert torch.equal(ParticleRng(Rng([1, 2, 3]), 4).randn_like(grouped.mT.contiguous().mT), want)


def test_mcgdiff_goes_its_own_way_for_each_image():
    """Two images with other masks and noise, whose τ = σ_y/s differ, beside each of them alone."""
    solver = SOLVERS["mcgdiff"](steps=10, particles=3)
    masks = build_operator("inpaint:seed=[4,5]", (1, 5, 5))
    y = masks(torch.rand(2, 1, 5, 5, generator=torch.Generator().manual_seed(0)))
    like = likelihood(masks, Gaussian((0.1, 0.3)), y)
    prior = rbf_prior((1, 5, 5), length=1.5)
    whole = solve(solver, prior, like, Rng([1, 2]))
    for i in (0, 1):
        alone = solve(solver, prior, like.take(torch.tensor([i])), Rng([i + 1]))
        torch.testing.assert_close(alone[0], whole[i], atol=PROMISED, rtol=0)
