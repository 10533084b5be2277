"""The scorecard: its exact posteriors against closed forms, quadrature and MCMC, its metrics, its bookkeeping."""

import json
import math
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xhat.cli.arguments import main
from xhat.errors import DataError, MismatchError, ShapeError, SpecError
from xhat.exact.cell import Cell, canonical_solver, evaluate
from xhat.exact.deviations import JUDGED
from xhat.exact.funnel import FunnelPosterior, FunnelPrior
from xhat.exact.grid import LONG, SHORT, TRAINED, grid
from xhat.exact.metrics import Reference, coverage, sliced_w1
from xhat.exact.mixture import EqualMixture, MixturePosterior, condition
from xhat.exact.problems import GRF, PROBLEMS, EqualAlpha, Funnel, Mixture, Two, field
from xhat.exact.report import markdown, overview, summary
from xhat.exact.run import Results, computed, run
from xhat.exact.sampling import OneStream
from xhat.exact.verdict import combined, verdict
from xhat.files.extras import install
from xhat.likelihoods import likelihood
from xhat.noise import Gaussian
from xhat.operators.dense import Dense
from xhat.priors import MixturePrior
from xhat.rng import Rng
from xhat.schedule import VP, Level
from xhat.solvers import DDRM, SOLVERS
from xhat.spec import build
from xhat.transition import ddpm

pytestmark = pytest.mark.usefixtures("float64")
SMALL = {"two": Two(), "mixture": Mixture(4, 2, 0.3), "drawn": Mixture(8, 1), "grf": GRF(8), "funnel": Funnel(4, 2)}
over = pytest.mark.parametrize("recipe", SMALL.values(), ids=SMALL)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def plane(lo, hi, n=400):
    """A grid over the plane, (n², 2), and the area of a cell."""
    line = torch.linspace(lo, hi, n)
    return torch.cartesian_prod(line, line), float(line[1] - line[0]) ** 2


def close(a, b, tol):
    torch.testing.assert_close(a, b, rtol=tol, atol=tol)


# --- priors and posteriors ----------------------------------------------------------------------


def test_the_mixture_is_the_mixture_of_the_package():
    means, w = torch.randn(5, 6, generator=generator()) * 4, torch.rand(5, generator=generator())
    ours, theirs = EqualMixture(means, 0.7, w, VP()), MixturePrior(means, 0.7, w)
    x = 3 * torch.randn(9, 6, generator=generator(1))
    for t in (Level(0.5, 0.3, 0.9), Level(0.5, 0.999, 0.04), Level(0.5, 1.0, 20.0)):
        close(ours(x, t), theirs(x, t), 1e-10)


def test_mixture_posterior_against_quadrature():
    """Weights, mean and covariance of prior times likelihood on a fine grid of the plane."""
    problem = Two().problem(0)
    x, cell = plane(-1.3, 1.3)
    prior = MixturePrior(problem.prior.means, 0.01)
    density = (prior.log_density(x, Level(0.5, 1.0, 1e-9)) - problem.like.take(torch.zeros(len(x)).long()).nll(x)).exp()
    density = density / (density.sum() * cell)
    ours = problem.posterior
    mean = density @ x * cell
    close(ours.mean, mean, 1e-4)
    close(ours.var, density @ (x - mean).square() * cell, 1e-4)
    close(ours.log_w.exp()[0], density[x.sum(1) > 0].sum() * cell, 1e-4)


def test_drawn_mixture_posterior_against_importance_sampling():
    problem = Mixture(4, 2, 0.5).problem(3)
    prior = MixturePrior(problem.prior.means, 1.0)
    x = prior.sample(OneStream(0, 200_000))
    w = (-problem.like.take(torch.zeros(len(x)).long()).nll(x)).softmax(0)
    effective = float(1 / w.square().sum())
    assert effective > 500
    sd = problem.posterior.var.sqrt()
    assert ((w @ x - problem.posterior.mean).abs() < 5 * sd / math.sqrt(effective)).all()


def test_field_posterior_is_the_precision_form():
    problem, (_, C) = GRF(8).problem(0), field(8)
    A = problem.like.A.matrix
    cov = torch.linalg.inv(torch.linalg.inv(C) + A.T @ A / 0.01)
    close(problem.posterior.C, cov, 1e-6)
    close(problem.posterior.mean, cov @ A.T @ problem.like.y[0] / 0.01, 1e-6)


