"""The network family that diffusers loads: a `UNet2DModel`, which priors of latents need."""

from pathlib import Path
from typing import Any

from ..priors import DiffusersPrior
from .edm import Network
from .family import Family, Shape
from .network import (
    block_of,
    build_network,
    continue_from,
    on_blocks,
    retimed,
    write_consistency,
    write_denoiser,
)
from .recipe import Diffusion, Recipe

FORMULA = """A `diffusers.UNet2DModel` (folder `unet`) with an `EDMEulerScheduler` config (folder `scheduler`), trained
by `xhat train denoiser`; `xhat restore --prior FOLDER` takes it.

    D(x, s) = c_skip x + c_out net(c_in x, ln(s) / 4),   x = x0 + s n in [-1, 1] units
    c_skip = d^2 / (s^2 + d^2),   c_out = s d / sqrt(s^2 + d^2),   c_in = 1 / sqrt(s^2 + d^2),   d = {sigma_data}

Held-out images, denoised at fixed noise levels s, PSNR in dB of the mean squared error:"""


JUMPS = """A `diffusers.ConsistencyModelPipeline`: `unet` and, in `scheduler`, CMStochasticIterativeScheduler, trained
from `{teacher}` by `xhat train consistency`; `xhat restore --prior FOLDER` takes it."""


class Unet(Family):
    """`diffusers.UNet2DModel` in the layout of diffusers."""

    formula, library, mixed = FORMULA, "diffusers", False
    jumps, pace = JUMPS, 250.0

    def build(self, recipe: Recipe, shape: Shape) -> Any:
        return build_network(recipe, shape)

    def start(self, folder: Path, recipe: Recipe, shape: Shape) -> tuple[Any, Recipe]:
        return continue_from(folder, recipe, shape)

    def caller(self, net: Any, recipe: Recipe) -> Network:
        return on_blocks(net, block_of(recipe))

    def write(self, root: Path, net: Any, recipe: Recipe, shape: Shape, half: bool) -> None:
        write_denoiser(root, net, recipe, shape, half)

    def retimed(self, net: Any, levels: Diffusion) -> Any:
        return retimed(net, levels)

    def write_consistency(self, root: Path, net: Any, recipe: Recipe, shape: Shape, denoiser: str, half: bool) -> None:
        write_consistency(root, net, recipe, denoiser, half)

    def load(self, root: Path, dtype: str = "auto") -> DiffusersPrior:
        return DiffusersPrior(root, dtype=dtype)
