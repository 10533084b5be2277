"""Simulation-based calibration: right samplers are uniform, and each kind of liar is not."""

import json

import pytest
import torch

from xhat.cli.arguments import main
from xhat.errors import MismatchError
from xhat.exact.calibration import BINS, DRAWS, RANKED, Joint, histogram, shape, uniformity
from xhat.exact.cell import Cell
from xhat.exact.cell import evaluate as scored
from xhat.exact.problems import GRF, Funnel, Mixture, Two
from xhat.exact.sbc import REFERENCE, Trial, evaluate, verdict, word
from xhat.exact.verdict import WORST

pytestmark = pytest.mark.usefixtures("float64")
N = 100
PROBLEMS = {"two": Two(), "8_2": Mixture(8, 2), "grf": GRF(8)}
FOUND = {}


def joint(name):
    """Problems of one kind and exact draws of their posteriors, made once."""
    if name not in FOUND:
        made = Joint(PROBLEMS[name].problem(0), N, 0)
        FOUND[name] = made, made.exact()
    return FOUND[name]


def p_values(made, draws):
    return {k: uniformity(histogram(r)) for k, r in made.ranks(draws).items()}


@pytest.mark.parametrize("name", PROBLEMS)
def test_exact_draws_are_calibrated(name):
    p = p_values(*joint(name))
    assert {*p} == {*RANKED}
    assert min(p.values()) * len(p) > WORST


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_shift_of_what_is_seen_is_caught(name):
    made, x = joint(name)
    centre = x.mean(1, keepdim=True)
    best = made.A.right[made.A.s[0].argmax()]
    along = ((x - centre) @ best)[..., None]
    p = p_values(made, x + along.std() * best)
    assert p["seen"] < WORST / 4
    assert p_values(made, x + along * best)["residual"] < WORST / 4  # twice too wide along it


@pytest.mark.parametrize(("factor", "said"), [(0.5, "too narrow"), (1.8, "too wide")])
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_wrong_width_is_caught_where_it_is(name, factor, said):
    """About each posterior's mean; on mixtures that moves modes, too, and must be caught all the same."""
    made, x = joint(name)
    centre = x.mean(1, keepdim=True)
    ranks = made.ranks(centre + factor * (x - centre))
    bad = {k: uniformity(histogram(r)) for k, r in ranks.items()}
    assert min(bad["unseen"], bad["seen"], bad["log_density"]) < WORST / 4
    if name == "grf":
        assert bad["unseen"] < WORST / 4
        mean, spread = shape(histogram(ranks["unseen"]))
        assert word({"mean": mean, "spread": spread}) == said


def test_draws_that_do_not_see_the_data_are_caught():
    """Draws of the prior have the right marginal of x, and are told by the residual."""
    made, x = joint("grf")
    blind = made.prior.sample(N * DRAWS, torch.Generator().manual_seed(3)).reshape(x.shape)
    p = p_values(made, blind)
    assert p["residual"] < 1e-6
    assert p["log_density"] < 1e-6


def test_uniformity_is_pearsons_test():
    assert uniformity([10] * BINS) == 1
    assert uniformity([20, 0] * (BINS // 2)) < 1e-20
    g = torch.Generator().manual_seed(0)
    ps = torch.tensor(
        [uniformity(histogram(torch.randint(DRAWS + 1, (N,), generator=g))) for _ in range(400)], dtype=torch.float64
    )
    assert float(ps.mean()) == pytest.approx(0.5, abs=4 / (12 * 400) ** 0.5 + 0.02)  # the law is only nearly χ²
    assert float((ps < 0.05).double().mean()) == pytest.approx(0.05, abs=0.045)


def test_shape_tells_narrow_from_wide_and_high_from_low():
    flat, cup, hill = [10] * 20, [50] + [0] * 18 + [50], [0] * 9 + [50, 50] + [0] * 9
    assert shape(flat) == (pytest.approx(0.5), pytest.approx(1))
    assert word(dict(zip(("mean", "spread"), shape(cup), strict=True))) == "too narrow"
    assert word(dict(zip(("mean", "spread"), shape(hill), strict=True))) == "too wide"
    low = [19 - i for i in range(20)]
    assert word(dict(zip(("mean", "spread"), shape(low), strict=True))) == "draws too high"


@pytest.mark.slow
def test_the_reference_sampler_is_calibrated():
    """Moment matching with the true covariance at 1,000 steps on a Gaussian prior: the law of this page."""
    row = evaluate(Trial("grf:side=8", REFERENCE, N))
    assert row["status"] == "ok"
    assert min(s["p"] for s in row["scores"].values()) * len(row["scores"]) > WORST, row["scores"]


@pytest.mark.slow
def test_the_reference_sampler_obeys_the_law_of_large_numbers():
    """At 1,000 steps its mean is off by what the number of samples alone explains, and so is everything else.

    The root mean square error of the mean, over 64 coordinates that hang together, is 1/√n standard deviations; twice
    that allows for how few directions of a smooth field count.
    """
    found = {n: scored(Cell("grf:side=8", REFERENCE, 0, n)) for n in (100, 1000)}
    for n, row in found.items():
        assert row["mean_error"] < 2 / n**0.5
        assert min(v for k, v in row.items() if k.startswith("p_")) > WORST
    assert found[1000]["mean_error"] < found[100]["mean_error"]


def test_a_sampler_that_is_not_calibrated_is_called_so():
    """DDRM on two modes, at few steps, as a user sees it: in words."""
    row = evaluate(Trial("mixture:d=8,m=2", "ddrm:steps=5", N))
    assert "not calibrated: seen " in verdict(row)
    assert {k: len(c) for k, c in row["counts"].items()} == dict.fromkeys(RANKED, BINS)


def test_a_prior_without_a_density_is_refused():
    with pytest.raises(MismatchError, match="closed form"):
        _ = Joint(Funnel(4, 2).problem(0), 4, 0).prior


COMMAND = ["exact", "--sbc", "--problem", "two", "--seeds", "100", "--solver", "exact", "--solver", "ddrm:steps=3"]


def test_the_command_writes_table_and_figure_and_goes_on(tmp_path, capsys):
    assert main([*COMMAND, "-o", str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"sbc.jsonl", "sbc.md", "sbc_two.png"}
    rows = [json.loads(line) for line in (tmp_path / "sbc.jsonl").read_text().splitlines()]
    assert [sum(c) for row in rows for c in row["counts"].values()] == [100] * 8
    assert "| ddrm:steps=3 |" in (tmp_path / "sbc.md").read_text()
    assert "uniform" in capsys.readouterr().out
    before = (tmp_path / "sbc.jsonl").read_bytes()
    assert main([*COMMAND, "-q", "-o", str(tmp_path)]) == 0
    assert (tmp_path / "sbc.jsonl").read_bytes() == before
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--seeds", "98"], "--sbc, not 98"),
        (["--seeds", "102"], "multiple"),
        (["--solver", "lmaps"], "one best image"),
        (["--solver", "no_such"], "no_such"),
        (["--samples", "20"], "--samples has no meaning"),
        (["--quick"], "--quick has no meaning"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(tmp_path, capsys, extra, said):
    assert main([*COMMAND, *extra, "-o", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