@over
def test_exact_draws_have_the_moments_of_the_posterior(recipe):
    problem = recipe.problem(1)
    mean, var = Reference(problem, 1000, 0).moments
    x = problem.posterior.sample(20_000, generator(5))
    assert ((x.mean(0) - mean).abs() < 5 * (var / 20_000).sqrt() * (2 if recipe == SMALL["funnel"] else 1)).all()
    close(x.var(0), var, 0.2 if recipe == SMALL["funnel"] else 0.06)
    assert len(x[0]) == problem.like.A.shape[0]


@over
def test_a_seed_decides_the_problem(recipe):
    a, b, c = (recipe.problem(s) for s in (1, 1, 2))
    assert torch.equal(a.like.y, b.like.y)
    assert torch.equal(a.like.A.matrix, b.like.A.matrix)
    assert recipe == SMALL["two"] or not torch.equal(a.like.y, c.like.y)


def funnels():
    centres = torch.tensor([[-2.0, 0.5], [2.0, -1.0]])
    axes = torch.nn.functional.normalize(torch.tensor([[1.0, 0.4], [-0.3, 1.0]]), dim=1)
    return FunnelPrior(centres, axes, 1.0, 0.5, VP())


def funnel_density(prior, x):
    gap = x[:, None] - prior.centres
    along = (gap * prior.axes).sum(2)
    across = gap.square().sum(2) - along**2
    d = x.shape[1] - 1
    return (-(along**2) / 2 - across / 2 * (-2 * prior.b * along).exp() - d * prior.b * along).exp().sum(1)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 8.0])
def test_funnel_denoiser_against_quadrature(sigma):
    prior, t = funnels(), Level(0.5, 0.8, 0.8 * sigma)
    x, _ = plane(-14, 14, 700)
    p = funnel_density(prior, x)
    u = torch.tensor([[0.2, 0.1], [-3.0, 2.0], [4.0, 1.0]])
    w = p * (-(u[:, None] - x).square().sum(2) / (2 * sigma**2)).exp()
    close(prior(0.8 * u, t), w @ x / w.sum(1, keepdim=True), 5e-3)


def test_funnel_posterior_against_long_run_mcmc():
    """Metropolis with proposals from the prior, 1500 chains of 400 steps."""
    prior, g = funnels(), generator(2)
    A, y, sigma = torch.tensor([[0.6, 1.0]]), torch.tensor([0.4]), 0.5

    def propose(n):
        k = torch.randint(2, (n,), generator=g)
        z, e = torch.randn(n, 1, generator=g), torch.randn(n, 2, generator=g)
        r = prior.axes[k]
        return prior.centres[k] + z * r + (0.5 * z).exp() * (e - (e * r).sum(1, keepdim=True) * r)

    fit = lambda x: -((x @ A.T - y).square().sum(1)) / (2 * sigma**2)
    x = propose(1500)
    for _ in range(400):
        new = propose(1500)
        accept = (fit(new) - fit(x)).exp() > torch.rand(1500, generator=g)
        x = torch.where(accept[:, None], new, x)
    exact = FunnelPosterior(prior, A, sigma**2, y).sample(1500, g)
    other = FunnelPosterior(prior, A, sigma**2, y).sample(1500, g)
    directions = torch.nn.functional.normalize(torch.randn(50, 2, generator=g), dim=1).T
    floor = sliced_w1(exact @ directions, other @ directions)
    assert sliced_w1(x @ directions, exact @ directions) < 2 * floor + 0.02
    assert float((exact @ A.T).std()) == pytest.approx(float((x @ A.T).std()), rel=0.1)
    assert sliced_w1(propose(1500) @ directions, exact @ directions) > 5 * floor  # the test can fail


