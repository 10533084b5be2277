"""Runs that begin at an image: of which solvers, what is refused, what is recorded."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import xhat
from solver_cases import quick
from xhat.baselines import BASELINES
from xhat.cli.arguments import main
from xhat.errors import MismatchError, XhatError
from xhat.likelihoods import LinearGaussian
from xhat.rng import Rng
from xhat.schedule import CLEAN, EDM, VP, Level
from xhat.solvers import SOLVERS
from xhat.solvers.started import Start, WarmStart, below
from xhat.testing.exact import posterior, smooth_field
from xhat.testing.trials import trial

SEEDS = list(range(12))
# What carries more than an image, or is no chain of images: refused in one line.
CANNOT = {
    *("blind_dps", "blind_reddiff", "gibbs_ddrm", "consistent_csgm", "csgm", "dflow", "dmplug", "shred"),
    *("efficient_score_prior", "score_prior", "ilo", "score_ilo", "p2l", "stsl", "treg", "pmc_pnp", "pmc_red"),
    *("fps", "fps_smc", "mcgdiff", "smcdiff", "tds"),
}


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_started_at_the_answer_it_ends_nearer_to_it(name):
    """From the exact posterior mean, at a ρ below the posterior's spread, five steps end nearer to that mean than five
    from noise; a solver that cannot begin so says it."""
    solver = quick(name, 5)
    assert solver.begins_at_images == (name not in CANNOT)
    if not solver.begins_at_images:
        with pytest.raises(MismatchError, match="cannot begin at an image"):
            WarmStart(solver=solver, start=Start(torch.zeros(1, 8, 8), 0.1, ""))
        return
    made = trial(solver, SEEDS)
    if made.kind != "field":
        return  # chains of latents: `restore` refuses them, below
    exact = isinstance(made.like, LinearGaussian) and float(made.like.var[0]) > 0
    mean = posterior(made.prior, made.like)[0] if exact else made.truth
    ratios = [t.ratio for t in solver.levels_for(None, made.prior, made.like) if t.sigma]
    rho = min(max(0.1, min(ratios)), max(ratios))
    found = []
    for i in SEEDS:
        one = replace(made, like=made.like.take(torch.tensor([i])))
        found.append(one.run(WarmStart(solver=solver, start=Start(mean[i], rho, "")), [i]))
    cold, warm = ((x - mean).square().mean() for x in (made.run(solver, SEEDS), torch.cat(found)))
    assert warm < cold


def test_no_classical_method_begins_at_an_image():
    assert not any(BASELINES[name]().begins_at_images for name in BASELINES)


@pytest.mark.parametrize("schedule", [EDM(0.03, 3.0), VP()])
@pytest.mark.parametrize("rho", [0.04, 0.3, 2.9])
def test_levels_below_a_start(schedule, rho):
    """They begin at ρ, fall, are as many, and end where the whole ladder ends; from its top they are the ladder."""
    levels = [t for t in schedule.levels(12) if t.ratio < 50]
    rho = max(rho, levels[-2].ratio)
    cut = below(levels, rho, "x")
    assert cut[0].ratio == pytest.approx(rho, rel=1e-12)  # one logarithm and its inverse
    assert cut[-1] == CLEAN
    assert all(a.ratio > b.ratio for a, b in itertools.pairwise(cut))
    assert cut[-2] == levels[-2]
    assert len(cut) == (len(levels) if rho > levels[-2].ratio else 2)
    assert [t.ratio for t in below(levels, levels[0].ratio, "x")] == [t.ratio for t in levels]


def test_repeats_of_the_lowest_level_stay_and_levels_that_rise_are_refused():
    high, low = Level(1.0, 1.0, 2.0), Level(0.5, 1.0, 0.5)
    assert below([high, low, low, CLEAN], 1.0, "x")[1:] == [low, low, CLEAN]
    with pytest.raises(MismatchError, match="rise again"):
        below([high, low, high, CLEAN], 1.0, "x")


def measured(operator="inpaint:keep=0.5"):
    prior = smooth_field((1, 16, 16)).to(torch.float32)
    x = prior.sample(Rng([3])).float()[0]
    return prior, xhat.simulate(x, operator, "gaussian:sigma=0.1", seed=1)


def test_a_start_is_recorded_and_changes_the_result(tmp_path):
    prior, y = measured()
    options = {"prior": prior, "solver": "lmaps:steps=4"}
    cold = xhat.restore(y, **options)
    results = {"cold": cold.images}
    for given in ("y", "classical", torch.full((1, 16, 16), 0.25)):
        r = xhat.restore(y, **options, start=given, start_rho=0.3)
        said = r.record["start"]
        assert said["rho"] == 0.3
        assert said["at"] == (given if isinstance(given, str) else "an image")
        results[said["at"]] = r.images
    assert "start" not in cold.record
    assert len({x.numpy().tobytes() for x in results.values()}) == 4
    r.save(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "record.json").read_text(encoding="utf-8"))["start"] == said


def test_a_resumed_run_has_the_same_start(tmp_path):
    prior, y = measured()
    options = {"prior": prior, "solver": "lmaps:steps=4", "start": "y", "checkpoint": tmp_path / "run.pt"}
    xhat.restore(y, **options, start_rho=0.3)
    with pytest.raises(XhatError, match="start"):
        xhat.restore(y, **options, start_rho=0.4, resume=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": "y"}, "come together"),
        ({"start_rho": 0.3}, "come together"),
        ({"start": "y", "start_rho": -1.0}, "start_rho must be"),
        ({"start": "y", "start_rho": 1e9}, "no level of this run of LMAPS"),
        ({"start": "4", "start_rho": 0.3}, "starts=4"),
        ({"start": torch.zeros(1, 16, 15), "start_rho": 0.3}, "shape"),
        ({"start": torch.full((1, 16, 16), torch.nan), "start_rho": 0.3}, "NaN"),
        ({"start": "y", "start_rho": 0.3, "solver": "csgm"}, "CSGM cannot begin at an image"),
    ],
)
def test_refused(options, words):
    prior, y = measured()
    with pytest.raises(XhatError, match=words) as e:
        xhat.restore(y, **{"prior": prior, "solver": "lmaps:steps=4", **options})
    assert "\n" not in str(e.value)


def test_a_file_is_refused_for_its_shape_and_for_nan(tmp_path):
    prior, y = measured()
    for name, x, words in (
        ("small.npy", np.zeros((1, 8, 8)), "shape"),
        ("nan.npy", np.full((1, 16, 16), np.nan), "NaN"),
    ):
        np.save(tmp_path / name, x.astype("float32"))
        with pytest.raises(XhatError, match=words) as e:
            xhat.restore(y, prior=prior, solver="lmaps:steps=4", start=tmp_path / name, start_rho=0.3)
        assert name in str(e.value)


def test_y_is_no_start_where_it_is_no_image():
    prior, y = measured("super_resolution:factor=2")
    with pytest.raises(XhatError, match="take classical"):
        xhat.restore(y, prior=prior, solver="lmaps:steps=4", start="y", start_rho=0.3)
    assert xhat.restore(y, prior=prior, solver="lmaps:steps=4", start="classical", start_rho=0.3).record["start"]


def test_the_command_line_takes_a_start(tmp_path, capsys):
    picture = tmp_path / "y.png"
    Image.new("RGB", (32, 32), (90, 120, 150)).save(picture)
    command = ["restore", str(picture), "--operator", "gaussian_blur", "--sigma", "0.05", "--steps", "1"]
    assert main([*command, "--start", "y", "--start-rho", "0.2", "-o", str(tmp_path / "out")]) == 0
    assert main([*command, "--start", "4", "--start-rho", "0.2", "-o", str(tmp_path / "other")]) != 0
    assert "--starts 4" in capsys.readouterr().err
