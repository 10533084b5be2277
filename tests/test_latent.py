"""Latent problems: a latent solver is its pixel solver where the autoencoder loses nothing; methods of their own."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from oracles import ONLY, SHAPE, GaussianText, Rotation, operator, problem, rbf_prior
from pipelines import latent_diffusion, randn, stable_diffusion
from xhat.cli.arguments import main
from xhat.errors import MismatchError
from xhat.files.pictures import save_image
from xhat.likelihoods import LatentLikelihood, LatentLinear, LinearGaussian, likelihood, of_latents
from xhat.loop import solve, trajectory
from xhat.noise import Gaussian, Noiseless
from xhat.numerics.autodiff import grad
from xhat.numerics.calls import counting
from xhat.numerics.linalg import dot, norm, sq
from xhat.operators.decoder import Autoencoder, Decoder, Identity
from xhat.priors import Autoencoded, GaussianPrior, build_prior
from xhat.rng import Rng
from xhat.schedule import VP, Flow, Level
from xhat.solvers import SOLVERS
from xhat.solvers.base import State
from xhat.solvers.daps import DAPS
from xhat.solvers.diffstategrad import ProjectedPrior
from xhat.solvers.dps import DPS
from xhat.solvers.dreamsampler import DreamSampler
from xhat.solvers.flowdps import FlowDPS
from xhat.solvers.latent_resample import LatentReSample
from xhat.solvers.lmaps import LMAPS
from xhat.solvers.p2l import P2L
from xhat.solvers.psld import PSLD, glue
from xhat.solvers.resample import ReSample
from xhat.solvers.stsl import STSL
from xhat.solvers.treg import TReg, consistent
from xhat.task.restore import restore


class Curved(Autoencoder):
    """Nothing linear about it: D(z) = tanh(Qz) + z/2, E(x) = sin(Qᵀx)."""

    def __init__(self) -> None:
        super().__init__()
        self.rotation = Rotation()

    def encode(self, x):
        return torch.sin(self.rotation.encode(x))

    def decode(self, z):
        return torch.tanh(self.rotation.decode(z)) + z / 2

    def latent_shape(self, shape):
        return shape


class Turned(Rng):
    """The noise of `Rng` for latents, as what it is in pixels under a rotation."""

    def __init__(self, seeds, rotation: Rotation) -> None:
        super().__init__(seeds)
        self.rotation = rotation

    def randn_like(self, x: Tensor) -> Tensor:
        noise = super().randn_like(x)
        return self.rotation.decode(noise) if noise.shape[1:] == SHAPE else noise


def pair(noise=None, A: str = "inpaint", autoencoder: Autoencoder | None = None):
    """Truths, a pixel problem with its prior, and the same under an autoencoder with its latent prior."""
    prior = rbf_prior().double()
    prior.schedule = VP()
    x, like = problem(prior, [0, 1], A, noise or Gaussian(0.1))
    codec = autoencoder or Rotation()
    of_latents = codec.rotated(prior) if isinstance(codec, Rotation) else prior
    latent = Autoencoded(of_latents.double(), codec)
    return x, prior, like, latent, latent.problem(like)


# The pixel solvers on latents


@pytest.mark.parametrize(
    "solver", [DPS(steps=20), DAPS(steps=8, ode_steps=2, mcmc_steps=10), LMAPS(steps=10), LMAPS(steps=10, zeta=0.3)]
)
@pytest.mark.parametrize("A", ["inpaint", "super_resolution:factor=2,kind=average"])
def test_a_rotation_changes_nothing(solver, A):
    """Latent DPS, DAPS and LMAPS are the pixel ones up to rounding, the noise being the same in pixels.

    LMAPS takes Gauss-Newton where it has a closed form in pixels; its CG has converged here.
    """
    _, prior, like, latent, of_latents = pair(A=A)
    pixel = solve(solver, prior, like, Turned([3, 4], latent.autoencoder))
    ours = latent.image(solve(solver, latent, of_latents, Rng([3, 4])))
    torch.testing.assert_close(ours, pixel, rtol=1e-6, atol=1e-6)


def test_images_as_their_own_latents():
    """Under the identity the latent run is the pixel run, Adam and all."""
    solver = LMAPS(steps=10, inner="adam")
    _, prior, like, latent, of_latents = pair(autoencoder=Identity())
    a, b = (solve(solver, *problem, Rng([3, 4])) for problem in ((prior, like), (latent, of_latents)))
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_the_problem_is_the_one_of_the_image():
    x, _, like, latent, of_latents = pair(autoencoder=Curved())
    assert isinstance(of_latents, LatentLinear)
    assert isinstance(of_latents.pixel, LinearGaussian)
    assert not isinstance(of_latents, LinearGaussian)  # closed forms in z would be wrong
    z = randn(2, *SHAPE, dtype=torch.float64)
    torch.testing.assert_close(of_latents.nll(z), like.nll(latent.image(z)))
    one = of_latents.take(torch.tensor([1]))
    torch.testing.assert_close(one.nll(z[1:]), of_latents.nll(z)[1:])
    torch.testing.assert_close(one.pixel.nll(x[1:]), like.nll(x)[1:])


# PSLD


def test_psld_without_gluing_is_latent_dps():
    _, _, _, latent, like = pair(autoencoder=Curved())
    a = solve(PSLD(steps=20, omega=0.3, gamma=0.0, eta=1.0), latent, like, Rng([0, 1]))
    b = solve(DPS(steps=20, c=0.3), latent, like, Rng([0, 1]))
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("A", ["inpaint", "gaussian_blur:std=0.8"])
def test_gluing_is_the_gradient_it_says(A):
    _, _, _, _, like = pair(autoencoder=Curved(), A=A)

    def loss(z: Tensor) -> Tensor:
        x, H = like.decode(z), like.A.outer
        m = torch.stack([H(e[None])[0] for e in torch.eye(64).double().reshape(64, *SHAPE)]).flatten(1)  # Aᵀ
        back = lambda y: (y.flatten(1) @ m.T).reshape(x.shape)
        return norm(like.encode(back(like.y) + x - back(H(x))) - z)

    z = randn(2, *SHAPE, dtype=torch.float64)
    torch.testing.assert_close(glue(z, like), grad(loss, z), rtol=1e-6, atol=1e-8)


def test_a_glued_latent_stays():
    """ẑ₀ that is the code of an image which has the measured pixels is where the gluing term is 0."""
    x, _, _, _, like = pair(Noiseless())
    z = like.encode(x)
    assert norm(like.encode(x + like.pixel.A.adjoint(like.pixel.residual(x))) - z).max() < 1e-10


# ReSample


def test_latent_resample_on_images_is_resample():
    """Identity autoencoder, no look-ahead: only the last step, which starts from z and not from ẑ₀, differs."""
    _, prior, like, latent, of_latents = pair(autoencoder=Identity())
    inner = {"pixel_steps": 30, "latent_steps": 30, "pixel_lr": 0.05, "latent_lr": 0.05}
    ours = LatentReSample(steps=12, every=3, look_ahead=0, **inner)
    pixel = ReSample(steps=12, every=3, inner_steps=30, lr=0.05)
    a = [s.state.x for s in trajectory(ours, latent, of_latents, Rng([0, 1]))]
    b = [s.state.x for s in trajectory(pixel, prior, like, Rng([0, 1]))]
    for x, y in zip(a[:-1], b[:-1], strict=True):
        torch.testing.assert_close(x, y, rtol=1e-8, atol=1e-8)


def test_latent_resample_ends_where_the_noise_explains_the_rest():
    _, _, _, latent, like = pair(autoencoder=Curved())
    x = latent.image(solve(LatentReSample(steps=12, pixel_steps=50, latent_lr=0.02), latent, like, Rng([0, 1])))
    found = norm(like.pixel.residual(x)) / like.y[0].numel() ** 0.5
    assert (found < 1.01 * 0.1).all()


# STSL


def test_stsl_has_no_second_order_on_a_gaussian():
    """There the score is linear and its derivative's trace has no gradient."""
    _, _, _, latent, like = pair(autoencoder=Curved())
    a, b = (solve(STSL(steps=10, eta=eta), latent, like, Rng([0, 1])) for eta in (5.0, 1e-300))
    torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("t", [Level(0.5, 0.6, 0.8), Level(0.5, 1.0, 2.0)])