def test_local_and_global_map_of_a_mixture():
    """From near a component to its own mode; the global one is the highest point of a fine grid."""
    means = torch.tensor([[2.0, 0.0], [-2.0, 0.3], [-2.6, 0.0]])
    posterior = MixturePosterior(torch.tensor([0.3, 0.3, 0.4]).log(), means, torch.tensor([[0.4, 0.1], [0.1, 0.2]]))
    modes = posterior.climb(means)
    x = modes.clone().requires_grad_()
    posterior.log_density(x).sum().backward()
    close(x.grad, torch.zeros_like(x), 1e-6)
    assert (posterior.log_density(modes) >= posterior.log_density(means) - 1e-9).all()
    close(modes[1], modes[2], 1e-4)  # two components, one mode
    assert (modes[0] - modes[1]).norm() > 3
    dense, _ = plane(-4, 4)
    close(posterior.peak(), dense[posterior.log_density(dense).argmax()], 0.02)


def test_the_grid_of_mcgdiff_is_uniform_in_alpha():
    levels = EqualAlpha().levels(10)
    alphas = [level.alpha for level in levels]
    np.testing.assert_allclose(np.diff(alphas), (1 - alphas[0]) / 10)
    assert levels[-1].sigma == 0
    betas = np.linspace(0.02, 1e-4, 999)
    assert alphas[0] == pytest.approx(np.sqrt(np.prod(1 - betas)))


# --- metrics ------------------------------------------------------------------------------------


def test_sliced_w1_of_a_shift_is_the_shift():
    x = torch.randn(300, 4, generator=generator())
    assert sliced_w1(x, x) == 0
    assert sliced_w1(x + 0.3, x) == pytest.approx(0.3)


def test_the_floor_falls_as_the_root_of_the_number():
    posterior = Two().problem(0).posterior
    problem = replace(Two().problem(0), posterior=replace(posterior, means=posterior.means[:1], log_w=torch.zeros(1)))
    floors = [np.mean([Reference(problem, n, s).floor()["sw1"] for s in range(30)]) for n in (100, 400)]
    assert floors[0] / floors[1] == pytest.approx(2, rel=0.25)


@over
def test_exact_sampling_is_calibrated(recipe):
    found = [Reference(recipe.problem(s), 500, s).floor() for s in range(4)]
    score = {k: float(np.mean([f[k] for f in found])) for k in found[0]}
    assert score["cover50"] == pytest.approx(0.5, abs=0.04)
    assert score["cover90"] == pytest.approx(0.9, abs=0.03)
    assert score["mean_error"] < 0.12
    assert score["var_ratio"] == pytest.approx(1, abs=0.2)


def test_coverage_sees_too_narrow_and_too_wide():
    x = torch.randn(4000, 20, generator=generator())
    assert coverage(2 * x, x, 0.5) == pytest.approx(0.8227, abs=0.01)  # P(|z| < 2·0.6745)
    assert coverage(x / 2, x, 0.9) == pytest.approx(0.589, abs=0.01)  # P(|z| < 1.645/2)


def test_distances_of_point_estimates():
    problem = Mixture(4, 2, 0.3).problem(0)
    ref, posterior = Reference(problem, 50, 0), problem.posterior
    at_peak = ref.pointed(posterior.peak().expand(50, -1))
    assert at_peak["to_global_map"] < 1e-8
    assert at_peak["to_local_map"] < 1e-6
    shifted = ref.pointed(posterior.mean.expand(50, -1) + 0.2)
    assert shifted["to_mean"] == pytest.approx(0.2)


@pytest.mark.slow
def test_exact_guidance_reaches_the_floor_of_the_field():
    """TMPD is exact for a Gaussian prior: only the discretisation is left."""
    row = evaluate(Cell("grf:side=8", "tmpd:steps=100", 0, 200))
    floor = evaluate(Cell("grf:side=8", "exact", 0, 200))
    assert row["sw1"] < 1.3 * floor["sw1"] + 0.02
    assert row["mean_error"] < 0.15
    assert row["var_ratio"] == pytest.approx(1, abs=0.15)
    assert row["forwards"] == 100


# --- cells, results, driver ---------------------------------------------------------------------

TINY = [Cell("two", s, seed, 20) for seed in (0, 1) for s in ("exact", "ddrm:steps=3", "lmaps:steps=3")]


@pytest.mark.slow
def test_a_second_run_adds_nothing(tmp_path):
    path = tmp_path / "deep" / "results.jsonl"
    assert run(TINY, Results(path)) == 6
    before = path.read_bytes()
    assert run(TINY, Results(path)) == 0
    assert path.read_bytes() == before
    assert run([*TINY, Cell("two", "ddrm:steps=4", 0, 20)], Results(path)) == 1
    assert run([Cell("two", "ddrm:eta=0.85,steps=3", 0, 20)], Results(path)) == 0  # the same with a default stated


