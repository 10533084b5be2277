"""A law that cannot fail is none: every law of xhat.testing meets a small part with a planted bug, and says so."""

import subprocess
import sys
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import pytest
import torch
from torch import nn

from xhat import Denoiser, Estimator, Gaussian, LinearOperator, Noise, Operator, Prior, Solver, State
from xhat.errors import SpecError
from xhat.likelihoods import Likelihood
from xhat.numerics.linalg import bcast, sq
from xhat.operators.base import ProxyOperator, SpectralOperator, iterative
from xhat.operators.inpaint import Inpaint
from xhat.priors.base import FixedShape
from xhat.testing import (
    NOISE_LAWS,
    PRIOR_LAWS,
    SOLVER_LAWS,
    LawBroken,
    check_noise,
    check_operator,
    check_prior,
    check_solver,
    linear,
    noise,
    operator_laws,
    operators,
    priors,
    solvers,
)
from xhat.testing.checks import OPERATOR_LAWS
from xhat.testing.exact import smooth_field
from xhat.transition import renoise

SHAPE = (2, 4, 6)

# --- operators --------------------------------------------------------------------------------


class Flip(LinearOperator):
    """What all others spoil: y = x mirrored left to right, doubled."""

    def forward(self, x):
        return 2 * x.flip(-1)


class Weights(SpectralOperator):
    """y = w ⊙ x with one w an image and one pixel in four unseen."""

    per_image = ("s",)

    def __init__(self, shape, batch=3):
        super().__init__(shape)
        s = 1 + torch.rand(batch, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        s[..., ::4] = 0
        self.register_buffer("s", s)

    def Vt(self, x):
        return x

    def V(self, z):
        return z

    def Ut(self, y):
        return torch.where(self.s > 0, y, 0)

    def U(self, z):
        return torch.where(self.s > 0, z, 0)


class Rounded(ProxyOperator):
    def code(self, x):
        return (4 * x).round() / 4


def spoilt(base, **methods):
    """An object of a subclass of `base` with these methods in place of its own."""
    return type("Spoilt", (base,), methods)(SHAPE)


def forward(f, base=Flip):
    return spoilt(base, forward=lambda self, x: f(self, x))


class Stale(Flip):
    """Adds what it has seen last."""

    def forward(self, x):
        y = 2 * x + vars(self).get("last", 0)
        vars(self)["last"] = y.detach().mean() / 7
        return y


class Forgets(Weights):
    per_image = ()


class Negative(Weights):
    def __init__(self, shape):
        super().__init__(shape)
        self.s.neg_()


class NoBuffer(Operator):
    def forward(self, x):
        return x @ torch.eye(6).to(torch.float32) if x.dtype == torch.float32 else (x.float() @ torch.eye(6))


OPERATOR_BUGS = {
    operators.refuses_other_shapes: spoilt(Flip, __call__=lambda self, x: self.forward(x)),
    operators.refuses_other_batches: spoilt(Weights, __call__=lambda self, x: self.forward(x[:3])),
    operators.takes_a_batch: forward(lambda self, x: x.reshape(1, 2, 4, 6)),
    operators.has_a_gradient: forward(lambda self, x: x.detach().flip(-1)),
    operators.data_has_its_shape: spoilt(Flip, data_shape=(1, 4, 5)),
    operators.keeps_its_input: Stale(SHAPE),
    operators.takes_images: spoilt(Weights, take=lambda self, index: self),
    operators.images_do_not_mix: forward(lambda self, x: x / x.norm()),
    operators.memory_does_not_matter: spoilt(
        Flip, __call__=lambda self, x: x.view(len(x), -1).cumsum(1).reshape(x.shape)
    ),
    operators.double_follows: NoBuffer(SHAPE),
    operators.counts_its_calls: spoilt(Flip, __call__=lambda self, x: self.forward(x)),
    operators.has_the_gradient_of_its_values: forward(lambda self, x: x.sin() * x.detach()),
    operators.proxy_gradient_is_the_identity: forward(
        lambda self, x: 2 * (x - x.detach()) + self.code(x.detach()), Rounded
    ),
    linear.is_linear: forward(lambda self, x: x.clamp(-0.8, 0.8)),
    linear.adjoint: spoilt(Flip, adjoint=lambda self, y: y.flip(-1)),
    linear.memory_does_not_matter: spoilt(
        Weights, pinv=lambda self, y: (y.view(len(y), -1) * self.inverse.flatten(1)).reshape(y.shape)
    ),
    linear.counts_its_calls: spoilt(Flip, adjoint=iterative(lambda self, y: y.flip(-2))),
    linear.solves: spoilt(Weights, normal_solve=lambda self, b, rho: b / (self.s + bcast(rho, b))),
    linear.pinv: spoilt(Weights, pinv=lambda self, y: self.s * y),
    linear.agrees_with_its_matrix: spoilt(
        Weights, ridge=lambda self, y, rho, close=0.0: self.s * y / (self.s**2 + bcast(rho, y) + 0.01)
    ),
    linear.singular_values: spoilt(Weights, Ut=lambda self, y: y),
}


@pytest.mark.parametrize("law", dict.fromkeys([*chain(*OPERATOR_LAWS.values()), *OPERATOR_BUGS]))
def test_a_law_of_operators_can_fail(law):
    with pytest.raises(LawBroken, match=r"breaks the law “.+”: .+\. The usual cause: .+\."):
        law(OPERATOR_BUGS[law])


@pytest.mark.parametrize(
    ("A", "law"),
    [
        (forward(lambda self, x: x.mul_(2)), operators.keeps_its_input),
        (Negative(SHAPE), linear.singular_values),
        (spoilt(Weights, pinv=lambda self, y: self.inverse * y + 1e-3 * (self.s == 0)), linear.pinv),
        (spoilt(Weights, adjoint=lambda self, y: self.s[:1] * y), linear.adjoint),
        (spoilt(Weights, ridge=lambda self, y, rho, close=0.0: self.s * y / (self.s**2 + 0.3)), linear.solves),
        (Forgets(SHAPE), operators.takes_images),
    ],
)
def test_more_bugs_of_operators_are_found(A, law):
    with pytest.raises((LawBroken, RuntimeError)):
        law(A)


@pytest.mark.parametrize("A", [Flip(SHAPE), Weights(SHAPE), Rounded(SHAPE)])
def test_good_operators_pass(A):
    assert check_operator(A) == [law.__name__ for law in operator_laws(A)]


class TwoOnly(Flip):
    """Physics of two images in a buffer that is not named in `per_image`."""

    def __init__(self, shape):
        super().__init__(shape)
        self.register_buffer("w", torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)))

    def forward(self, x):
        return self.w * x