def test_stsl_estimates_the_trace(t):
    """(1/n) E εᵀ(s(z + ε) − s(z)) = n_t²/n tr ∂s/∂z, here −n_t²/n tr (α²C + σ²I)⁻¹ with ε of variance n_t²."""
    prior = rbf_prior().double()
    _, like = problem(prior, [0])
    latent = Autoencoded(prior, Identity())
    many = latent.problem(like.take(torch.zeros(4000, dtype=torch.long)))
    z = torch.zeros(4000, *SHAPE, dtype=torch.float64)
    eps = t.norm * randn(4000, *SHAPE, dtype=torch.float64)
    found = STSL(lam=0.0, eta=1.0).surrogate(z, eps, t, latent, many).mean()
    expected = -(t.norm**2 / (t.alpha**2 * prior.lam + t.sigma**2)).mean()
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.0)  # 256000 draws of χ²


# P2L, TReg, DreamSampler


def texts(autoencoder: Autoencoder | None = None, guidance: float = 2.0, eyes: bool = True):
    _, prior, like, latent, of_latents = pair(autoencoder=autoencoder or Curved())
    return GaussianText(latent.denoiser, latent.autoencoder, guidance, eyes).double(), latent, of_latents


def test_p2l_without_tuning_is_psld_without_gluing():
    text, _, like = texts()
    a = solve(P2L(steps=20, omega=0.3, prompt_steps=0, every=1000), text, like, Rng([0, 1]))
    b = solve(PSLD(steps=20, omega=0.3, gamma=0.0), text, like, Rng([0, 1]))
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_p2l_tunes_the_text_at_every_level_and_to_the_data():
    text, _, like = texts(guidance=1.0)
    states = [s.state for s in trajectory(P2L(steps=20, lr=0.01), text, like, Rng([0, 1]))]
    for a, b in pairwise(states):
        assert (a.c - b.c).abs().amax((1, 2)).min() > 1e-4
    t = text.schedule(0.9)
    z = t.sigma * randn(2, *SHAPE, dtype=torch.float64)
    first = P2L(steps=20).init(t, text, like, Rng([0, 1]))
    tuned = P2L(lr=0.01, prompt_steps=100).tuned(replace(first, x=z), ONLY, t, text, like)[0]
    loss = [sq(like.residual(text.conditioned(z, t, c))) for c in (first.c, tuned)]
    assert (loss[1] < 0.9 * loss[0]).all()