def test_a_row_of_other_code_is_stale(tmp_path):
    path = tmp_path / "results.jsonl"
    run(TINY, Results(path))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1]["made"]["code"] = "0" * 16
    del rows[2]["made"]  # written before rows told what made them
    rows[0]["made"]["xhat"] = "0.0.1"  # a release by itself changes no number: the code has its fingerprint
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert [c.key[1:3] for c in Results(path).stale(TINY)] == [(rows[i]["solver"], rows[i]["seed"]) for i in (1, 2)]
    assert run(TINY, Results(path)) == 2
    assert not Results(path).stale(TINY)


def test_particles_are_as_many_as_were_asked_for():
    few, many = (evaluate(Cell("two", f"tds:steps=5,particles={p}", 0, 30)) for p in (4, 30))
    assert (few["populations"], many["populations"]) == (8, 1)
    assert few["sw1"] != many["sw1"]
    assert few["calls"] == many["calls"] == 10  # for each particle


def test_a_cut_off_line_is_computed_again(tmp_path):
    path = tmp_path / "results.jsonl"
    run(TINY, Results(path))
    whole = path.read_text()
    path.write_text(whole[:-40])
    assert run(TINY, Results(path)) == 1
    rows = Results(path).of(TINY)
    drop = lambda r: {k: v for k, v in r.items() if k != "seconds"}
    assert [drop(r) for r in rows] == [drop(json.loads(line)) for line in whole.splitlines()]


@pytest.mark.slow
def test_processes_change_no_result():
    drop = lambda r: {k: v for k, v in r.items() if k not in ("seconds", "made")}
    key = lambda r: (r["seed"], r["label"])
    one, two = (sorted(map(drop, computed(TINY, jobs)), key=key) for jobs in (1, 2))
    for a, b in zip(one, two, strict=True):
        assert a == pytest.approx(b)


@dataclass(frozen=True)
class Broken(DDRM):
    error: str = "RuntimeError"

    def step(self, state, k, t, s, prior, like, rng):
        if self.error == "nan":
            return replace(state, x=state.x * float("nan"))
        raise {"RuntimeError": RuntimeError, "mismatch": MismatchError}[self.error]("a reason")


@pytest.mark.parametrize(
    ("error", "status"), [("RuntimeError", "error"), ("mismatch", "n/a"), ("nan", "diverged")], ids=str
)
def test_a_failure_is_a_result(monkeypatch, tmp_path, error, status):
    monkeypatch.setitem(SOLVERS.own, "broken", Broken)
    canonical_solver.cache_clear()
    cells, results = [Cell("two", f"broken:error={error}", 0, 20)], Results(tmp_path / "r.jsonl")
    run(cells, results)
    (row,) = results.of(cells)
    assert row["status"] == status
    assert row["error"]
    ((record,),) = summary([row]).values()
    assert record["failed"] == (status != "n/a")
    assert ("n/a" in markdown([row])) == (status == "n/a")
    assert run(cells, results) == (status == "error")  # what broke is tried again


def test_far_is_a_failure_of_samplers_only():
    rows = [evaluate(Cell("mixture:d=8,m=1", s, 0, 50)) for s in ("diffpir:steps=3", "lmaps:steps=3")]
    assert [r["status"] for r in rows] == ["far", "ok"]
    assert "to_local_map" in rows[1]
    assert "to_local_map" not in rows[0]


def test_calls_are_those_of_one_sample():
    row = evaluate(Cell("two", "tds:steps=5", 0, 30))
    assert (row["forwards"], row["backwards"]) == (5, 5)
    assert evaluate(Cell("two", "ddrm:steps=5", 0, 30))["calls"] == 5


def test_summary_states_medians_means_and_intervals():
    base = {"problem": "p", "solver": "s", "label": "s", "samples": 10, "status": "ok"}
    rows = [base | {"seed": i, "sw1": v, "calls": 7.0} for i, v in enumerate((1.0, 2.0, 6.0))]
    ((record,),) = summary(rows).values()
    assert (record["sw1"], record["mean"], record["runs"], record["failed"]) == (2.0, 3.0, 3, 0)
    assert record["half"] == pytest.approx(1.96 * np.std([1, 2, 6], ddof=1) / 3**0.5)
    assert "3.00 ± 2.99" in markdown(rows)
    assert "| s | 2.00 (0) |" in overview(rows)


