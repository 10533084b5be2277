"""The scorecard against liars: samplers that are wrong in one known way must fail the column made for that."""

from dataclasses import replace

import pytest
import torch

from xhat.exact.deviations import JUDGED, kolmogorov, mmd
from xhat.exact.metrics import Reference
from xhat.exact.mixture import MixturePosterior
from xhat.exact.problems import GRF, Funnel, Mixture, Two

pytestmark = pytest.mark.usefixtures("float64")
N = 300
PROBLEMS = {
    "two": Two(),
    "8_1": Mixture(8, 1),
    "8_4": Mixture(8, 4, 0.1),
    "80_1": Mixture(80, 1),
    "80_4": Mixture(80, 4, 0.01),
    "grf": GRF(16),
    "funnel": Funnel(),
}
over = pytest.mark.parametrize("name", PROBLEMS)
FOUND = {}


def judge(name):
    """The judge of a problem, made once, and exact samples that it has not seen."""
    if name not in FOUND:
        FOUND[name] = Reference(PROBLEMS[name].problem(0), N, 0).deviations
    found = FOUND[name]
    return found, found.problem.posterior.sample(N, torch.Generator().manual_seed(7))


def centres(found, x):
    """The mean of the mode to which each sample belongs."""
    modes = found.modes
    k = modes.posterior.responsibilities(x).argmax(1) if len(modes.weights) > 1 else torch.zeros(len(x)).long()
    return modes.means[k]


def caught(found, x, column):
    assert found.scored(x)[f"p_{column}"] == 0.01, column


@pytest.mark.slow
@over
def test_exact_samples_pass(name):
    """Of 20 sets of exact samples, more than 4 at p = 0.01 in one column have a chance below 1e-3.

    (That is with the chance of 2 % that 99 rivals may well give in place of 1 %.)
    """
    found, x = judge(name)
    g = torch.Generator().manual_seed(9)
    scores = [found.scored(found.problem.posterior.sample(N, g)) for _ in range(20)]
    for k in JUDGED:
        assert sum(s.get(f"p_{k}", 1) <= 0.01 for s in scores) <= 4, k
    assert found.described(x)["distinct"] == 1
    assert found.described(x)["chi2"] == pytest.approx(1, abs=0.25)


@pytest.mark.slow
@over
def test_a_shift_of_the_measured_directions_is_caught(name):
    found, x = judge(name)
    V = found.directions["seen"]
    shift = (V / V.square().sum(0)).sum(1)  # one posterior standard deviation along each
    caught(found, x + shift, "seen_mean")
    caught(found, x + shift, "seen_w1")


@over
def test_a_shift_of_the_unmeasured_directions_is_caught(name):
    found, x = judge(name)
    v = found.directions["unseen"][:, 0]
    caught(found, x + v / v.square().sum(), "unseen_mean")


@over
@pytest.mark.parametrize(("factor", "column"), [(1.6, "wide"), (0.5, "narrow")])
def test_a_wrong_width_is_caught(name, factor, column):
    found, x = judge(name)
    c = centres(found, x)
    caught(found, c + factor * (x - c), column)


@over
def test_opposite_errors_do_not_cancel(name):
    """Too wide in half of the directions and too narrow in the others, whichever directions these are."""
    found, x = judge(name)
    c, d = centres(found, x), x.shape[1]
    Q = torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(7)))[0]
    z = torch.linalg.solve_triangular(found.modes.root, (x - c).T, upper=False).T
    z = (z @ Q * torch.where(torch.arange(d) % 2 == 0, 1.6, 0.42)) @ Q.T
    caught(found, c + z @ found.modes.root.T, "wide")
    if 2 * d < N:  # with hardly more samples than dimensions, some direction is narrow among exact samples, too
        caught(found, c + z @ found.modes.root.T, "narrow")


@over
def test_a_sampler_that_does_not_see_the_data_is_caught(name):
    """It keeps the modes and their shape, but its noise along the measured directions is ten times too large."""
    found, x = judge(name)
    V = found.directions["seen"]
    z = torch.randn(N, V.shape[1], generator=torch.Generator().manual_seed(3))
    blind = x + 10 * z @ (V / V.square().sum(0)).T
    caught(found, blind, "residual")
    assert found.described(blind)["chi2"] > 2


@over
def test_a_collapsed_population_is_caught(name):
    found, x = judge(name)
    few = x[:10].repeat(N // 10, 1)
    assert found.described(few)["distinct"] == pytest.approx(10 / N)
    caught(found, few, "mmd")


@over
def test_a_dropped_mode_is_caught(name):
    found, _ = judge(name)
    posterior, g = found.problem.posterior, torch.Generator().manual_seed(8)
    if len(found.modes.weights) == 1:
        assert "p_modes" not in found.scored(found.exact)
        return
    x = posterior.sample(40 * N, g)
    kept = x[posterior.responsibilities(x).argmax(1) != found.modes.weights.argmax()]
    if len(kept) < N and isinstance(posterior, MixturePosterior):  # nearly all the mass was in that mode
        log_w = torch.where(torch.arange(len(posterior.log_w)) == posterior.log_w.argmax(), -1e9, posterior.log_w)
        kept = replace(posterior, log_w=log_w.log_softmax(0)).sample(N, g)
    kept = kept[torch.arange(N) % len(kept)]
    caught(found, kept, "modes")


@pytest.mark.slow
def test_p_values_of_exact_samples_are_uniform():
    """The mean of 80 ranks is within four standard errors of that of the uniform law, column by column."""
    found, _ = judge("two")
    g = torch.Generator().manual_seed(11)
    scores = [found.scored(found.problem.posterior.sample(N, g)) for _ in range(80)]
    # the 99 rivals are shared by all 80, so the mean of the ranks has the error of the rivals as well
    error = (1 / 12 / 80 + 1 / 12 / 99) ** 0.5
    for k in JUDGED:
        assert sum(s[f"p_{k}"] for s in scores) / 80 == pytest.approx(0.505, abs=4 * error), k


def test_not_a_number_is_worst():
    found, x = judge("two")
    score = found.scored(x * float("nan"))
    assert {score[f"p_{k}"] for k in JUDGED} == {0.01}


def test_kolmogorov_and_mmd_against_their_definitions():
    a, b = torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([2.5, 3.5, 4.5, 5.5])
    assert kolmogorov(a, b) == 0.75
    g = torch.Generator().manual_seed(1)
    values = [mmd(torch.randn(100, 3, generator=g), torch.randn(100, 3, generator=g)) for _ in range(100)]
    assert abs(sum(values) / 100) < 4 * torch.tensor(values).std() / 10  # without bias