def test_consistency_is_the_minimum():
    _, _, like = texts()
    z = randn(2, *SHAPE, dtype=torch.float64)
    found = consistent(z, like, 0.3, 5)
    torch.testing.assert_close(found, like.pixel.prox(like.decode(z), 0.3), rtol=1e-8, atol=1e-8)  # a mask: 2 steps


def test_negation_turns_the_negative_prompt_away_image_by_image():
    text, _, like = texts()
    x = randn(2, *SHAPE, dtype=torch.float64)
    start = text.texts(2)[1]
    moved = TReg().negated(x, start, text)
    f = text.image_embedding(x)
    assert (dot(moved.mean(1), f) < dot(start.mean(1), f)).all()
    torch.testing.assert_close(moved[1:], TReg().negated(x[1:], start[1:], text))
    assert TReg(negation=0).negated(x, start, text) is start


def test_treg_says_what_it_lacks():
    text, _, like = texts(eyes=False)
    with pytest.raises(MismatchError, match=r"no image encoder.*treg:negation=0"):
        solve(TReg(steps=3), text, like, Rng([0, 1]))
    solve(TReg(steps=3, negation=0), text, like, Rng([0, 1]))


def test_a_prompt_that_says_nothing_changes_nothing():
    text, latent, like = texts(guidance=3.0)
    text.prompt = torch.zeros_like(text.prompt)
    a, b = (solve(DreamSampler(steps=12), prior, like, Rng([0, 1])) for prior in (text, latent))
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["treg", "dreamsampler"])
def test_the_prompt_is_heard(name):
    """The mean of the answers moves towards what the prompt says, in the direction that the data leave open."""
    text, _, like = texts(Rotation(), guidance=2.0)
    text.prompt = 20 * text.prompt
    said = text.mean(text.prompt)
    outs = []
    for prompt in (text.prompt, torch.zeros_like(text.prompt)):
        text.prompt = prompt
        outs.append(solve(replace(SOLVERS[name](), steps=30), text, like, Rng([0, 1])))
    assert (dot(outs[0] - outs[1], said.expand(2, *SHAPE)) > 0).all()


