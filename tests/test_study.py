"""The studies: every file builds, a small one runs, resumes and says what its rows say."""

import json
import math
import tomllib
from pathlib import Path

import pytest
import torch
from benchmarks.study import best_mode, flow_of, log_posterior, main, measure, prior_of, truths
from benchmarks.study_page import MORE, collect, interval, page

from xhat.likelihoods import likelihood
from xhat.loop import solve
from xhat.noise import NOISES, Gaussian
from xhat.numerics.autodiff import grad
from xhat.operators import OPERATORS
from xhat.rng import Rng
from xhat.schedule import SCHEDULES
from xhat.solvers import SOLVERS
from xhat.spec import build
from xhat.task.schema import validate

STUDIES = sorted((Path(__file__).parent.parent / "studies").glob("*.toml"))
TINY = """
title = "T"
question = "Q"
claim = "C"
verdict = "V"
prior = "gaussian"
images = 4
seeds = 2
metric = "gap"
curve = true
problems = [{ name = "p", operator = "inpaint:keep=0.5", noise = "gaussian:sigma=0.2" }]
arms = [
  { name = "map", solver = "map_ga:steps=4,inner_steps=20", flow = 1 },
  { name = "one", solver = "map_ga:steps=4,inner_steps=1", flow = 1 },
  { name = "none", solver = "repaint" },
]
"""


@pytest.mark.parametrize("file", STUDIES, ids=lambda f: f.stem)
def test_every_spec_builds(file):
    study = tomllib.loads(file.read_text(encoding="utf-8"))
    for problem in study["problems"]:
        build(problem["operator"], OPERATORS, (1, 64, 64))
        build(problem["noise"], NOISES)
    for arm in study["arms"]:
        build(arm["solver"], SOLVERS)
        build(arm.get("schedule", "edm"), SCHEDULES)
    assert len({arm["name"] for arm in study["arms"]}) == len(study["arms"])


@pytest.mark.parametrize("file", STUDIES, ids=lambda f: f.stem)
def test_the_pages_say_what_the_records_say(file):
    records = STUDIES[0].parent.parent / "docs" / "studies" / f"{file.stem}.jsonl"
    study = tomllib.loads(file.read_text(encoding="utf-8"))
    assert page(study, records) == records.with_suffix(".md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_runs_once_and_reports(tmp_path, monkeypatch, request):
    request.getfixturevalue("float64")  # the study sets it; this puts it back
    (tmp_path / "tiny.toml").write_text(TINY)
    monkeypatch.setattr("sys.argv", ["study", str(tmp_path / "tiny.toml"), "-o", str(tmp_path)])
    main()
    lines = (tmp_path / "tiny.jsonl").read_text().splitlines()
    main()
    assert (tmp_path / "tiny.jsonl").read_text().splitlines() == lines
    assert len(lines) == 2 * 3
    cells = collect(tomllib.loads(TINY), tmp_path / "tiny.jsonl")
    assert cells["p", "map"]["gap"].shape == (2, 4)
    assert cells["p", "none"] == {"failed": "not a problem it takes"}
    text = (tmp_path / "tiny.md").read_text()
    assert "| none | not a problem it takes |" in text
    assert "Best: map. All others are worse." in text
    mean, half = interval(cells["p", "map"]["gap"])
    assert f"| map | {mean:.4g} ± {half:.2g} | +0 ± 0 |" in text
    assert (tmp_path / "tiny.png").stat().st_size > 1000
    assert all(json.loads(line)["curve"] for line in lines if json.loads(line)["status"] == "ok")


def test_interval_is_over_images():
    v = torch.tensor([[1.0, 3.0, 5.0], [3.0, 5.0, 7.0]])  # two seeds, three images: means 2, 4, 6
    assert interval(v) == pytest.approx((4.0, 1.96 * 2.0 / math.sqrt(3)))


@pytest.mark.parametrize("name", ["gaussian", "mixture"])
def test_the_mode_is_one(name, request):
    """No gradient there, and no rival above it."""
    request.getfixturevalue("float64")
    prior = prior_of.__wrapped__(name)
    A = build("inpaint:keep=0.5", OPERATORS, (1, 12, 12))
    x = prior.sample(Rng([0, 1]))
    like = likelihood(A, Gaussian(0.2), Gaussian(0.2).sample(A(x), Rng([2, 3])))
    top = best_mode(prior, like)
    slope = grad(lambda x: log_posterior(x, prior, like), top)
    assert slope.abs().max() < 1e-6 * grad(lambda x: log_posterior(x, prior, like), x).abs().max()
    assert (log_posterior(top, prior, like) > log_posterior(x, prior, like)).all()


@pytest.mark.slow
def test_an_arm_is_what_the_loop_makes_of_it(request):
    """The record of a task of several images holds the numbers of the plain loop on the whole batch."""
    request.getfixturevalue("float64")
    study, seed = tomllib.loads(TINY), 1
    problem, arm = study["problems"][0], study["arms"][0]
    row = measure(study, problem, arm, seed)
    validate(row, "the record", MORE)
    x = truths("gaussian", 4, 64)
    A, noise = build(problem["operator"], OPERATORS, (1, 12, 12)), build(problem["noise"], NOISES)
    like = likelihood(A, noise, noise.sample(A(x), Rng(range(10_100, 10_104))))
    out = solve(build(arm["solver"], SOLVERS), flow_of("gaussian", 1), like, Rng(range(1000, 1004)))
    assert row["metrics"]["error"] == [round(float(v), 5) for v in (out - x).square().flatten(1).mean(1).sqrt()]
    assert row["residual"] == like.misfit(out)[0].tolist()
    assert (row["measurements"], row["samples"], row["seeds"]) == (4, 1, [1000, 1001, 1002, 1003])
