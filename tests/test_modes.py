"""Several starts of a point solver: ranked by the posterior, never by the truth, and each as if it ran alone."""

import itertools
import math

import pytest
import torch

import xhat
from xhat.cli.arguments import main
from xhat.errors import SpecError
from xhat.exact.problems import Mixture
from xhat.operators.dense import Dense
from xhat.priors import GaussianPrior, MixturePrior
from xhat.priors.density import along_flow, density
from xhat.priors.powerlaw import PowerLaw
from xhat.schedule import CLEAN, EDM, Level
from xhat.solvers import SOLVERS
from xhat.solvers.map import fitted

MASK = (torch.arange(16) % 3 > 0).float().reshape(1, 4, 4)


def two_blobs() -> MixturePrior:
    """Two pictures, dark and bright, of equal weight but of unequal width."""
    means = torch.stack([torch.full((1, 4, 4), -0.5), torch.full((1, 4, 4), 0.5)])
    return MixturePrior(means, torch.tensor([0.01, 0.04]), schedule=EDM(0.01, 5.0))


def seen(starts: int = 1, **options: object) -> xhat.Restoration:
    """The two pictures seen through a mask that leaves one pixel, at 0.05: both explain it."""
    mask = torch.zeros(1, 4, 4)
    mask[0, 1, 1] = 1
    A = xhat.operator(lambda x: x * mask, shape=(1, 4, 4), linear=True)
    y = mask * -0.05
    return xhat.restore(y, A, xhat.Gaussian(0.3), two_blobs(), "lmaps:renoise=full,steps=8", starts=starts, **options)


def test_the_winner_is_the_start_of_highest_posterior():
    """The scores are those of Bayes' rule by hand, and the result is their best: the plain run of that seed."""
    r = seen(24)
    prior, modes = two_blobs(), r.modes
    x = modes.images
    by_hand = (r.problem.y - r.problem.A(x)).square().flatten(1).sum(1) / (2 * 0.3**2) - prior.log_density(x, CLEAN)
    torch.testing.assert_close(modes.score, by_hand.double(), rtol=1e-5, atol=1e-4)  # float32 sums of 16 pixels
    assert modes.score.argmin() == 0
    assert modes.score.diff().min() >= 0
    assert len(modes.distinct) >= 2  # there was something to choose between
    plain = seen(seed=modes.seeds[0])
    assert r.record["seeds"] == [modes.seeds[0]]
    assert (r.images == modes.images[:1]).all()
    torch.testing.assert_close(r.images, plain.images, rtol=0, atol=1e-3)  # a batch changes rounding only
    assert [row["seed"] for row in r.record["ranking"]["modes"]] == list(modes.seeds)


def test_one_start_is_the_plain_run_bit_for_bit():
    a, b = seen(), seen(1)
    assert (a.images == b.images).all()
    assert b.modes is None
    assert "ranking" not in b.record


@pytest.mark.parametrize("size", [1, 5])
def test_a_start_does_not_depend_on_the_others(size):
    """Images never mix: in batches of any size, and among fewer starts, each start has its own score."""
    whole, parts, few = seen(8), seen(8, batch_size=size), seen(3)
    score = dict(zip(whole.modes.seeds, whole.modes.score.tolist(), strict=True))
    for other in (parts, few):
        for seed, value in zip(other.modes.seeds, other.modes.score.tolist(), strict=True):
            assert value == pytest.approx(score[seed], abs=0.02)  # of 8 to 60 nats: rounding of the runs


def test_the_truth_plays_no_part():
    with_truth, without = seen(8, reference=torch.full((1, 4, 4), -0.5)), seen(8)
    assert with_truth.modes.seeds == without.modes.seeds
    assert "psnr" in with_truth.metrics


def test_what_cannot_be_ranked_is_refused():
    y, rest = torch.zeros(1, 4, 4), ("denoise", 0.1, two_blobs())
    for solver, options, says in (
        ("ddrm", {"starts": 2}, "draws samples"),
        ("hqs", {"starts": 2}, "no random numbers"),
        ("lmaps", {"starts": 2, "samples": 2}, "give one of them"),
        ("lmaps", {"starts": 2, "record_every": 1}, "record_every"),
        ("lmaps", {"starts": 0}, "starts"),
    ):
        with pytest.raises(SpecError, match=says):
            xhat.restore(y, *rest, solver, **options)


def test_modes_are_written_and_listed(tmp_path):
    r = seen(24)
    r.save(tmp_path / "out", modes=2)
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"mode_000.png", "mode_001.png", "restored.png", "record.json"} <= names
    assert (tmp_path / "out/mode_000.png").read_bytes() == (tmp_path / "out/restored.png").read_bytes()
    with pytest.raises(SpecError, match="starts"):
        seen().save(tmp_path / "plain", modes=2)
    seen().save(tmp_path / "out")  # the modes of the earlier result go
    assert not list((tmp_path / "out").glob("mode_*"))