def test_a_verdict_names_what_fails():
    """Fisher's p of a single p-value is itself; of many at the smallest value, far below any level."""
    assert combined([0.3]) == pytest.approx(0.3)
    assert combined([0.1, 0.2]) == pytest.approx(0.02 * (1 - math.log(0.02)))
    draws = torch.rand(4000, 5, generator=generator()).tolist()
    assert np.mean([combined(p) < 0.05 for p in draws]) == pytest.approx(0.05, abs=0.015)
    fine = {f"p_{k}": 0.5 for k in JUDGED}
    assert verdict([fine] * 3) == "passes"
    assert verdict([fine]) == "–"
    assert (
        verdict([fine | {"p_seen_w1": 0.01, "p_seen_mean": 0.01, "p_narrow": 0.01, "p_mmd": 0.01}] * 3)
        == "seen, narrow"
    )
    assert verdict([fine | {"p_mmd": 0.01}] * 3) == "as a whole"


def test_samplers_and_point_estimators_have_tables_of_their_own():
    rows = [evaluate(Cell("two", s, seed, 30)) for seed in (0, 1) for s in ("tds:steps=5", "lmaps:steps=5")]
    samplers, points = markdown(rows).split("### two (30 samples): point estimators")
    assert "ESS" in samplers
    assert "in global mode" in points
    assert "lmaps" not in samplers
    assert "tds" not in points
    assert "SW1" not in points


def test_point_estimates_in_the_global_mode_are_counted():
    problem = Mixture(4, 2, 0.3).problem(0)
    posterior = problem.posterior
    modes = posterior.climb(posterior.means)
    far = modes[(modes - posterior.peak()).norm(dim=1).argmax()]
    x = torch.stack([posterior.peak(), posterior.peak() + 0.1, far, far])
    assert Reference(problem, 50, 0).pointed(x)["at_global"] == 0.5


def test_the_truth_of_a_problem_is_what_was_measured():
    """Its residual is the noise: χ² over the number of data is 1 on average, ± 4 standard errors."""
    problems = [Mixture(8, 4, 0.3).problem(s) for s in range(100)]
    chi2 = [float((p.like.y[0] - p.like.A.matrix @ p.truth).square().mean() / 0.3**2) for p in problems]
    assert np.mean(chi2) == pytest.approx(1, abs=4 * (2 / 400) ** 0.5)


@pytest.mark.parametrize("quick", [True, False])
def test_the_standing_grids_can_be_built(quick):
    cells = grid(quick)
    assert len({c.key for c in cells}) > 100
    assert {c.problem.partition(":")[0] for c in cells} == set(PROBLEMS)
    used = {c.solver for c in cells}
    assert {s.partition(":")[0] for s in used} <= {"exact", *SOLVERS}
    if not quick:  # no solver is forgotten
        assert {s.partition(":")[0] for s in used} == {"exact", *SOLVERS} - set(TRAINED)
        assert {s for s in SHORT + LONG if s.partition(":")[0] in SOLVERS} <= used


def test_one_stream_is_one_stream_in_any_batch():
    x = torch.zeros(4, 3)
    close(OneStream(5, 1).randn_like(x[:1]), Rng([5]).randn_like(x[:1]), 0)
    a, b = OneStream(5, 4), OneStream(5, 4)
    assert torch.equal(a.randn_like(x), b.randn_like(x))
    assert len(a.randn_like(x).unique()) == 12


# --- the command --------------------------------------------------------------------------------

COMMAND = ["exact", "--problem", "two", "--problem", "grf:side=8", "--seeds", "2", "--samples", "20", "--jobs", "1"]
COMMAND += ["--solver", "exact", "--solver", "ddrm:steps=3", "--solver", "lmaps:steps=3"]


