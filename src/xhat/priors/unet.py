"""Image priors that are a convolutional network: any image size, colour or grey, in the network's own dtype."""

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from ..errors import MismatchError, SpecError
from ..schedule import SCHEDULES, Level
from ..spec import build, without_code
from ..types import Image
from . import diffusers_folder as folder
from .base import Prior, class_of
from .calibrate import Calibration
from .precondition import Coefficients, Karras, Precondition, Score, Tabulated, Velocity

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def dtype_of(name: str) -> torch.dtype:
    """The dtype called `name`, in which a network runs. Raises SpecError for an unknown name."""
    if name not in DTYPES:
        raise SpecError(f"unknown dtype {name!r}; choose from {', '.join(DTYPES)}")
    return DTYPES[name]


class DiffusersPrior(Prior):
    """A pixel-space diffusion model from a folder in the layout of the diffusers library.

    In the folder `path`, `unet/` holds a UNet2DModel and `scheduler/` the config of an EDM, beta-table, VE-SDE or flow
    scheduler. `label` is the class, for class-conditional networks. Where a folder with averaged weights (`unet_ema`)
    lies beside `unet/`, the averaged ones are taken; `weights` names the other. The network runs in `dtype` (float32,
    bfloat16, float16), everything around it in the dtype of the image.
    `compile` passes the network through torch.compile: the first call is slow, later ones are faster. Two files are
    optional: `xhat.json` (`schedule`: a spec string; `pixel_unshuffle`: 2 if the network works on 2x2 blocks as
    channels; `shape`: [c, h, w] if it accepts no other), and `calibration.json` (see `calibrate.py`). The output is not
    clipped to [−1, 1], even if the scheduler's config has `clip_sample`: E[x₀|x_t] does not need it. Raises DataError
    if files are missing or damaged, SpecError or MismatchError for networks of another kind.
    """

    source = "any UNet2DModel of Hugging Face diffusers, github.com/huggingface/diffusers"

    takes: ClassVar[tuple[type[Precondition], ...]] = (Karras, Tabulated, Score, Velocity)

    label: Tensor | None

    def __init__(
        self,
        path: str | Path,
        label: int | None = None,
        weights: str | None = None,
        dtype: str = "float32",
        compile: bool = False,
    ) -> None:
        super().__init__()
        root = folder.existing(path)
        extra = folder.read_json(root / "xhat.json") if (root / "xhat.json").exists() else {}
        self.net = folder.load_unet(root, dtype_of(dtype), weights=weights)
        config: Any = self.net.config
        chosen = class_of(label, folder.classes(config, root), root)
        self.register_buffer("label", None if chosen is None else torch.tensor([chosen]), persistent=False)
        self.say(*folder.weights_note(root, folder.unet_folder(root, weights)))
        self.whole = config.time_embedding_type == "learned"  # a table of whole time steps, not a function of time
        self.precondition, self.schedule = folder.read_scheduler(root, self.whole)
        if not isinstance(self.precondition, self.takes):
            name = type(self.precondition).__name__
            raise SpecError(
                f"{root} holds a network of the kind {name}; the folder itself, without diffusers:, will do"
            )
        if "schedule" in extra:
            self.schedule = build(without_code(extra["schedule"], root / "xhat.json"), SCHEDULES)
        self.block = int(extra.get("pixel_unshuffle", 1))
        self.channels = config.in_channels // self.block**2
        self.size = tuple(extra["shape"][1:]) if "shape" in extra else None
        if config.out_channels not in (config.in_channels, 2 * config.in_channels):
            raise MismatchError(f"{root}: {config.in_channels} channels in and {config.out_channels} out")
        self.multiple = self.block * 2 ** (len(config.block_out_channels) - 1)
        table = root / "calibration.json"
        self.calibration = Calibration.read(table) if table.exists() else None
        self.eval()
        if compile:
            self.net.compile()

    def check(self, shape: tuple[int, ...]) -> None:
        takes = (self.channels, 1) if self.channels == 3 else (self.channels,)
        if len(shape) != 3 or shape[0] not in takes or self.size not in (None, shape[1:]):
            h, w = self.size or ("height", "width")
            sizes = " or ".join(f"({c}, {h}, {w})" for c in takes)
            raise MismatchError(f"this prior knows images of shape {sizes}, the problem has {tuple(shape)}")

    def mse(self, t: Level) -> float | None:
        """The error as measured on photographs of `channels` channels, interpolated; None without a
        `calibration.json`.
        """
        return self.calibration(t.ratio) if self.calibration else None

    def forward(self, x: Image, t: Level) -> Image:
        self.check(tuple(x.shape[1:]))
        u = x / t.alpha
        if x.shape[1] == self.channels:
            return self.denoise(u, t.ratio)
        # White RGB noise of std √3 ρ is a common grey part of std ρ plus chroma. With the chroma added, a grey image
        # with noise looks like those the network was trained on; without it, the network takes grey noise for texture.
        rho = math.sqrt(3) * t.ratio
        return self.denoise(u + rho * chroma(*u.shape[-2:]).to(u), rho).mean(1, keepdim=True)

    def denoise(self, u: Tensor, ratio: float) -> Tensor:
        """x̂₀ from u = x₀ + ρ ε with ρ = `ratio`, both (b, channels, h, w)."""
        return estimate(self.network, self.precondition(ratio), u, self.multiple)

    def network(self, x: Tensor, time: float) -> Tensor:
        """The network alone, with `x` (b, channels, h, w) converted to its dtype and pixel arrangement and back."""
        when = torch.full((len(x),), time, dtype=torch.long if self.whole else torch.float32, device=x.device)
        own = next(self.net.parameters()).dtype
        return in_blocks(self.run, x, when, self.block, own)

    def run(self, z: Tensor, when: Tensor) -> Tensor:
        """The output of the UNet2DModel itself for `z` at the times `when` (b,)."""
        label = None if self.label is None else self.label.expand(len(z))
        out: Tensor = self.net(z, when, label, return_dict=False)[0]
        return out