@pytest.mark.parametrize(
    ("A", "says"),
    [
        (forward(lambda self, x: x.detach().flip(-1)), "A has a gradient”.* no gradient in x.*`detach`"),
        (forward(lambda self, x: torch.from_numpy(x.numpy(force=True) * 2)), "A has a gradient”.*NumPy"),
        (TwoOnly(SHAPE), r"3 images at once raise .*its tensors are w \(2, 2, 4, 6\).*not named in `per_image`"),
        (forward(lambda self, x: x.reshape(2, 4, 6)[None]), "3 images at once raise .*is for one image only"),
        (
            spoilt(Flip, adjoint=lambda self, y: y.no_such_thing),
            "raises AttributeError .* where the law adjoint",
        ),
    ],
)
def test_code_that_breaks_is_a_broken_law_in_plain_words(A, says):
    with pytest.raises(LawBroken, match=says):
        check_operator(A)


@pytest.mark.parametrize(
    ("check", "given", "says"),
    [
        (check_operator, Flip, "an operator that is built, .* not the class Flip"),
        (check_operator, lambda x: x, r".*xhat\.operator, not a function"),
        (lambda p: check_prior(p, SHAPE), Denoiser, "a Prior that is built; .* not the class Denoiser"),
        (lambda p: check_prior(p, SHAPE), lambda x, sigma: x, r".*xhat\.Denoiser, not a function"),
        (check_solver, Solver, "a Solver that is built, .* not the class Solver"),
        (check_noise, Gaussian, "a Noise that is built, .* not the class Gaussian"),
        (check_noise, 0.1, r"a Noise that is built, .* not 0\.1"),
    ],
)
def test_what_is_no_part_is_refused_in_one_line(check, given, says):
    with pytest.raises((SpecError, TypeError), match=f"^what is checked must be {says}$|Type-check error"):
        check(given)


def test_the_first_broken_law_stops_the_check():
    with pytest.raises(LawBroken, match=r"Spoilt breaks the law “⟨A x, v⟩ = ⟨x, Aᵀ v⟩”: .* is 0\.0472"):
        check_operator(spoilt(Flip, adjoint=lambda self, y: y.flip(-1) * 2.5))


# --- noise ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Off(Gaussian):
    """A Gaussian with one of its parts spoilt."""


def noisy(**methods):
    return type("Off", (Off,), methods)(0.2)


