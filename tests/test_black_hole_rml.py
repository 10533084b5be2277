"""The imaging of the field as a baseline, and the skies on which solvers are compared."""

import numpy as np
import pytest
import torch
from benchmarks.m87_modes import measured, pairs, ratios

import xhat
from xhat.errors import MismatchError
from xhat.files.pictures import from_pixels
from xhat.likelihoods import likelihood
from xhat.loop import solve
from xhat.noise import Gaussian
from xhat.operators import OPERATORS
from xhat.priors.none import NoPrior
from xhat.rng import Rng
from xhat.science.vlbi.metrics import nxcorr
from xhat.science.vlbi.noise import VLBI
from xhat.science.vlbi.observation import MICROARCSECOND
from xhat.science.vlbi.rml import RML, gaussian
from xhat.science.vlbi.simulated import black_hole_array
from xhat.science.vlbi.skies import KINDS, generate


def test_skies_depend_on_their_seed_and_number_and_are_of_six_kinds_in_turn():
    few, many = generate(3, 32, seed=5), generate(12, 32, seed=5)
    assert (few == many[:3]).all()
    assert (generate(3, 32, seed=6) != few).reshape(3, -1).any(1).all()
    assert (many.reshape(12, -1).max(1) == 255).all()
    assert many[:, 0].max() == many[:, :, -1].max() == 0, "the field holds the whole source"
    x = torch.from_numpy(many / 127.5 - 1).float()
    rings = [bool(measured(v[None], 5.0)["is"]) for v in x]
    assert [k for k, is_ring in zip(KINDS * 2, rings, strict=True) if is_ring and k != "crescent"] == ["ring"] * 2


def seen(kind: str, size: int = 32) -> tuple[torch.Tensor, xhat.Measurement]:
    """A sky of the kind, and what the array of 2017 records of it."""
    x = from_pixels(generate(6, size, seed=3)[KINDS.index(kind)])
    sees = "black_hole_array:fov=160,white=0.008,flux=0.6,interval=1200"
    return x, xhat.simulate(x, sees, "vlbi", seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ring", "disc", "double"])
def test_a_ring_is_found_where_there_is_one_and_nowhere_else(kind):
    """Without a prior: entropy and total variation know no rings."""
    x, y = seen(kind)
    r = xhat.restore(y, solver="rml:steps=2", prior="none")
    assert bool(measured(r.first, 5.0)["is"]) == (kind == "ring")
    assert float(nxcorr(r.first[None], x[None])) > 0.75  # a ring is thinner than the beam, and two rounds are few
    assert float(r.metrics["chi2_cp"]) < 1.5


def test_flux_is_positive_and_as_given():
    _, y = seen("blobs", 16)
    r = xhat.restore(y, solver="rml:steps=1,inner_steps=5", prior="none")
    total = float(torch.as_tensor(r.problem.y)[0, -1, 0])  # the datum of the total flux
    assert float((r.first + 1).sum()) / 2 * 0.008 == pytest.approx(total, rel=1e-4)
    assert float(r.first.min()) >= -1


@pytest.mark.parametrize("options", [{"flux": 0.3}, {}])
def test_images_do_not_mix_and_need_no_datum_of_the_flux(options):
    A = black_hole_array((1, 16, 16), fov=160, white=0.03, interval=3600, **options)
    x = torch.stack([from_pixels(p) for p in generate(3, 16)])
    like = likelihood(A, VLBI(), VLBI().bind(A.detector).sample(A(x), Rng([0, 1, 2])))
    run = lambda part, seeds: solve(RML(steps=2, inner_steps=5), NoPrior(), part, Rng(seeds))
    together = run(like, [4, 5, 6])
    alone = run(like.take(torch.tensor([1])), [9])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-4)  # 10 steps of Adam in float32


def test_the_penalty_is_least_at_the_gaussian_that_it_knows():
    A = black_hole_array((1, 32, 32), fov=160)
    q = gaussian(A, 40.0)
    entropy = RML(tv=0.0, tsv=0.0)
    assert float(entropy.penalty(q, q)) == pytest.approx(0, abs=1e-3)
    assert float(entropy.penalty(gaussian(A, 30.0), q)) > 1
    assert float(entropy.penalty(gaussian(A, 40.0, 10.0), q)) > 1, "entropy keeps the image in the middle"
    at_half = int((q[0, 0, 16] > q[0, 0, 16].max() / 2).sum()) * A.pixel / MICROARCSECOND
    assert at_half == pytest.approx(40, abs=5), "a pixel"


def test_other_operators_are_refused():
    like = likelihood(OPERATORS["denoise"]((1, 8, 8)), Gaussian(0.1), torch.zeros(1, 1, 8, 8))
    with pytest.raises(MismatchError, match="rml is for what an array of telescopes sees"):
        solve(RML(), NoPrior(), like, Rng([0]))


def test_variance_of_pictures_is_told_apart_by_day_and_set():
    """Four days and five sets of starts: what a day adds, what a set adds, and noise."""
    g = np.random.default_rng(0)
    line = np.arange(16) - 7.5
    base = np.exp(-(line[:, None] ** 2 + line**2) / 20)
    field = lambda *n: torch.from_numpy(g.normal(size=(*n, 16, 16)) * base).float()
    noise = 0.02 * field(4, 5)
    days, sets = 0.05 * field(4, 1), 0.05 * field(1, 5)
    one = torch.from_numpy(base).float()
    assert max(ratios(one + noise)) < 1.5
    day, start = ratios(one + noise + days)
    assert day > 5 > 1.5 > start
    day, start = ratios(one + noise + sets)
    assert start > 5 > 1.5 > day
    same_day, same_set, neither = pairs(one + noise + days)
    assert same_day > same_set
    assert same_set == pytest.approx(neither, abs=0.01)
