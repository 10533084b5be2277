"""Every network is tried when it is loaded: one that is misread is refused, with what would be right."""

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import xhat
from xhat.errors import MismatchError
from xhat.operators.decoder import Identity
from xhat.priors import Autoencoded, Denoiser, DiffusersPrior, PowerLaw, Prior, build_prior
from xhat.priors.precondition import Tabulated
from xhat.priors.shipped import SHIPPED
from xhat.priors.trial import LEVELS, LIMIT, smooth, tried, worst
from xhat.schedule import Discrete, Level

FACES = build_prior(str(Path(xhat.__file__).parent / "priors" / "faces" / "denoiser"), "cpu")
PHOTO = build_prior("photo", "cpu")
LINEAR, COSINE = Discrete(), Discrete("squaredcos_cap_v2")
LONG = Discrete("squaredcos_cap_v2", steps=4000)


def denoised(x: Tensor, sigma: float) -> Tensor:
    return FACES(x, Level(0.5, 1.0, sigma))


def of_photographs(x: Tensor, sigma: float) -> Tensor:
    return PHOTO(x, Level(0.5, 1.0, sigma))


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_our_own_networks_pass_with_a_margin(name):
    """The limit is half as much again as the worst of them; the trial takes less than a restoration's first step."""
    prior = build_prior(name, "cpu")
    parts = [p for p in prior.modules() if isinstance(p, Prior) and p.specimen()]
    assert parts
    assert all(p.tried for p in parts)
    assert max(worst(p.judged, smooth(p.specimen()), LEVELS) for p in parts) < LIMIT / 1.5


WRONG = {
    "it returns the noise": lambda x, s: (x - denoised(x, s)) / s,
    "it returns the residual": lambda x, s: x - denoised(x, s),
    "it returns the score": lambda x, s: (denoised(x, s) - x) / s**2,
    r"its images are in \[0, 1\]": lambda x, s: (denoised(2 * x - 1, 2 * s) + 1) / 2,
    r"its images are in \[0, 255\]": lambda x, s: (denoised(x / 127.5 - 1, s / 127.5) + 1) * 127.5,
    r"its images are in \[0, 1\].* and it returns the noise": lambda x, s: (
        (x - (denoised(2 * x - 1, 2 * s) + 1) / 2) / s
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("says", WRONG)
def test_a_function_that_is_misread_is_refused_with_what_it_is(says):
    run = {"operator": "denoise", "noise": "gaussian:sigma=0.1", "solver": "lmaps:steps=2", "device": "cpu"}
    with pytest.raises(MismatchError, match=f"it denoises if {says} .*trial=false"):
        xhat.restore(torch.zeros(3, 64, 64), prior=WRONG[says], **run)
    xhat.restore(torch.zeros(3, 64, 64), prior=Denoiser(WRONG[says], trial=False), **run)


def test_a_function_may_model_anything():
    """White noise, the identity: no denoisers of pictures, and not misread either."""
    for function in (lambda x, s: x / (1 + s**2), lambda x, s: x, lambda x, s: 0 * x, denoised):
        tried(Denoiser(function), (3, 64, 64))


class Told(Prior):
    """A network that gives ε of the photo prior and was trained on one table, read by another."""

    def __init__(self, trained: Discrete, read: Discrete, prediction: str = "epsilon") -> None:
        super().__init__()
        self.trained, self.schedule = trained, read
        self.precondition = Tabulated(prediction, read)

    def specimen(self, shape=None):
        return (3, 64, 64)

    def forward(self, x: Tensor, t: Level) -> Tensor:
        c = self.precondition(t.ratio)
        at = self.trained(min(1.0, (c.noise + 1) / (len(self.trained.ratios) - 1)))
        u = c.into * x / at.alpha
        return c.skip * x + c.out * (u - of_photographs(u, at.ratio)) / at.ratio


@pytest.mark.parametrize("table", [LINEAR, COSINE])
def test_the_right_table_passes(table):
    tried(Told(table, table))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prior", "says"),
    [
        (Told(LINEAR, LINEAR, "v_prediction"), "it denoises if prediction=epsilon"),
        (Told(LINEAR, LINEAR, "sample"), "it denoises if prediction=epsilon"),
        (Told(LINEAR, COSINE), "it denoises if its noise schedule is linear"),
        (Told(COSINE, LINEAR), "it denoises if its noise schedule is squaredcos_cap_v2"),
        (Told(LONG, COSINE), "does not denoise as it should"),
    ],
)
def test_a_wrong_prediction_or_schedule_is_named(prior, says):
    with pytest.raises(MismatchError, match=says):
        tried(prior)


class Program(nn.Module):
    """A blind denoiser for [0, 1]: a mean over 5 x 5 pixels, as a network of one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 5, padding=2, groups=1, bias=False, padding_mode="replicate")
        self.conv.weight.data = torch.eye(3)[:, :, None, None].expand(3, 3, 5, 5) / 25

    def forward(self, x: Tensor) -> Tensor:
        return x - self.conv(x)


def test_a_file_is_tried_and_the_options_are_named(tmp_path):
    file = tmp_path / "d.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.jit, of a kind that hangs on torch's version
        torch.jit.script(Program()).save(str(file))
    assert build_prior(f"{file}:trust=true,output=residual,sigma_max=1", "cpu").tried
    with pytest.raises(MismatchError, match=rf"FileDenoiser {file} .*it returns the residual \(output=residual\)"):
        build_prior(f"{file}:trust=true,sigma_max=1", "cpu")
    assert not build_prior(f"{file}:trust=true,sigma_max=1,trial=false", "cpu").tried


def test_a_folder_with_another_prediction_is_refused(tmp_path, diffusers_denoiser):
    """The networks of EDM know two predictions, which differ by a sign."""
    shutil.copytree(diffusers_denoiser, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prediction_type": "v_prediction"}))
    with pytest.raises(MismatchError, match=f"DiffusersPrior {tmp_path} does not .*it denoises if prediction=epsilon"):
        build_prior(str(tmp_path), "cpu")
    assert build_prior(f"{tmp_path}:trial=false", "cpu").trial is False


def test_what_is_not_tried(diffusers_denoiser):
    """Closed forms, and networks over latents."""
    for prior in (PowerLaw(), build_prior("blackhole", "cpu")):
        tried(prior)
        assert not prior.tried
    network = DiffusersPrior(diffusers_denoiser)
    Autoencoded(network, Identity())
    tried(network)
    assert not network.tried


def test_a_prior_is_tried_once_and_counts_nothing(monkeypatch, diffusers_denoiser):
    from xhat.numerics.calls import counting

    prior = DiffusersPrior(diffusers_denoiser)
    calls = []
    judged = prior.judged
    monkeypatch.setattr(prior, "judged", lambda u, rho: calls.append(rho) or judged(u, rho))
    state = torch.get_rng_state()
    with counting() as counted:
        build_prior(prior, "cpu")
        build_prior(prior, "cpu")
    assert calls == list(LEVELS)
    assert counted.forwards == 0
    assert torch.equal(torch.get_rng_state(), state)