NOISE_BUGS: dict[object, Noise] = {
    noise.seed_decides: noisy(sample=lambda self, clean, rng: clean + 0.2 * torch.randn_like(clean)),
    noise.images_do_not_mix: noisy(nll=lambda self, y, clean: sq(y - clean) / sq(y - clean).mean()),
    noise.residual_is_expected: noisy(expected_residual=lambda self, clean: self.std(clean) ** 2),
    noise.density_is_that_of_the_samples: noisy(nll=lambda self, y, clean: sq(y - clean) / self.std(y) ** 2),
}


@pytest.mark.parametrize("law", dict.fromkeys([*NOISE_LAWS, *NOISE_BUGS]))
def test_a_law_of_noise_can_fail(law):
    with pytest.raises(LawBroken):
        law(NOISE_BUGS[law])


def test_biased_noise_is_found():
    biased = noisy(sample=lambda self, clean, rng: clean + 0.2 * rng.randn_like(clean) + 0.02)
    with pytest.raises(LawBroken, match="standard errors from 0"):
        noise.density_is_that_of_the_samples(biased)


@dataclass(frozen=True)
class Laplace(Noise):
    """y = A(x) + b n with p(n) = ½ exp(−|n|), whose −log p has a kink; `said` is the b of the density."""

    b: float = 0.2
    said: float = 0.2

    def sample(self, clean, rng):
        u = rng.rand_like(clean) - 0.5
        return clean - self.b * u.sign() * (1 - 2 * u.abs()).log()

    def nll(self, y, clean):
        return (y - clean).abs().flatten(1).sum(1) / self.said

    def expected_residual(self, clean, support=None):
        return torch.full((len(clean),), self.b * 2**0.5, dtype=clean.dtype)

    scale = expected_residual


def test_a_density_with_a_kink_is_judged_as_any_other():
    assert len(check_noise(Laplace())) == len(NOISE_LAWS)
    for said in (0.16, 0.25):
        with pytest.raises(LawBroken, match="standard errors apart"):
            noise.density_is_that_of_the_samples(Laplace(said=said))


@pytest.mark.slow
def test_good_noise_passes():
    assert len(check_noise(Gaussian((0.1, 0.2, 0.3)))) == len(NOISE_LAWS)


# --- priors -----------------------------------------------------------------------------------


class Shrink(FixedShape):
    """The exact denoiser of N(0, I), which all others spoil."""

    shape = SHAPE
    schedule = Denoiser(lambda x, sigma: x).schedule

    def forward(self, x, t):
        return x / t.alpha / (1 + t.ratio**2)

    def mse(self, t):
        return t.ratio**2 / (1 + t.ratio**2)


def denoiser(**methods):
    return type("Spoilt", (Shrink,), methods)()


class Trained(Shrink):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(6, 6)
        self.requires_grad_(False)


PRIOR_BUGS: dict[object, Prior] = {
    priors.depends_on_ratio_only: denoiser(forward=lambda self, x, t: x / (1 + t.ratio**2)),
    priors.images_do_not_mix: denoiser(forward=lambda self, x, t: x - x.mean(0) / 10),
    priors.keeps_its_input: denoiser(forward=lambda self, x, t: x.mul_(0.5)),
    priors.memory_does_not_matter: denoiser(__call__=lambda self, x, t: x.view(len(x), -1).reshape(x.shape)),
    priors.double_stays_double: denoiser(forward=lambda self, x, t: x.float()),
    priors.has_the_gradient_of_its_values: denoiser(forward=lambda self, x, t: x * x.detach()),
    priors.is_at_rest: Trained(),
    priors.counts_its_calls: denoiser(__call__=lambda self, x, t: self.forward(x, t)),
    priors.little_noise_changes_little: denoiser(forward=lambda self, x, t: x / t.alpha / 2),
    priors.error_is_at_most_the_noise: denoiser(mse=lambda self, t: t.ratio / (1 + t.ratio)),
}


@pytest.mark.parametrize("law", dict.fromkeys([*PRIOR_LAWS, *PRIOR_BUGS]))
def test_a_law_of_priors_can_fail(law):
    with pytest.raises(LawBroken):
        law(PRIOR_BUGS[law], SHAPE)


def test_good_priors_pass():
    for prior, shape in ((Shrink(), SHAPE), (smooth_field(), (1, 8, 8)), (Denoiser(lambda x, s: x), (3, 5, 7))):
        assert len(check_prior(prior, shape)) == len(PRIOR_LAWS)