def in_blocks(
    run: Callable[[Tensor, Tensor], Tensor], x: Tensor, when: Tensor, block: int, dtype: torch.dtype
) -> Tensor:
    """The output of a network for `x` (b, c, h, w) at times `when` (b,).

    `run` is called in `dtype`, on `block` × `block` pixels rearranged as channels.
    """
    z = pixel_unshuffle(x, block).to(dtype, memory_format=torch.channels_last)
    z = run(z, when)[:, : z.shape[1]]  # a learned variance comes second
    return pixel_shuffle(z.to(x.dtype), block)


def estimate(network: Callable[[Tensor, float], Tensor], c: Coefficients, u: Tensor, multiple: int) -> Tensor:
    """x̂₀ from u = x₀ + ρ ε, both (b, channels, h, w), with the coefficients `c` of ρ.

    `network(x, time)` is called on images whose sides are padded to multiples of `multiple`.
    """
    h, w = u.shape[-2:]
    u = pad(u, multiple)
    raw = network(c.into * u + c.shift, c.noise)
    return (c.skip * u + c.out * raw)[..., :h, :w]


@lru_cache(maxsize=4)
def chroma(h: int, w: int) -> Tensor:
    """White RGB noise of unit standard deviation minus its grey part, (1, 3, h, w).

    It is always the same noise, so that a denoiser remains a function of its input.
    """
    noise = torch.randn(1, 3, h, w, generator=torch.Generator().manual_seed(0))
    return noise - noise.mean(1, keepdim=True)


def pad(x: Tensor, multiple: int) -> Tensor:
    """`x` mirrored at the bottom and right edges until both sides are multiples of `multiple`; works for images of any
    size.
    """
    for dim in (-2, -1):
        if extra := -x.shape[dim] % multiple:
            x = x.index_select(dim, mirror(x.shape[dim], x.shape[dim] + extra).to(x.device))
    return x


def mirror(n: int, total: int) -> Tensor:
    """`total` indices that bounce between the ends of n pixels: 0, 1, …, n − 1, n − 2, …, 1, 0, 1, …"""
    period = max(1, 2 * (n - 1))
    i = torch.arange(total) % period
    return torch.minimum(i, period - i)
