"""`xhat train denoiser`: from images to a folder that diffusers and `--prior` load."""

from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from ..metrics.pixels import decibels
from ..priors import DiffusersPrior
from ..priors.calibrate import measure, spaced
from ..priors.precondition import Karras
from ..rng import Rng
from ..task.checkpoint import digest
from . import edm
from .dataset import load
from .encoded import encoded
from .loop import Objective
from .network import block_of, build_network, continue_from, on_blocks, write_denoiser, write_unet
from .recipe import Recipe, with_sigma_data
from .sample import draw
from .session import Options, Session, accelerator_of, check_out, identity

FORMULA = """A `diffusers.UNet2DModel` (folder `unet`) with an `EDMEulerScheduler` config (folder `scheduler`), trained
by `xhat train denoiser`; `xhat restore --prior FOLDER` takes it.

    D(x, s) = c_skip x + c_out net(c_in x, ln(s) / 4),   x = x0 + s n in [-1, 1] units
    c_skip = d^2 / (s^2 + d^2),   c_out = s d / sqrt(s^2 + d^2),   c_in = 1 / sqrt(s^2 + d^2),   d = {sigma_data}

Held-out images, denoised at fixed noise levels s, PSNR in dB of the mean squared error:"""


@dataclass(frozen=True)
class EDMLoss(Objective):
    """`edm.loss` at random noise levels."""

    recipe: Recipe

    def __call__(self, net: nn.Module, x0: Tensor, rng: Rng, done: float) -> Tensor:
        d = self.recipe.diffusion
        sigma = edm.draw_sigma(rng, len(x0), d.p_mean, d.p_std).to(x0.device)
        network = on_blocks(net, block_of(self.recipe))
        return edm.loss(network, x0, sigma, rng.randn_like(x0), Karras("epsilon", d.sigma_data))


@dataclass
class DenoiserSession(Session):
    """A denoiser in training; `start` and `name` say for the model card which weights and which data it started
    from.
    """

    start: str = "new weights"
    name: str = ""  # the data set's name, for the model card
    prior: DiffusersPrior = field(init=False)

    def write(self) -> None:
        write_denoiser(self.options.out, self.net, self.recipe, self.data.shape, self.options.half)
        self.prior = DiffusersPrior(self.options.out).to(self.net.device)

    def psnr(self) -> dict[float, float]:
        w = self.recipe.watching
        found = measure(self.prior, self.data.validation(w.validation).to(self.net.device), w.sigmas)
        return {s: decibels(e) for s, e in zip(found.sigma, found.mse, strict=True)}

    def draw(self, n: int) -> Tensor:
        return self.data.pictures(draw(self.prior, self.data.shape, n, self.recipe.watching.sampling_steps)).cpu()

    def card(self, title: str) -> None:
        self.write()
        held = self.data.validation(self.recipe.watching.validation).to(self.net.device)
        measure(self.prior, held, spaced()).write(self.options.out / "calibration.json")
        super().card(title)

    def facts(self) -> dict[str, str]:
        loss = "EDM (Karras et al., 2022, arXiv:2206.00364), power-function average of the weights"
        return {"data": f"`{self.name}`", "start": self.start, "loss": loss}

    def formula(self) -> str:
        return FORMULA.format(sigma_data=self.recipe.diffusion.sigma_data)


def train_denoiser(
    data: str | Path,
    recipe: Recipe,
    options: Options,
    init: str | Path | None = None,
    autoencoder: str | Path | None = None,
) -> bool:
    """Trains on the images at `data`, from scratch or from the folder `init`. Returns False if it was interrupted.

    If `autoencoder` names a folder, it trains on the latents of the images, and the result is a latent prior. Raises
    DataError, SpecError or MismatchError if images, recipe and folders do not fit together.
    """
    accelerator = accelerator_of(options)
    check_out(options)
    dataset, more = load(data, recipe.data), dict[str, str]()
    if autoencoder is not None:
        dataset = encoded(dataset, autoencoder)
        more["autoencoder"] = digest(dataset.codec.state_dict().values())
        write_unet(options.out / "vae", dataset.codec.net, options.half)
    if init is not None:
        net, recipe = continue_from(init, recipe, dataset.shape)
    else:
        recipe = with_sigma_data(recipe, dataset.std())
        net = build_network(recipe, dataset.shape)
    start = "new weights" if init is None else f"`{Path(init).name}`"
    start += "" if autoencoder is None else f"; for the latents of `{Path(autoencoder).name}`, in `vae`"
    session = DenoiserSession(net, recipe, dataset, options, start, Path(data).name)
    return session.train(EDMLoss(recipe), accelerator, identity(recipe, dataset, **more), "a diffusion prior")