# FlowDPS


def white(c: float) -> GaussianPrior:
    prior = GaussianPrior(SHAPE, c * torch.eye(64, dtype=torch.float64)).double()
    prior.schedule = Flow(shift=4.0)
    return prior


def test_flowdps_without_data_in_closed_form():
    """x₀ ~ N(0, c I): every level's variance by hand, against 256 x 64 draws."""
    c, solver = 0.3, FlowDPS(steps=10, inner_steps=0, last_steps=0)
    latent = Autoencoded(white(c), Identity())
    like = latent.problem(problem(white(c), list(range(256)))[1])
    steps = list(trajectory(solver, latent, like, Rng(range(256))))
    var = steps[0].t.sigma ** 2
    for step in steps:
        t, s = step.t, step.s
        k = c / (c + t.ratio**2)  # ẑ₀ = k z/α
        gain = s.alpha * k / t.alpha + s.sigma * s.sigma**0.5 * (1 - k) / t.sigma
        var = gain**2 * var + s.sigma**2 * (1 - s.sigma)
        assert float(step.state.x.var()) == pytest.approx(var, rel=0.05)  # 16384 draws: 1.1 % standard error


def test_flowdps_data_step_in_closed_form():
    """Behind a rotation and a mask f is linear along its gradient, so each inner step takes its share off it."""
    _, _, _, _, like = pair()
    z = randn(2, *SHAPE, dtype=torch.float64)
    solver = FlowDPS(step_size=0.25)
    before, after = (norm(like.pixel.A.adjoint(like.residual(v))) for v in (z, solver.guided(z, like)))
    torch.testing.assert_close(after, 0.75**3 * before, rtol=1e-8, atol=0.0)


@pytest.mark.parametrize("size", [16, 32])
def test_flowdps_has_no_size_in_it(size):
    """A periodic image of equal tiles is blurred tile by tile, and a data step does to each what it does to one.

    A step of one length does the less to each the more there are; one of a length per √n does not fit the residual.
    """
    prior, n = white(0.5), size // 8
    blur = "gaussian_blur:std=0.6,size=3,boundary=circular"
    small = Autoencoded(prior, Identity()).problem(problem(prior, [0, 1], blur)[1])
    many = operator(blur, (1, size, size))
    large = of_latents(likelihood(many, small.noise, small.y.repeat(1, 1, n, n)), Decoder(Identity(), many.shape))
    z = randn(2, *SHAPE, dtype=torch.float64)
    one, four = FlowDPS().guided(z, small), FlowDPS().guided(z.repeat(1, 1, n, n), large)
    torch.testing.assert_close(four, one.repeat(1, 1, n, n))


@pytest.mark.slow
@pytest.mark.parametrize("A", ["inpaint", "super_resolution:factor=2,kind=average", "gaussian_blur:std=0.8"])
@pytest.mark.parametrize("codec", [None, Curved()], ids=["rotation", "curved"])
@pytest.mark.parametrize("solver", [FlowDPS(), TReg(steps=40, negation=0)], ids=["flowdps", "treg"])
def test_latent_solvers_reach_the_data(solver, codec, A):
    """Without a last data step FlowDPS ends at 1.3 to 5.6 times the noise, and TReg at up to twice."""
    _, _, pixel, latent, like = pair(autoencoder=codec, A=A)
    if isinstance(solver, TReg):
        latent = GaussianText(latent.denoiser, latent.autoencoder).double()
    found, expected = pixel.misfit(latent.image(solve(solver, latent, like, Rng([3, 4]))))
    assert (found < 1.02 * expected).all()  # Adam stops at the first step at which it is explained
    assert (found > 0.7 * expected).all()