@pytest.mark.slow
def test_command_writes_everything(tmp_path, capsys):
    import pyarrow.parquet

    assert main([*COMMAND, "-o", str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {f"results.{s}" for s in ("jsonl", "md", "parquet", "png")}
    out = capsys.readouterr().out
    assert "ddrm:steps=3" in out
    assert "two (20 samples): point estimators" in out
    table = pyarrow.parquet.read_table(tmp_path / "results.parquet").to_pylist()
    assert len(table) == 12
    assert {r["problem"].partition(":")[0] for r in table} == {"two", "grf"}
    lines = (tmp_path / "results.jsonl").read_bytes()
    assert main([*COMMAND, "-q", "-o", str(tmp_path)]) == 0
    assert (tmp_path / "results.jsonl").read_bytes() == lines
    assert capsys.readouterr().out == ""


def own_sampler():
    """The lines of docs/exactness.md that stand for a sampler of the reader's own."""
    page = (Path(__file__).parents[1] / "docs" / "exactness.md").read_text(encoding="utf-8")
    return re.search(r"<!-- own sampler.*?```python\n(.*?)```", page, re.DOTALL)[1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder as a user has it: the program does not have it on its path."""
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("mine", None)


def test_a_sampler_from_a_file_is_scored_by_one_command(folder, capsys):
    """The one on the page: DiffPIR with λ = ζ = 1, so it must score as that one does."""
    (folder / "mine.py").write_text(own_sampler())
    command = ["exact", "--problem", "two", "--seeds", "1", "--samples", "20", "--jobs", "1", "-o", "out"]
    command += ["--solver", "mine:Mine:steps=5", "--solver", "diffpir:steps=5,lam=1,zeta=1"]
    assert main(command) == 0
    assert "mine:Mine:steps=5" in capsys.readouterr().out
    mine, diffpir = (json.loads(line) for line in (folder / "out" / "results.jsonl").read_text().splitlines())
    assert mine["solver"] == "mine:Mine:steps=5,zeta=1"
    assert mine["sw1"] == pytest.approx(diffpir["sw1"], rel=1e-9)
    assert mine["calls"] == 5
    assert str(folder) not in sys.path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No module named 'mine'"),
        ("x = 1", "no attribute 'Mine'"),
        ("class Mine: pass", "not a subclass of Solver"),
        ("1 / 0", "breaks when it is imported, ZeroDivisionError"),
        ("class Mine(:", "breaks when it is imported, SyntaxError"),
    ],
)
def test_a_file_that_holds_no_sampler_is_refused_in_one_line(folder, capsys, text, said):
    if text is not None:
        (folder / "mine.py").write_text(text)
    assert main(["exact", "--solver", "mine:Mine", "-o", "out"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (folder / "out").exists()


def test_a_sampler_that_breaks_is_told(folder, capsys):
    (folder / "mine.py").write_text(own_sampler().replace("like.prox(", "like.no_such("))
    main(["exact", "--problem", "two", "--seeds", "2", "--samples", "20", "--jobs", "1", "--solver", "mine:Mine"])
    err = capsys.readouterr().err
    assert "mine:Mine broke in 2 of 2 runs; the first is two with seed 0: AttributeError" in err
    assert "no_such" in err


def test_command_without_the_extra_keeps_the_results(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main([*COMMAND, "-o", str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"results.jsonl", "results.md"}
    assert capsys.readouterr().err.count(install("bench")) == 2


def test_interrupted_command_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("xhat.exact.scorecard.run", interrupt)
    assert main([*COMMAND, "-o", str(tmp_path)]) == 130
    assert "same command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--problem", "three"], "three"),
        (["--problem", "mixture:d=7,m=1"], "even"),
        (["--problem", "mixture"], "mixture"),
        (["--problem", "grf:side=4"], "side"),
        (["--solver", "dpss"], "dpss"),
        (["--solver", "dps:zta=1"], "zta"),
        (["--seeds", "0"], "seeds"),
        (["--samples", "1"], "samples"),
        (["--jobs", "0"], "jobs"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(tmp_path, capsys, extra, said):
    assert main([*COMMAND, *extra, "-o", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    assert main([*COMMAND, "-o", str(tmp_path / "out")]) == 2
    with pytest.raises(DataError):
        Results(tmp_path / "out" / "results.jsonl")


# --- the matrix operator ------------------------------------------------------------------------


def test_dense_of_any_shape_and_rank():
    g = generator(1)
    M = torch.randn(5, 2, generator=g) @ torch.randn(2, 12, generator=g)  # rank 2, more rows than that
    A = Dense((3, 4), M)
    assert int((A.s > 0).sum()) == 2
    x, y = torch.randn(2, 3, 4, generator=g), torch.randn(2, 5, generator=g)
    close(A(x), x.flatten(1) @ M.T, 1e-12)
    close(A.U(A.s * A.Vt(x)), A(x), 1e-12)
    close(A.pinv(y).flatten(1), y @ torch.linalg.pinv(M).T, 1e-10)
    close(A.V(A.Vt(x)), x, 1e-12)
    tall = Dense((2,), torch.randn(5, 2, generator=g))
    close(tall.pinv(tall(x[:, 0, :2])), x[:, 0, :2], 1e-10)


def test_dense_reads_a_file_and_refuses_others(tmp_path):
    M = np.random.default_rng(0).normal(size=(2, 6))
    np.save(tmp_path / "m.npy", M)
    from xhat.operators import OPERATORS

    A = build(f"dense:matrix={tmp_path / 'm.npy'}", OPERATORS, (6,))
    close(A.matrix, torch.from_numpy(M), 1e-12)
    like = likelihood(A, Gaussian(0.1), torch.zeros(1, 2))
    assert like.A is A
    with pytest.raises(ShapeError):
        Dense((5,), M)
    with pytest.raises(DataError):
        Dense((6,), M * np.nan)
    (tmp_path / "x.npy").write_text("no")
    for name in ("x.npy", "absent.npy"):
        with pytest.raises(DataError):
            Dense((6,), tmp_path / name)
    with pytest.raises(SpecError):
        build("dense", OPERATORS, (6,))


def test_condition_of_no_information_is_the_prior():
    means, C = torch.randn(3, 4, generator=generator()), 2 * torch.eye(4)
    log_w = torch.tensor([0.2, 0.3, 0.5]).log()
    same = condition(log_w, means, C, torch.zeros(1, 4), 1.0, torch.zeros(1))
    close(same.log_w, log_w, 1e-12)
    close(same.means, means, 1e-12)
    close(same.C, C, 1e-12)


# --- the named causes of docs/exactness.md ------------------------------------------------------


def mean_sw1(problem, solver, seeds=range(8)):
    return np.mean([evaluate(Cell(problem, solver, seed, 250))["sw1"] for seed in seeds])


@pytest.mark.slow
def test_the_grid_explains_pigdm_and_dps_and_leaves_tmpd_alone():
    """The same 8 problems on 100 equal steps of the β table: a factor 2 for ΠGDM and 1.7 for DPS, nothing for TMPD."""

    def ratio(solver, m=4, seeds=range(8)):
        own, beta = f"mixture:d=8,m={m}", f"mixture:d=8,m={m},grid=beta"
        return mean_sw1(own, solver, seeds) / mean_sw1(beta, solver, seeds)

    assert ratio("pigdm_score:steps=100") > 1.5
    assert ratio("dps:steps=100,c=0.2") > 1.3
    assert (
        0.8 < ratio("tmpd:steps=100", 2, range(3)) < 1.25
    )  # the same problems: an exact score cares less for the grid


@pytest.mark.slow
def test_the_transition_explains_diffpir(monkeypatch):
    """The reference's DiffPIR makes DDPM's transition after the proximal step; ours at ζ = 1 forgets x_t."""
    ours = mean_sw1("mixture:d=8,m=4", "diffpir:lam=1,zeta=1")
    monkeypatch.setattr(SOLVERS["diffpir"], "fraction", lambda self, t, s: ddpm(t, s))
    assert mean_sw1("mixture:d=8,m=4", "diffpir:lam=1,zeta=1") > 1.5 * ours


def test_the_beta_grid_ends_where_mcgdiffs_own_does():
    own, beta = Mixture(8, 1).problem(0), Mixture(8, 1, grid="beta").problem(0)
    assert torch.equal(own.like.y, beta.like.y)  # one problem, two grids
    assert beta.prior.schedule(1.0).alpha == pytest.approx(own.prior.schedule(1.0).alpha, rel=1e-12)


@over
def test_no_prior_of_the_scorecard_was_learned(recipe):
    """A solver may take another ladder under a prior that was: LMAPS lost the highest mode of a mixture that way."""
    assert recipe.problem(1).prior.closed_form
