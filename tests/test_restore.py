"""The short way: every kind of input, samples, sub-batches, early stopping, and resuming bit for bit."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image

import xhat
from xhat.errors import DataError, DivergedError, MismatchError, ShapeError, SpecError
from xhat.figures.panel import measurement_tile, panel
from xhat.likelihoods import BlindGaussian, LatentLikelihood, NoiselessLinear
from xhat.operators.decoder import Identity
from xhat.priors import Autoencoded, TextPrior
from xhat.priors.consistency import ConsistencyPrior, LayeredConsistency
from xhat.schedule import Level
from xhat.solvers import SOLVERS
from xhat.task.checkpoint import Checkpoint
from xhat.transition import ancestral


def denoise(x, sigma):
    """The posterior mean under N(0, 0.25 I), image by image."""
    return x * (0.25 / (0.25 + sigma**2))


@dataclass(frozen=True)
class Wandering(xhat.Solver):
    """Draws at every step and ends close to the data: cheap, random, and touched by every bug in seeding."""

    steps: int = 6

    def step(self, state, k, t, s, prior, like, rng):
        x0 = prior(state.x, t)
        x0 = x0 + 0.8 * (like.y - like.A(x0))
        return xhat.State(ancestral(state.x, x0, t, s, rng), x0 + 0.01 * rng.randn_like(x0))


Y = torch.randn(1, 12, 9, generator=torch.Generator().manual_seed(1)).clamp(-1, 1)
PROBLEM = {"operator": "denoise", "noise": "gaussian:sigma=0.1", "prior": denoise, "solver": Wandering()}


def restore(y=Y, **changes):
    return xhat.restore(y, **{**PROBLEM, **changes})


def test_sources_of_one_measurement_give_one_result(tmp_path):
    p = np.random.default_rng(0).integers(0, 256, (12, 9), np.uint8)
    Image.fromarray(p).save(tmp_path / "y.png")
    results = [restore(s).images for s in (tmp_path / "y.png", str(tmp_path / "y.png"), p, Image.fromarray(p))]
    results.append(restore(torch.from_numpy(p.astype(np.float32))[None] / 127.5 - 1).images)
    assert all(torch.equal(r, results[0]) for r in results)


def test_parts_are_strings_or_objects():
    a = restore()
    objects = {"operator": xhat.build("denoise", {"denoise": type(a.problem.A)}, (1, 12, 9))}
    b = restore(**objects, noise=xhat.Gaussian(0.1), prior=xhat.Denoiser(denoise), schedule=xhat.EDM())
    assert torch.equal(a.images, b.images)


def test_a_plain_function_is_an_operator():
    a = restore(operator=lambda x: x, shape=(1, 12, 9))
    assert torch.equal(a.images, restore().images)
    with pytest.raises(ShapeError, match="needs shape="):
        restore(operator=lambda x: x)


def test_a_linear_function_opens_the_closed_forms_and_is_checked():
    A = xhat.operator(lambda x: x.flip(-1) * 2, (1, 12, 9), linear=True)
    x = restore(A(Y[None])[0], operator=A, solver="diffpir:steps=20,lam=1", noise="gaussian:sigma=0.01").first
    assert (x - Y).abs().max() < 0.1
    with pytest.raises(MismatchError, match="not linear"):
        xhat.operator(lambda x: x.abs(), (1, 12, 9), linear=True)


def test_samples_use_seeds_in_a_row_and_mean_and_std_are_theirs():
    r = restore(samples=3, seed=5)
    alone = torch.cat([restore(seed=s).images for s in (5, 6, 7)])
    assert torch.allclose(r.images, alone, atol=1e-6)
    assert not torch.allclose(r.images[0], r.images[1])
    assert torch.allclose(r.mean, alone.mean(0), atol=1e-6)
    assert torch.allclose(r.std, alone.std(0), atol=1e-6)
    assert torch.equal(r.first, r.images[0])
    assert r.best == int(r.residual.argmin())
    assert (restore().std == 0).all()


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_results_do_not_depend_on_the_batch_size(batch_size):
    whole, parts = restore(samples=4), restore(samples=4, batch_size=batch_size)
    assert torch.allclose(whole.images, parts.images, atol=1e-6)
    assert torch.allclose(whole.residual, parts.residual, atol=1e-6)
    assert whole.calls == parts.calls


def test_calls_and_residual_are_those_of_the_run():
    r = restore(samples=2)
    assert vars(r.calls) == {"forwards": 12, "backwards": 0, "operator": 12}
    expected = (Y - r.images).square().flatten(1).mean(1).sqrt()
    assert torch.allclose(r.residual, expected)
    assert torch.allclose(r.expected, torch.tensor(0.1))


def test_watching_is_not_counted(capsys):
    quiet, watched = restore(samples=2), restore(samples=2, progress=True)
    assert quiet.calls == watched.calls
    assert torch.equal(quiet.images, watched.images)
    assert "calls 12" in capsys.readouterr().err


def test_simulated_noise_is_not_the_noise_a_solver_starts_from():
    m = xhat.simulate(torch.zeros(1, 64, 64), "denoise", "gaussian:sigma=1", seed=3)
    start = xhat.Rng([3]).randn_like(m.y[None])[0]
    assert abs(float((m.y * start).mean())) < 0.1
    assert float(m.y.std()) == pytest.approx(1, abs=0.05)


def test_a_simulated_measurement_needs_nothing_else():
    m = xhat.simulate(Y, "denoise", "gaussian:sigma=0.1")
    r = xhat.restore(m, prior=denoise, solver=Wandering(), reference=Y)
    assert r.record["operator"] == "denoise"
    assert r.record["noise"] == "gaussian:sigma=0.1"
    assert r.metrics["psnr"].shape == (1,)


def test_early_stopping_freezes_each_image_where_it_fits():
    r = restore(samples=3, stop_at=1.0)
    steps = r.record["stopped_at_step"]
    assert all(steps), "all fit one step before the end"
    assert (r.residual <= r.expected).all()
    assert r.calls.forwards < 18
    like = xhat.likelihood(r.problem.A, r.problem.noise, Y[None])
    for i, step in enumerate(steps):
        path = xhat.trajectory(Wandering(), xhat.Denoiser(denoise), like, xhat.Rng([i]))
        fits = [float((Y - s.state.x0).square().mean().sqrt()) <= 0.1 for s in path]
        assert step == fits.index(True) + 1
    alone = restore(seed=1, stop_at=1.0)
    assert alone.record["stopped_at_step"] == [steps[1]]
    assert torch.allclose(alone.images[0], r.images[1], atol=1e-6)


class Deaf(TextPrior):
    """A latent prior that hears no word of the text it is given."""

    def __init__(self, base):
        super().__init__()
        self.base, self.autoencoder, self.schedule, self.guidance = base, Identity(), base.schedule, 2.0
        self.prompt = self.negative = torch.zeros(1, 2, 3)

    def check(self, shape):
        pass

    def denoise(self, z, t, c):
        return self.base.forward(z, t) + 0 * c.sum()

    @property
    def sees(self):
        return True

    def image_embedding(self, x):
        return x.flatten(1)[:, :3]


class Jumping(LayeredConsistency):
    """A consistency model that jumps where `base` denoises, through one layer."""

    def __init__(self, base):
        super().__init__((1, 12, 9))
        self.base, self.layers = base, ("input",)

    def through(self, u, sigma, shifts):
        h = u + shifts.get("input", torch.zeros_like(u))
        return self.base.forward(h, Level(0.5, 1.0, sigma)), {"input": h}

    def endpoint(self, u, sigma):
        return self.through(u, sigma, {})[0]


def prior_for(solver, base):
    """`base`, or `base` as what the solver asks for: a consistency model, a prior of images as their own latents."""
    if issubclass(solver.needs_prior, ConsistencyPrior):
        return Jumping(base)
    if issubclass(solver.needs, LatentLikelihood):
        return Deaf(base) if solver.needs_prior is TextPrior else Autoencoded(base, Identity())
    return base


def interrupted(path, after, error=KeyboardInterrupt, **options):
    """A run that ends by `error` inside the step after `after` completed ones, with its streams already moved on."""
    made = [0]

    class Fragile(xhat.Denoiser):
        def forward(self, x, t):
            made[0] += len(x)
            if made[0] > after:
                raise error("now")
            return super().forward(x, t)

    with pytest.raises(error):
        restore(
            prior=prior_for(options.get("solver", Wandering()), Fragile(denoise, trial=False)),
            checkpoint=path,
            **options,
        )


@pytest.mark.parametrize("after", [1, 4, 6, 7, 11])
@pytest.mark.parametrize("stop_at", [None, 0.9])
def test_resuming_is_exact_to_the_bit(tmp_path, after, stop_at):
    options = {"samples": 4, "batch_size": 2, "record_every": 2, "stop_at": stop_at}
    whole = restore(prior=NamedAlike(denoise), **options)
    interrupted(tmp_path / "run" / "c.pt", 2 * min(after, whole.calls.forwards // 2 - 1), **options)
    assert (tmp_path / "run" / "c.pt").exists()
    rest = restore(prior=NamedAlike(denoise), checkpoint=tmp_path / "run" / "c.pt", resume=True, **options)
    assert torch.equal(whole.images, rest.images)
    assert whole.calls == rest.calls
    assert whole.record["stopped_at_step"] == rest.record["stopped_at_step"]
    assert all(i == j and torch.equal(a, b) for (i, a), (j, b) in zip(whole.frames, rest.frames, strict=True))
    assert (tmp_path / "run" / "c.pt").exists(), "kept until the result is saved"
    rest.save(tmp_path / "out")
    assert not (tmp_path / "run" / "c.pt").exists()


class NamedAlike(xhat.Denoiser):
    """What the record calls it is what the interrupted prior was called."""


NamedAlike.__name__ = "Fragile"


@pytest.mark.slow
@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_every_solver_resumes_to_the_bit(tmp_path, solver):
    parts = replace(xhat.build(solver, SOLVERS), steps=6, **({"draws": 2} if solver == "score_ilo" else {}))
    options = {"solver": parts, **({"noise": "noiseless"} if issubclass(parts.needs, NoiselessLinear) else {})}
    options |= {"operator": "blind_blur:size=3"} if issubclass(parts.needs, BlindGaussian) else {}
    options |= {"operator": "inpaint:keep=0.9"} if solver == "lmaps" else {}  # it needs one step for noise alone
    prior = prior_for(parts, NamedAlike(denoise))
    whole = restore(prior=prior, **options)
    interrupted(tmp_path / "c.pt", whole.calls.forwards // 2, **options)
    rest = restore(prior=prior, checkpoint=tmp_path / "c.pt", resume=True, **options)
    assert torch.equal(whole.images, rest.images)


@pytest.mark.parametrize(
    ("change", "culprit"),
    [({"y": Y + 1e-4}, "measurement"), ({"seed": 1}, "seeds"), ({"noise": "gaussian:sigma=0.2"}, "noise"),
     ({"solver": Wandering(steps=7)}, "solver"), ({"schedule": "edm:rho=3"}, "schedule")],
)  # fmt: skip
def test_resuming_another_problem_is_refused_and_the_checkpoint_kept(tmp_path, change, culprit):
    interrupted(tmp_path / "c.pt", 3)
    with pytest.raises(MismatchError, match=f"cannot resume another problem: .*{culprit}"):
        restore(**{"prior": NamedAlike(denoise), "checkpoint": tmp_path / "c.pt", "resume": True, **change})
    assert (tmp_path / "c.pt").exists()


@pytest.mark.parametrize(
    ("first", "then", "culprit"),
    [({}, {"samples": 2}, "seeds"), ({"samples": 2}, {"batch_size": 1}, "batch_size"),
     ({}, {"stop_at": 1.5}, "stop_at"), ({}, {"record_every": 1}, "record_every"),
     ({"operator": "inpaint:mask=mask.npy"}, "mask.npy", "operator_sha256"),
     ({}, "code", "code"), ({}, "torch", "torch")],
)  # fmt: skip
def test_resuming_checks_all_that_decides_the_result(tmp_path, monkeypatch, first, then, culprit):
    """The number of samples, options of the run, what a file holds whose name is the same, code, and torch."""
    from xhat.task import account

    monkeypatch.chdir(tmp_path)
    np.save("mask.npy", np.eye(*Y.shape[1:], dtype=np.float32))
    interrupted(tmp_path / "c.pt", 3, **first)
    if then == "mask.npy":
        np.save("mask.npy", np.eye(*Y.shape[1:], dtype=np.float32)[::-1])
    if then == "code":
        monkeypatch.setattr(account, "code_of", lambda *_: "0" * 16)
    if then == "torch":
        own = account.versions()
        monkeypatch.setattr(account, "versions", lambda: own | {"torch": "0.0"})
    more = {**first, **(then if isinstance(then, dict) else {})}
    with pytest.raises(MismatchError, match=f"cannot resume another problem: .*{culprit} was"):
        restore(prior=NamedAlike(denoise), checkpoint=tmp_path / "c.pt", resume=True, **more)
    assert (tmp_path / "c.pt").exists()


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(DataError, match="nothing to resume"):
        restore(checkpoint=tmp_path / "c.pt", resume=True)
    (tmp_path / "c.pt").write_bytes(b"xx")
    with pytest.raises(DataError, match="not a checkpoint"):
        restore(checkpoint=tmp_path / "c.pt", resume=True)


def test_a_diverged_run_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(Checkpoint, "every", 0.0)
    bad = lambda x, sigma: x * (float("nan") if sigma < 1 else 0.1)
    with pytest.raises(DivergedError, match="Wandering diverged"):
        restore(prior=bad, checkpoint=tmp_path / "out" / "c.pt")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"operator": None}, SpecError, "does not say which operator"),
        ({"noise": None}, SpecError, "does not say which noise"),
        ({"solver": "lmaps:steps=0"}, SpecError, "steps must be a whole number from 1"),
        ({"samples": 0}, SpecError, "at least 1"),
        ({"batch_size": 0}, SpecError, "at least 1"),
        ({"stop_at": -1.0}, SpecError, "stop_at must be a finite number above 0"),
        ({"stop_at": 1.0, "noise": "noiseless"}, SpecError, "this measurement is noiseless"),
        ({"device": "tpu9"}, SpecError, "device tpu9 is not available"),
        ({"reference": torch.zeros(1, 3, 3), "shape": (1, 12, 9)}, ShapeError, "the reference has shape"),
        ({"shape": (1, 12, 8)}, ShapeError, "the measurement has"),
        ({"reference": Y, "metrics": ["snr"]}, SpecError, "unknown metric"),
    ],
)
def test_mistakes_are_named(change, error, words):
    with pytest.raises(error, match=words):
        restore(**change)


def test_save_writes_everything_or_nothing(tmp_path, monkeypatch):
    r = restore(samples=2, reference=Y, record_every=3)
    r.save(tmp_path / "a" / "out")
    names = {p.name for p in (tmp_path / "a" / "out").iterdir()}
    pictures = {"restored", "mean", "std", "sample_000", "sample_001", "panel", "trajectory"}
    assert names == {f"{n}.png" for n in pictures} | {"record.json", "compare.html"}
    record = json.loads((tmp_path / "a" / "out" / "record.json").read_text(), parse_constant=pytest.fail)
    assert set(record["files"]) == names
    assert record["seeds"] == [0, 1]
    assert record["metrics"].keys() == {"psnr", "mean_psnr"}, "9 pixels are too few for SSIM"
    assert (xhat.load_image(tmp_path / "a" / "out" / "mean.png") - r.mean.clamp(-1, 1)).abs().max() <= 1.01 / 255

    restore().save(tmp_path / "a" / "out")  # one sample only: files of the earlier record go
    assert {p.name for p in (tmp_path / "a" / "out").iterdir()} == {
        "restored.png",
        "panel.png",
        "compare.html",
        "record.json",
    }

    monkeypatch.setattr("xhat.figures.panel.of", lambda *_: pytest.raises.save)  # which is not there
    with pytest.raises(AttributeError):
        r.save(tmp_path / "b")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_images_that_are_no_pictures_are_saved_as_arrays(tmp_path):
    r = restore(torch.zeros(7), operator="denoise")
    r.save(tmp_path / "out")
    assert np.load(tmp_path / "out" / "restored.npy").shape == (7,)
    assert xhat.load_image(tmp_path / "out" / "panel.png").shape[2] > 100


def test_noiseless_records_are_strict_json(tmp_path):
    r = restore(noise="noiseless")
    assert r.record["residual_ratio"] == [None]
    r.save(tmp_path / "out")
    json.loads((tmp_path / "out" / "record.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("shape", [(3, 40, 30), (1, 700, 900), (2, 50, 50)])
def test_panels_hold_tiles_of_any_size(shape):
    from xhat.operators.modality import by_shape

    rows = [
        [("a tile", by_shape(shape).show(torch.zeros(shape))), ("nothing\nhere", None)],
        [("b", torch.zeros(1, 5, 5))],
    ]
    sheet = panel(rows)
    assert np.asarray(sheet).max() == 255
    assert sheet.width > sheet.height / 3


def test_captions_are_wrapped_and_lose_no_letter_and_a_map_has_its_scale():
    from PIL import ImageFont

    from xhat.figures.panel import Bar, _lines

    fonts = ImageFont.load_default(15), ImageFont.load_default(13)
    text = "measurement\nsuper_resolution:factor=4 with gaussian:sigma=0.05 noise and more\n" + "x" * 90
    lines = _lines(text, 200, *fonts)
    assert all(fonts[not first].getlength(line) <= 200 for line, first in lines)
    assert "".join(line for line, _ in lines).replace(" ", "") == text.replace(" ", "").replace("\n", "")
    assert [first for _, first in lines] == [True] + [False] * (len(lines) - 1)
    plain = panel([[("a map", torch.zeros(3, 32, 32))]])
    scaled = panel([[("a map", torch.zeros(3, 32, 32), Bar("0", "0.12"))]])
    assert scaled.height > plain.height
    below = np.asarray(scaled)[plain.height - 18 :]  # under the map, which ends above the edge of 18 pixels
    assert len(np.unique(below.reshape(-1, 3), axis=0)) > 50  # the colours of the ramp


def test_measurements_that_are_no_pictures_get_a_tile():
    blank = torch.zeros(1, 1, 8, 8)
    for f, linear, shown in [
        (lambda x: x.flatten(2)[..., :30], True, "adjoint image"),
        (lambda x: torch.fft.fft2(torch.nn.functional.pad(x, (4, 4, 4, 4))).abs(), False, "log magnitude"),
        (lambda x: x.flatten(1).abs(), False, "64 numbers"),
    ]:
        A = xhat.operator(f, (1, 8, 8), linear)
        text, tile = measurement_tile(xhat.likelihood(A, xhat.Gaussian(), A(blank)))
        assert shown in text
        assert (tile is None) == ("numbers" in text)


def test_a_measurement_knows_the_objects_that_made_it(tmp_path):
    """As it knows the specs: the numbers are those of the operator and the noise given by hand."""
    x = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    A = xhat.operator(lambda x: x[..., ::2], shape=(1, 8, 8), linear=True)
    y = xhat.simulate(x, A, 0.05, seed=1)
    how = {"prior": "powerlaw", "solver": "lmaps:steps=3", "progress": False}
    assert torch.equal(xhat.restore(y, **how).images, xhat.restore(y.y, A, 0.05, **how).images)
    other = xhat.operator(lambda x: x[..., 1::2], shape=(1, 8, 8), linear=True)
    assert xhat.restore(y, other, **how).problem.A is not A, "what is given counts"
    y.save(tmp_path / "y.npz")
    with pytest.raises(SpecError, match="does not say which operator"):
        xhat.restore(tmp_path / "y.npz", **how)  # a file holds no object
