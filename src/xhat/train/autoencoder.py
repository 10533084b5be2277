"""`xhat train autoencoder`: a small AutoencoderKL, on whose latents `xhat train denoiser --autoencoder DIR` trains.

    min  E mean |r| + l2 mean r² + kl mean ½(μ² + σ² − 1 − ln σ²),   r = D(μ + σ ε) − x,   (μ, ln σ²) = E(x)

This is the autoencoder of latent diffusion (Rombach et al., 2022, section 3.1 and appendix G, arXiv:2112.10752) without
its perceptual and adversarial terms, which need networks of their own. Means are over the numbers of one image or
latent.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..errors import DivergedError, SpecError
from ..metrics.pixels import decibels
from ..numerics.linalg import sq
from ..priors.autoencoders import DiffusersAutoencoder
from ..rng import Rng
from .dataset import load
from .loop import Objective
from .network import check_sides, write_unet
from .recipe import Codec, Recipe
from .session import Options, Session, accelerator_of, check_out, identity

FORMULA = """A `diffusers.AutoencoderKL`, trained by `xhat train autoencoder`; `xhat train denoiser --autoencoder DIR`
trains a prior on its latents, {channels} channels at 1/{factor} of the resolution. The table has the PSNR of held-out
images and their reconstructions."""


class Whole(nn.Module):
    """Encoder and decoder as one network: (x, noise) ↦ D(μ + σ noise), μ and ln σ²."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    @property
    def factor(self) -> int:
        """How many pixels of the image a latent pixel spans in each direction."""
        return int(2 ** (len(self.net.config.block_out_channels) - 1))

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The reconstruction (b, c, h, w) of `x`, and μ and ln σ² of its latent; `noise` and these two are (b,
        *latent).
        """
        code = self.net.encode(x.contiguous(memory_format=torch.channels_last)).latent_dist
        out: Tensor = self.net.decode(code.mean + code.std * noise).sample
        return out, code.mean, code.logvar


@dataclass(frozen=True)
class AutoencoderLoss(Objective):
    """The objective above for latents of shape `latent`; gives (b,)."""

    weights: Codec
    latent: tuple[int, ...]

    def __call__(self, net: nn.Module, x0: Tensor, rng: Rng, done: float) -> Tensor:
        out, mean, logvar = net(x0, rng.randn_like(torch.empty(len(x0), *self.latent, device=x0.device)))
        r = out.float() - x0
        divergence: Tensor = (mean**2 + logvar.exp() - 1 - logvar).flatten(1).mean(1) / 2
        error: Tensor = r.abs().flatten(1).mean(1) + self.weights.l2 * (r**2).flatten(1).mean(1)
        return error + self.weights.kl * divergence


@dataclass
class AutoencoderSession(Session):
    """An autoencoder in training, for images from the data set called `name`."""

    pictures: ClassVar[str] = "Pairs of a held-out image, left, and its reconstruction"

    name: str = ""  # the data set's name, for the model card

    @torch.no_grad()
    def write(self) -> None:
        """Writes the folder, with the scale and shift that give the latents of held-out images mean 0 and variance
        1.
        """
        z = self.net.net.encode(self.held(self.recipe.watching.validation)).latent_dist.mean
        if not bool((spread := z.std()) > 0):
            raise DivergedError(f"the latents of held-out images have a standard deviation of {float(spread)}")
        scale, shift = float(f"{1 / float(spread):.4g}"), float(f"{float(z.mean()):.4g}")
        self.net.net.register_to_config(scaling_factor=scale, shift_factor=shift)
        write_unet(self.options.out, self.net.net, self.options.half)

    def held(self, n: int) -> Tensor:
        """Up to `n` held-out images, (n, c, h, w), on the device of the network."""
        return self.data.validation(n).to(self.net.device)

    def psnr(self) -> dict[float, float]:
        held = self.held(self.recipe.watching.validation)
        return {0.0: decibels(float((sq(self.again(held) - held) / held[0].numel()).mean()))}

    @torch.no_grad()
    def again(self, x: Tensor) -> Tensor:
        """D(E(x)) by the autoencoder in the folder."""
        codec = DiffusersAutoencoder(self.options.out).to(self.net.device)
        return codec.decode(codec.encode(x))

    def draw(self, n: int) -> Tensor:
        held = self.held(max(1, n // 2))
        return torch.stack([held, self.again(held)], 1).flatten(0, 1).cpu()

    def facts(self) -> dict[str, str]:
        return {"data": f"`{self.name}`", "loss": "absolute and squared error and divergence from N(0, I)"}

    def formula(self) -> str:
        return FORMULA.format(channels=self.net.net.config.latent_channels, factor=self.net.factor)


def build_autoencoder(recipe: Recipe, shape: tuple[int, int, int]) -> Whole:
    """A new AutoencoderKL for images of `shape` (c, h, w); its weights are drawn with the recipe's seed.

    Raises SpecError if the recipe's options or the sides of the images do not fit.
    """
    import diffusers

    make: Any = diffusers.AutoencoderKL
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in recipe.network.items()}
    check_sides(shape, 2 ** (len(options.get("block_out_channels", (0,))) - 1))
    torch.manual_seed(recipe.optimiser.seed)
    try:
        net: Any = make(in_channels=shape[0], out_channels=shape[0], sample_size=shape[1], **options)
    except (ValueError, TypeError, ZeroDivisionError) as e:
        raise SpecError(f"network: {e}") from e
    return Whole(net.to(memory_format=torch.channels_last))


def train_autoencoder(data: str | Path, recipe: Recipe, options: Options) -> bool:
    """Trains on the images at `data` from scratch. Returns False if it was interrupted.

    Raises SpecError if the recipe is not for an autoencoder or a run in the folder would be overwritten.
    """
    if recipe.autoencoder is None:
        raise SpecError("this recipe is none for an autoencoder: it has no table autoencoder")
    accelerator = accelerator_of(options)
    check_out(options)
    dataset = load(data, recipe.data)
    whole = build_autoencoder(recipe, dataset.shape)
    latent = (whole.net.config.latent_channels, *(n // whole.factor for n in dataset.shape[1:]))
    session = AutoencoderSession(whole, recipe, dataset, options, Path(data).name)
    objective = AutoencoderLoss(recipe.autoencoder, latent)
    return session.train(objective, accelerator, identity(recipe, dataset), "an autoencoder")