def exact_priors() -> list[xhat.Prior]:
    g = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, generator=g)
    mixture = Mixture(d=4, m=1).problem(0).prior.float()
    return [GaussianPrior((6,), root @ root.T, mean=0.3), PowerLaw(1.5, 0.4, 0.1), two_blobs(), mixture]


@pytest.mark.parametrize("prior", exact_priors(), ids=lambda p: type(p).__name__)
def test_a_density_in_closed_form_has_the_denoiser_as_its_score(prior):
    """Tweedie: ∇ log p(x_t) = (α D(x_t) − x_t)/σ²."""
    shape = {"PowerLaw": (1, 6, 7), "GaussianPrior": (6,)}.get(type(prior).__name__) or prior.shape
    t = Level(0.5, 0.8, 0.6)
    prior = prior.double()
    x = torch.randn(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    (score,) = torch.autograd.grad(prior.log_density(x, t).sum(), x)
    torch.testing.assert_close(score, (t.alpha * prior(x, t) - x).detach() / t.sigma**2, rtol=1e-5, atol=1e-5)


def test_a_density_in_closed_form_has_mass_one():
    """The integral over two pixels, on a grid as wide as 8 standard deviations."""
    grid = torch.linspace(-6, 6, 121)
    x = torch.cartesian_prod(grid, grid)
    C = torch.tensor([[0.5, 0.2], [0.2, 0.3]])
    for prior, points in ((GaussianPrior((2,), C), x), (PowerLaw(std=0.7), x.reshape(-1, 1, 1, 2))):
        mass = prior.log_density(points, Level(0.1, 0.9, 0.3)).exp().sum() * 0.1**2
        assert float(mass) == pytest.approx(1, abs=1e-3)


def test_the_flow_gives_the_density_of_a_denoiser():
    """A Gaussian seen through its denoiser alone. ±1 probes are exact for a diagonal Jacobian: what is left is Heun's
    error, and that of the surrogate at the top, whose variance is 0.25 + 400 in place of 0.5 + 400.
    """
    x = 0.7 * torch.randn(4, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    prior = xhat.Denoiser(lambda u, s: u * 0.5 / (0.5 + s**2), EDM(0.05, 20.0))
    exact = -(x.square().sum((1, 2, 3)) / 2 / (0.5 + 0.05**2)) - 32 * math.log(2 * math.pi * (0.5 + 0.05**2))
    errors = [float((along_flow(prior, x, 0.05, 20.0, n) - exact).abs().max()) for n in (8, 16)]
    assert errors[1] < 0.02  # 64 pixels times the surrogate's 0.25/800
    assert errors[0] > 4 * errors[1]  # second order


def test_the_flow_ranks_as_the_density_does():
    """Draws and blurred or noisy draws of a Gaussian with the spectrum of pictures: the same order as in closed form,
    and differences right to 2 % of what they are: one probe a call, the same for all images.
    """
    exact = PowerLaw()
    noise = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    draws = exact.sample(noise)
    x = torch.cat([draws, 0.5 * draws, draws + 0.1 * noise.flip(-1)])
    flow = density(xhat.Denoiser(lambda u, s: exact(u, Level(0.5, 1.0, s)), EDM(0.02, 20.0)), x)
    true = exact.log_density(x, Level(0.5, 1.0, flow.level))
    assert flow.values.argsort().tolist() == true.argsort().tolist()
    for i, j in itertools.combinations(range(len(x)), 2):
        gap = float(true[i] - true[j])
        assert float(flow.values[i] - flow.values[j]) == pytest.approx(gap, rel=0.02, abs=5)


# --- map: the ascent -----------------------------------------------------------------------------


def blurred_mode(prior: GaussianPrior, A: torch.Tensor, y: torch.Tensor, sigma: float, rho: float) -> torch.Tensor:
    """argmax log p(y|x) + log p_ρ(x) for a Gaussian prior, by one linear system."""
    C = (prior.Q * (prior.lam + rho**2)) @ prior.Q.T
    H = A.T @ A / sigma**2 + torch.linalg.inv(C)
    return torch.linalg.solve(H, A.T @ y / sigma**2 + torch.linalg.solve(C, torch.full_like(C[0], prior.mean)))


def test_map_comes_to_the_mode_of_a_gaussian_in_closed_form():
    """Half of 32 numbers are seen. In the directions of least curvature momentum takes a few hundred steps, and more
    steps come closer; 1 % at the default is what 30 steps of a ladder and 30 of the ascent leave.
    """
    g = torch.Generator().manual_seed(3)
    lam = 1 / (1 + torch.arange(32.0)) ** 2
    Q = torch.linalg.qr(torch.randn(32, 32, generator=g)).Q
    prior = GaussianPrior((32,), (Q * lam) @ Q.T, mean=0.2, schedule=EDM(0.02, 10.0))
    A = torch.randn(16, 32, generator=g) / 4
    y = A @ prior.sample(xhat.Rng([5]))[0] + 0.1 * torch.randn(16, generator=g)
    best = blurred_mode(prior, A, y, 0.1, 0.02)
    like = xhat.likelihood(Dense((32,), A), xhat.Gaussian(0.1), y[None])
    gap = lambda spec: float(
        (xhat.solve(xhat.build(spec, SOLVERS), prior, like, xhat.Rng([0]))[0] - best).norm() / best.norm()
    )
    assert gap("map") < 0.01
    assert gap("map:steps=400") < min(1e-3, gap("map"))
    assert gap("map") < gap("lmaps:steps=60")


def test_a_step_of_the_ascent_never_lowers_the_posterior():
    """Majorisation-minimisation, without momentum, from anywhere between two modes: of the blurred posterior."""
    prior, t = two_blobs(), Level(0.1, 1.0, 0.1)
    y = 0.2 * torch.ones(6, 1, 4, 4)
    like = xhat.likelihood(xhat.operator(lambda x: x * MASK, shape=(1, 4, 4), linear=True), xhat.Gaussian(0.3), y)
    x = 0.6 * torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    height = lambda x: prior.log_density(x, t) - like.nll(x)
    for _ in range(20):
        new = fitted(prior(x, t), t, like)
        assert (height(new) >= height(x) - 1e-3).all()  # float32 sums of tens
        x = new
    assert (height(x) > height(torch.zeros_like(x))).all()


@pytest.mark.parametrize(("d", "m", "seed"), [(8, 1, 1), (8, 2, 0), (8, 4, 3)])
def test_many_starts_find_the_global_mode_where_it_is_known(d, m, seed):
    """25 Gaussians: 16 starts, ranked by prior and likelihood, end at the global MAP of the exact posterior."""
    problem = Mixture(d=d, m=m).problem(seed)
    like = problem.like.take(torch.zeros(16, dtype=torch.long))
    x = xhat.solve(xhat.build("map", SOLVERS), problem.prior, like, xhat.Rng(range(16)))
    score = like.nll(x) - density(problem.prior, x).values
    at = problem.posterior.climb(x)
    # Bayes: score and the log-density of the posterior in closed form differ by the evidence alone
    assert float((score + problem.posterior.log_density(x)).std()) < 1e-6
    assert float((at[score.argmin()] - problem.posterior.peak()).abs().max()) < 1e-6
    assert float((x - at).abs().max()) < 0.3  # modes are 8 apart, and one is 1 wide


# --- samples are draws -----------------------------------------------------------------------------


def drawn(solver: str | None = None, noise: float = 0.1, operator: object = "denoise", **options: object):
    return xhat.restore(-torch.ones(1, 4, 4) / 2, operator, noise, two_blobs(), solver, samples=2, **options)


def test_samples_without_a_solver_are_drawn_by_a_sampler(caplog):
    r = drawn()
    assert r.record["returns"] == "sample"
    assert r.record["solver"].startswith("mmps:steps=50")
    assert "drawn by mmps" in caplog.text
    curved = drawn(operator=xhat.operator(lambda x: x + 0.1 * x**2, shape=(1, 4, 4)))
    assert curved.record["solver"].startswith("daps")
    assert xhat.restore(r.y, "denoise", 0.1, two_blobs()).record["solver"].startswith("lmaps")


def test_the_spread_of_a_point_solver_is_no_standard_deviation(tmp_path, caplog):
    sampled, point = drawn(), drawn("lmaps:steps=3,renoise=full")
    assert "no posterior" in caplog.text
    assert (sampled.posterior_std == sampled.std).all()
    assert point.posterior_std is None
    assert (point.std > 0).any()
    sampled.save(tmp_path / "a")
    point.save(tmp_path / "b")
    files = [{p.name for p in (tmp_path / name).iterdir()} for name in "ab"]
    assert files[0] - files[1] == {"std.png"}
    assert sampled.plot().width > point.plot().width  # the tile of the standard deviation


def test_steps_without_a_solver_to_have_them_are_refused(tmp_path, capsys):
    xhat.save_image(tmp_path / "y.png", torch.zeros(1, 8, 8))
    given = ["restore", str(tmp_path / "y.png"), "-o", str(tmp_path / "out")]
    assert main([*given, "--samples", "2", "--steps", "3"]) == 2
    assert "--solver" in capsys.readouterr().err
    assert main([*given, "--modes", "2"]) == 2
    assert "--starts" in capsys.readouterr().err