def test_flowdps_step_of_a_gaussian():
    """One whole step with a noise of 0 at σ = ½ → ¼ by hand."""
    latent = Autoencoded(white(0.5), Identity())
    like = latent.problem(problem(white(0.5), [0, 1])[1])
    t, s, z = Level(0.5, 0.5, 0.5), Level(0.25, 0.75, 0.25), randn(2, *SHAPE, dtype=torch.float64)

    class Still(Rng):
        def randn_like(self, x):
            return torch.zeros_like(x)

    new = FlowDPS(step_size=0.1).step(State(z, z), ONLY, t, s, latent, like, Still([0, 1]))
    z0 = 0.5 / 1.5 * z / 0.5
    r = like.A.outer(torch.ones_like(z)) * like.residual(z0)
    z0y = 0.5 * z0 + 0.5 * (z0 + (1 - 0.9**3) * r)
    eps = (z - 0.5 * z0) / 0.5
    torch.testing.assert_close(new.x, 0.75 * z0y + 0.25 * 0.5 * eps)


# What fits what


@pytest.mark.parametrize("name", [n for n, c in SOLVERS.items() if issubclass(c.needs, LatentLikelihood)])
def test_latent_solvers_refuse_pixel_priors(name):
    _, prior, like, latent, of_latents = pair()
    with pytest.raises(MismatchError, match=r"with z a latent of a latent prior.*Solvers that fit: .*dps"):
        solve(SOLVERS[name](), prior, like, Rng([0, 1]))


@pytest.mark.parametrize("solver", [P2L(), TReg()])
def test_text_solvers_refuse_priors_without(solver):
    _, _, _, latent, like = pair()
    with pytest.raises(MismatchError, match="needs a TextPrior, and Autoencoded is not one"):
        solve(solver, latent, like, Rng([0, 1]))


def test_curved_operators_take_what_they_fit():
    _, _, _, latent, like = pair(A="hdr")
    assert type(like) is LatentLikelihood
    with pytest.raises(MismatchError, match="LatentLinear"):
        solve(PSLD(), latent, like, Rng([0, 1]))
    assert solve(LatentReSample(steps=3, pixel_steps=5, latent_steps=5), latent, like, Rng([0, 1])).isfinite().all()


# From the command line