# --- solvers ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Good(Estimator[Likelihood]):
    """A guided denoiser, which all others spoil."""

    steps: int = 50
    zeta: float = 1.0

    def estimate(self, x, t, prior, like, rng):
        x0 = prior(x, t)
        if isinstance(like.A, Inpaint):
            return torch.where(like.A.s > 0, (like.y + x0 * 0.1) / 1.1, x0)
        return x0


def solver(**methods):
    return type("Spoilt", (Good,), methods)()


@dataclass(frozen=True)
class Counted(State):
    i: torch.Tensor


class Counter(Good):
    """Keeps the number of the step in the state, of image 0 for all."""

    def init(self, t, prior, like, rng):
        x = rng.randn_like(like.y) * t.sigma
        return Counted(x, x, torch.zeros(len(x)))

    def step(self, state, *rest):
        t, s, prior, like, rng = rest[-5:]
        x0 = self.estimate(state.x, t, prior, like, rng) * (1 + 0.01 * int(state.i[0]))
        return Counted(renoise(state.x, x0, t, s, 1.0, rng), x0, state.i + 1)


class Remembers(Good):
    """Keeps something outside the state."""

    seen: ClassVar[list[torch.Tensor]] = []

    def estimate(self, x, t, prior, like, rng):
        self.seen.append(x.mean((1, 2, 3), keepdim=True))
        return super().estimate(x, t, prior, like, rng) + 0.01 * self.seen[0][: len(x)] * len(self.seen)


@dataclass(frozen=True)
class Guesses(Good):
    """Reads the number of the step off its noise level, which is right on some ladders only."""

    every: int = 3

    def estimate(self, x, t, prior, like, rng):
        x0 = super().estimate(x, t, prior, like, rng)
        return x0 + 0 * like.A(x0) if round((1 - t.t) * self.steps) % self.every == 0 else x0


SOLVER_BUGS: dict[object, Solver] = {
    solvers.images_do_not_mix: solver(estimate=lambda self, x, t, prior, like, rng: prior(x, t) + x.mean() / 10),
    solvers.freezing_moves_no_other: Counter(),
    solvers.every_kth_step_is_every_kth: Guesses(),
    solvers.resumes_bit_for_bit: Remembers(),
    solvers.keeps_dtype_shape_and_data: solver(
        estimate=lambda self, x, t, prior, like, rng: prior(x, t) + 0 * like.y.mul_(0.9)
    ),
    solvers.a_seed_decides: solver(
        estimate=lambda self, x, t, prior, like, rng: prior(x, t) + 0.1 * torch.randn_like(x)
    ),
    solvers.nan_raises: solver(estimate=lambda self, x, t, prior, like, rng: prior(x, t).nan_to_num()),
    solvers.refuses_by_type: solver(estimate=lambda self, x, t, prior, like, rng: prior(x, t) + like.var[0]),
    solvers.uses_prior_and_data: solver(estimate=lambda self, x, t, prior, like, rng: prior(x, t)),
}


@pytest.mark.parametrize("law", dict.fromkeys([*SOLVER_LAWS, *SOLVER_BUGS]))
def test_a_law_of_solvers_can_fail(law):
    with pytest.raises(LawBroken):
        law(SOLVER_BUGS[law])


def test_a_solver_that_fills_holes_with_zeros_does_not_use_the_prior():
    with pytest.raises(LawBroken, match=r"where pixels were not seen the error is 0\.9"):
        solvers.uses_prior_and_data(solver(estimate=lambda self, x, t, prior, like, rng: like.y))


def test_random_numbers_of_torch_are_not_taken_for_images_that_mix():
    """The first law that a bug breaks names its cause, though others break with it."""
    drawn = solver(estimate=lambda self, x, t, prior, like, rng: prior(x, t) + 0.1 * torch.randn_like(x))
    with pytest.raises(LawBroken, match=r"a seed decides the result.*torch\.randn"):
        check_solver(drawn)
    with pytest.raises(LawBroken, match=r"torch\.randn"):
        solvers.images_do_not_mix(drawn)
    with pytest.raises(LawBroken, match="dropout in training mode"):
        check_prior(Denoiser(lambda x, sigma: x + 0.1 * torch.randn_like(x)), SHAPE)


@pytest.mark.slow
def test_good_solvers_pass():
    assert len(check_solver(Good())) == len(SOLVER_LAWS)


@pytest.mark.slow
def test_no_test_runner_is_needed():
    code = "import sys, xhat.testing as t; assert 'pytest' not in sys.modules; print(len(t.SOLVER_LAWS))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(SOLVER_LAWS)
