"""Laws of noise schedules, and their tables against the diffusers library's."""

import math
from itertools import pairwise

import pytest
import torch

from xhat.errors import SpecError
from xhat.priors import GaussianPrior
from xhat.rng import Rng
from xhat.schedule import CLEAN, EDM, SCHEDULES, VP, Cosine, Discrete, Flow, Level, Schedule
from xhat.spec import build, spec_of
from xhat.transition import renoise


@pytest.fixture(params=sorted(SCHEDULES))
def schedule(request: pytest.FixtureRequest) -> Schedule:
    return SCHEDULES[request.param]()


@pytest.mark.parametrize("steps", [1, 2, 7, 50, 1000, 1500])
@pytest.mark.parametrize("start", [1.0, 0.3])
def test_levels_fall_strictly_to_the_clean_one(schedule, steps, start):
    levels = schedule.levels(steps, start)
    assert len(levels) == steps + 1
    assert levels[0] == schedule(start)
    assert levels[-1] == CLEAN
    assert all(t.ratio > s.ratio >= 0 and 0 < t.alpha <= 1 for t, s in pairwise(levels))


@pytest.mark.parametrize("schedule", [VP(), Cosine(), Discrete()])
@pytest.mark.parametrize("t", [1e-4, 0.01, 0.5, 1.0])
def test_variance_is_preserved(schedule, t):
    assert schedule(t).norm == pytest.approx(1, abs=1e-14)


def test_flow_keeps_the_sum_and_edm_the_image():
    assert Flow()(0.25).alpha + Flow()(0.25).sigma == 1
    assert EDM()(0.25).alpha == 1


def test_edm_is_the_papers_grid():
    levels = EDM(0.002, 80.0, 7.0).levels(18)
    assert levels[0].sigma == pytest.approx(80)
    assert levels[17].sigma == pytest.approx(0.002)
    assert levels[9].sigma == pytest.approx((80 ** (1 / 7) + 9 / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7)


def test_vp_integrates_its_beta():
    """ln α = −½ ∫ β, by the trapezoidal rule, which is exact for a line."""
    a, b = VP(0.1, 20.0)(0.2), VP(0.1, 20.0)(0.7)
    beta = [0.1 + 19.9 * t for t in (0.2, 0.7)]
    assert math.log(b.alpha / a.alpha) == pytest.approx(-0.5 * 0.5 * sum(beta) / 2)


def test_cosine_at_its_ends():
    assert Cosine()(0.0).alpha == 1
    assert Cosine()(1.0).alpha == pytest.approx(1e-3)
    assert Cosine()(0.5).alpha == pytest.approx(math.cos(0.508 / 1.008 * math.pi / 2), abs=1e-3)


@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"])
def test_discrete_is_diffusers_table(kind):
    from diffusers import DDPMScheduler

    theirs = DDPMScheduler(100, 1e-3, 0.05, beta_schedule=kind)
    ours = Discrete(kind, 1e-3, 0.05, 100)
    abar = torch.tensor([ours((i + 1) / 100).alpha ** 2 for i in range(100)], dtype=torch.float64)
    torch.testing.assert_close(abar.float(), theirs.alphas_cumprod, rtol=2e-5, atol=0)  # theirs is float32
    from_betas = Discrete(betas=tuple(theirs.betas.tolist()))
    torch.testing.assert_close(torch.tensor(from_betas.ratios), torch.tensor(ours.ratios), rtol=2e-5, atol=0)


@pytest.mark.parametrize("place", [0.0, 0.25, 1.0, 17.3, 998.5, 999.0])
def test_index_undoes_the_level(place):
    table = Discrete()
    assert table.index(table((place + 1) / 1000).ratio) == pytest.approx(place, abs=1e-9)


def test_index_stops_at_the_ends():
    table = Discrete(steps=10)
    assert table.index(1e-9) == 0
    assert table.index(1e9) == 9


def test_sampling_depends_on_the_ratios_only(schedule):
    """The same ρ with α = 1 throughout gives the same probability-flow run (ζ = 0) up to rounding."""
    mixing = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    prior = GaussianPrior((6,), mixing @ mixing.T, mean=0.3).double()
    levels = schedule.levels(20)
    noise = Rng([1, 2]).randn_like(torch.empty(2, 6, dtype=torch.float64))

    def run(levels):
        x = levels[0].sigma * noise
        for t, s in pairwise(levels):
            x = renoise(x, prior(x, t), t, s, 0.0, Rng([0, 0]))
        return x

    exploding = [Level(level.t, 1.0, level.ratio) for level in levels]
    torch.testing.assert_close(run(levels), run(exploding), rtol=1e-9, atol=1e-9)


def test_spec_strings_build_and_return(schedule):
    assert build("edm:sigma_max=100.0,rho=7.0", SCHEDULES) == EDM(sigma_max=100.0, rho=7.0)
    assert build("discrete:kind=scaled_linear,steps=10", SCHEDULES) == Discrete("scaled_linear", steps=10)
    assert build("discrete:betas=(0.1,0.2)", SCHEDULES).ratios == Discrete(betas=(0.1, 0.2)).ratios
    assert build(spec_of(schedule, SCHEDULES), SCHEDULES) == schedule
    assert spec_of(Discrete(), SCHEDULES) == "discrete"
    assert len({schedule, build(spec_of(schedule, SCHEDULES), SCHEDULES)}) == 1  # hashable


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("edm:sigma_min=0.0", "above 0"),
        ("edm:sigma_min=2.0,sigma_max=1.0", "exceed"),
        ("edm:rho=-1.0", "from 0.1"),
        ("edm:sigma_max=big", "sigma_max"),
        ("edm:sigma=1.0", "no option sigma; it has sigma_min"),
        ("vp:beta_min=0.0", "above 0"),
        ("vp:beta_max=-3.0", "above 0"),
        ("vp:beta_max=1e999", "finite"),
        ("cosine:s=0.0", "above 0"),
        ("cosine:alpha_min=1.0", "below 1"),
        ("flow:sigma_max=1.0", "below 1"),
        ("flow:sigma_max=0.0", "above 0"),
        ("discrete:kind=laplace", "linear, scaled_linear, squaredcos"),
        ("discrete:steps=1", "from 2"),
        ("discrete:beta_end=2.0", "below 1"),
        ("discrete:betas=(0.1,0.0)", "above 0 and below 1"),
        ("ddpm", "choose from cosine, discrete"),
    ],
)
def test_bad_values_are_refused(spec, says):
    with pytest.raises(SpecError, match=says):
        build(spec, SCHEDULES)


@pytest.mark.parametrize(("steps", "start"), [(0, 1.0), (-3, 1.0), (5, 0.0)])
def test_bad_grids_are_refused(schedule, steps, start):
    with pytest.raises(SpecError):
        schedule.levels(steps, start)