@pytest.fixture(scope="module")
def ldm(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ldm")
    latent_diffusion(folder)
    return folder


@pytest.fixture(scope="module")
def sd(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sd")
    stable_diffusion(folder, eyes=True)
    return folder


@pytest.fixture
def picture(tmp_path) -> Path:
    save_image(tmp_path / "x.png", randn(3, 16, 12).clamp(-1, 1))
    physics = ["--operator", "inpaint", "--noise", "gaussian:sigma=0.1"]
    assert main(["simulate", str(tmp_path / "x.png"), *physics, "-q", "-o", str(tmp_path / "y.npz")]) == 0
    return tmp_path / "y.npz"


@pytest.mark.parametrize("solver", ["lmaps:inner=adam,inner_steps=3", "psld", "dps"])
def test_restore(ldm, picture, tmp_path, solver):
    out = tmp_path / "out"
    more = ["--samples", "3", "--batch-size", "2", "--reference", str(tmp_path / "x.png"), "--record-every", "2"]
    run = ["restore", str(picture), "--prior", str(ldm), "--solver", solver, "--steps", "4", "-o", str(out), "-q"]
    assert main([*run, *more]) == 0
    account = json.loads((out / "record.json").read_text())
    assert account["image_shape"] == [3, 16, 12]
    assert account["latent_shape"] == [4, 8, 6]
    assert account["prior"] == str(ldm)
    assert len(account["metrics"]["psnr"]) == 3
    assert {"panel.png", "restored.png", "sample_002.png", "trajectory.png"} <= set(account["files"])
    assert ("std.png" in account["files"]) == (account["returns"] == "sample")


def test_restored_images_are_decoded_and_judged_as_images(ldm, picture):
    prior = build_prior(str(ldm), device="cpu")
    seen = restore(picture, prior=prior, solver="dps:steps=3", seed=5)
    like = seen.problem
    assert not isinstance(like, LatentLikelihood)
    z = solve(DPS(steps=3), prior, prior.problem(like), Rng([5]))
    torch.testing.assert_close(seen.images, prior.image(z), rtol=1e-4, atol=1e-5)
    assert like.count < like.y[0].numel(), "pixels in the hole are no measurement"
    rms = norm(like.residual(seen.images)) / like.count.sqrt()
    torch.testing.assert_close(seen.residual, rms)


def test_ctrl_c_and_resume_under_a_latent_prior(ldm, picture, tmp_path, monkeypatch):
    import xhat.task.run

    kept = xhat.task.run.trajectory
    run = {"prior": str(ldm), "solver": "psld:steps=6", "device": "cpu"}
    whole = restore(picture, **run)

    def interrupted(*args, **kwargs):
        for step in kept(*args, **kwargs):
            if step.index == 4:
                raise KeyboardInterrupt
            yield step

    monkeypatch.setattr(xhat.task.run, "trajectory", interrupted)
    with pytest.raises(KeyboardInterrupt):
        restore(picture, **run, checkpoint=tmp_path / "c.pt")
    monkeypatch.setattr(xhat.task.run, "trajectory", kept)
    assert torch.equal(restore(picture, **run, checkpoint=tmp_path / "c.pt", resume=True).images, whole.images)


def test_sizes_that_no_latent_has(ldm, tmp_path, capsys):
    save_image(tmp_path / "odd.png", randn(3, 15, 12).clamp(-1, 1))
    run = ["restore", str(tmp_path / "odd.png"), "--operator", "denoise", "--noise", "gaussian:sigma=0.1"]
    assert main([*run, "--prior", str(ldm), "-o", str(tmp_path / "out")]) == 2
    assert "multiples of 2, the problem has (3, 15, 12)" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver",
    ["dps", "psld", "p2l", "treg", "dreamsampler", "stsl", "flowdps", "latent_resample:latent_steps=3,pixel_steps=3"],
)
def test_every_latent_solver_with_a_text_pipeline(sd, picture, solver):
    prior = f"{sd}:prompt=a b,guidance=3"
    made = restore(picture, prior=prior, solver=f"{solver}{',' if ':' in solver else ':'}steps=3", samples=2)
    assert made.images.shape == (2, 3, 16, 12)
    assert not torch.equal(made.images[0], made.images[1])


def test_inspect_says_what_a_latent_folder_holds(tmp_path, capsys):
    latent_diffusion(tmp_path / "ldm")
    stable_diffusion(tmp_path / "sd")
    for name, words in (
        ("ldm", ("LatentDiffusion:", "sides multiples of 2", "height/2, width/2", "AutoencoderKL", "epsilon; ")),
        ("sd", ("StableDiffusion:", "AutoencoderKL", "epsilon; ", "noise range")),
    ):
        assert main(["prior", "inspect", str(tmp_path / name)]) == 0
        out = capsys.readouterr().out
        assert all(w in out for w in words), out


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_prior_around_another_counts_what_its_network_did(guidance):
    """Guidance by a text takes two passes for each image. Whoever holds such a prior costs the same, back and forth."""
    rotation = Rotation().double()
    text = GaussianText(rotation.rotated(rbf_prior().double()), rotation, guidance).double()
    passes = 2 if guidance == 2 else 1
    for prior in (text, Autoencoded(text, rotation), ProjectedPrior(text, 0.99)):
        x = torch.zeros(3, 1, 8, 8, dtype=torch.float64, requires_grad=True)
        with torch.enable_grad(), counting() as calls:
            torch.autograd.grad(prior(x, Level(0.3, 1.0, 0.3)).sum(), x)
        assert (calls.forwards, calls.backwards) == (3 * passes, 3 * passes), type(prior).__name__
