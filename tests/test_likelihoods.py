"""The laws of likelihoods: what a residual holds, what is expected of it, and what must not change anything."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import xhat
from operator_cases import CASES, images, kind, make, over, shape_of
from oracles import problem, rbf_prior
from solver_cases import noise_for, operator_for, prior_for, quick
from xhat.baselines import BASELINES
from xhat.errors import MismatchError
from xhat.likelihoods import LeastSquares, Likelihood, SpectralGaussian, likelihood
from xhat.loop import solve
from xhat.noise import Gaussian, Noiseless, Poisson
from xhat.numerics.autodiff import grad
from xhat.numerics.linalg import sq
from xhat.operators import OPERATORS, LinearOperator, PhaseRetrieval
from xhat.operators.decoder import Decoder, Identity
from xhat.priors import NoPrior
from xhat.rng import Rng
from xhat.science.vlbi.noise import VLBI
from xhat.solvers import SOLVERS
from xhat.spec import build
from xhat.task.run import residuals

double = pytest.mark.usefixtures("float64")
HOLES = [c for c in kind(LinearOperator) if make(c).support is not None]


def painted(A, y, value):
    """`y` with `value` wherever no image can change it."""
    return torch.where(A.support, y, value)


@over(CASES)
@double
def test_the_support_is_what_images_change(case):
    """Seen from outside: data that differ between random images, and no others. An operator must say so itself."""
    A = make(case)
    y = torch.stack([A(images(shape=shape_of(case), seed=seed)) for seed in range(20)])
    changes = (y != y[:1]).any(0)
    support = torch.ones_like(changes) if A.support is None else A.support.expand_as(changes)
    assert torch.equal(support, changes)
    assert (y[:, ~changes] == 0).all(), "outside its support an operator gives 0, as a likelihood assumes"


@over(HOLES)
@pytest.mark.parametrize("value", [-1.0, 7.0, float("nan")])
def test_what_no_image_can_change_changes_nothing(case, value):
    """The colour painted into a hole, or noise recorded beside the image: not a bit of any residual."""
    A, x = make(case), images(shape=shape_of(case))
    y = Gaussian(0.1).sample(A(x), Rng([0, 1, 2]))
    a, b = (likelihood(A, Gaussian(0.1), v) for v in (y, painted(A, y, value)))
    assert torch.equal(a.y, b.y)
    assert torch.equal(a.residual(-x), b.residual(-x))
    assert torch.equal(a.count, A.support.expand_as(y).flatten(1).sum(1).float())


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in SOLVERS | BASELINES if n not in ("fbp", "sirt", "rml")])
def test_the_colour_of_a_hole_changes_no_bit_of_any_solver(name):
    blind = name in SOLVERS and operator_for(name) != "inpaint"
    if blind:
        pytest.skip("blind deconvolution has no hole")
    base, classical = rbf_prior().double(), name in BASELINES
    _, like = problem(base, [0, 1], "inpaint:keep=0.6", Gaussian(0.1) if classical else noise_for(name, 0.1))
    prior = NoPrior() if classical else prior_for(name, base)
    method = BASELINES[name]() if classical else quick(name, 4)
    if name == "wavelet":
        pytest.importorskip("pywt")
    ends = []
    for value in (0.0, -1.0, 3.0):
        seen = likelihood(like.A, like.noise, painted(like.A, like.y, value))
        ends.append(solve(method, prior, prior.problem(seen), Rng([5, 6])))
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])


FITS = [  # operator and shape, noise: linear or not, with a hole or without, whitened or not
    ("denoise", (1, 16, 16), Gaussian(0.2)),
    ("inpaint:keep=0.4", (1, 16, 16), Gaussian(0.2)),
    ("inpaint:keep=0.4", (1, 16, 16), Poisson(50.0)),
    ("hdr", (1, 16, 16), Gaussian(0.2)),
    ("ct:angles=9", (1, 12, 12), Gaussian(0.02)),
    ("mri:acceleration=2,coils=2", (2, 16, 16), Gaussian(0.1)),
    ("black_hole_array:fov=160,interval=3600", (1, 16, 16), VLBI()),
    ("black_hole_array:fov=160,interval=3600", (1, 16, 16), VLBI(cp=2.0, lca=0.5)),
    ("black_hole_array:fov=160,interval=3600,flux=1.0", (1, 16, 16), VLBI(cp=1.0, lca=0.0, amp=0.5, gain=0.0)),
    ("denoise", (1, 16, 16), Noiseless()),
]


@pytest.mark.parametrize(("spec", "shape", "noise"), FITS)
@double
def test_the_truth_leaves_what_is_explained(spec, shape, noise):
    """Averaged over measurements ‖residual(truth)‖² is `explained`, in whatever units the residual has."""
    A, n = build(spec, OPERATORS, shape), 40
    x = (images(1, shape) / 2).expand(n, *shape)
    drawn = noise.bind(A.detector)
    like = likelihood(A, noise, drawn.sample(A(x), Rng(range(n))))
    left = sq(like.residual(x)).mean()
    torch.testing.assert_close(left, like.explained.mean(), rtol=0.1, atol=0)
    found, expected = like.misfit(x)
    torch.testing.assert_close(found.square().mean(), expected.square().mean(), rtol=0.1, atol=0)
    assert all(torch.equal(a, b) for a, b in zip(residuals(like, x), (found, expected), strict=True)), "one owner"


def test_closure_quantities_count_the_independent_numbers():
    A = build("black_hole_array:fov=160,interval=3600", OPERATORS, (1, 16, 16))
    like = likelihood(A, VLBI(), A(images(2, (1, 16, 16))))
    assert isinstance(like, LeastSquares)
    c = A.closures
    assert like.count.tolist() == [len(c.triangles) + len(c.quadrangles)] * 2
    assert torch.equal(like.explained, like.count), "in units of the whitened residual, not of visibilities"
    assert like.count[0] < like.residual(images(2, (1, 16, 16)))[0].numel(), "a closure phase is two numbers in r"


# --- which likelihood an operator and a noise make ---------------------------------------------


def test_the_kind_of_a_problem_is_read_off_its_parts():
    """The whole table, written out: the most capable kind for each operator and noise, latent or not."""
    table = {
        "inpaint": ("SpectralGaussian", "NoiselessSpectral", "Likelihood"),
        "motion_blur:size=5": ("LinearGaussian", "NoiselessLinear", "Likelihood"),
        "jpeg": ("CellGaussian", "CellGaussian", "Likelihood"),
        "phase_retrieval": ("Likelihood", "Likelihood", "Likelihood"),
        "blind_blur:size=3": ("BlindGaussian", "BlindGaussian", "Likelihood"),
    }
    for spec, expected in table.items():
        A = build(spec, OPERATORS, (3, 16, 16))
        latent = A @ Decoder(Identity(), A.shape)
        for noise, name in zip((Gaussian(), Noiseless(), Poisson()), expected, strict=True):
            y = torch.zeros(1, *A.data_shape)
            assert type(likelihood(A, noise, y)).__name__ == name
            linear = "Linear" in name or "Spectral" in name
            found = likelihood(latent, noise, y)
            assert type(found).__name__ == ("LatentLinear" if linear else "LatentLikelihood")
            assert type(found.pixel).__name__ == name
    affine = build("scattering:receivers=7,transmitters=5,side=0.02", OPERATORS, (1, 8, 8))
    assert type(likelihood(affine, Gaussian(), torch.zeros(1, *affine.data_shape))) is SpectralGaussian


def test_a_likelihood_of_your_own_is_found_by_its_annotations():
    class Odd(PhaseRetrieval):
        pass

    @dataclass(frozen=True)
    class OddGaussian(Likelihood):
        """Amplitudes of an odd detector."""

        A: Odd
        noise: Gaussian

    shape, y = (1, 8, 8), torch.zeros(1, 1, 12, 12)
    assert type(likelihood(Odd(shape), Gaussian(), y)) is OddGaussian
    assert type(likelihood(Odd(shape), Poisson(), y)) is Likelihood
    assert type(likelihood(PhaseRetrieval(shape), Gaussian(), y)) is Likelihood

    @dataclass(frozen=True)
    class Rival(Likelihood):
        A: Odd
        noise: Gaussian

    with pytest.raises(MismatchError, match=r"OddGaussian, Rival.*none is derived from all others"):
        likelihood(Odd(shape), Gaussian(), y)


def test_noise_models_and_likelihoods_know_no_science():
    root = Path(xhat.__file__).parent
    for file in (root / "noise" / "base.py", *(root / "likelihoods").glob("*.py")):
        text = file.read_text(encoding="utf-8")
        assert "science" not in text
        assert file.parent.name != "noise" or "operators" not in text


@pytest.mark.parametrize("given", ["complex", "real"])
def test_complex_data_and_real_ones_are_not_mixed(given):
    shape = (1, 4, 4)
    A = xhat.operator((lambda x: x * 1j) if given == "complex" else (lambda x: 2 * x), shape)
    assert A.complex_data == (given == "complex")
    y = A(torch.ones(1, *shape))
    assert likelihood(A, Gaussian(0.1), y).count > 0
    with pytest.raises(MismatchError, match=f"gives {given} numbers"):
        likelihood(A, Gaussian(0.1), y.real.clone() if given == "complex" else y * 1j)


def test_complex_data_are_pairs_of_numbers():
    """Noise, density, its gradient and the residual of y = i A x are those of the same data stored as real pairs."""
    shape, sigma, n = (1, 24, 24), 0.3, 8
    one = lambda x: torch.view_as_complex(torch.stack([x, 2 * x.flip(-1)], -1))
    whole = xhat.operator(one, shape)
    pairs = xhat.operator(lambda x: torch.stack([x, 2 * x.flip(-1)], 2), shape)
    x = Rng(range(n)).randn_like(torch.zeros(n, *shape))
    y = Gaussian(sigma).sample(whole(x), Rng(range(10, 10 + n)))
    parts = torch.view_as_real(y - whole(x)).unbind(-1)
    for part in parts:  # 4608 numbers: the standard error of a deviation is 1 %
        assert float(part.std()) == pytest.approx(sigma, rel=0.04)
    like = likelihood(whole, Gaussian(sigma), y)
    same = likelihood(pairs, Gaussian(sigma), torch.view_as_real(y).movedim(-1, 2).contiguous())
    other = x + 0.1
    torch.testing.assert_close(like.nll(other) - like.nll(x), same.nll(other) - same.nll(x))
    torch.testing.assert_close(like.count, same.count)
    for mine, theirs in zip(like.misfit(x), same.misfit(x), strict=True):
        torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(grad(like.nll, other), grad(same.nll, other), rtol=1e-4, atol=1e-5)
