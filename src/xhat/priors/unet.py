"""Pixel-space diffusion models from folders in the layout of the diffusers library."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from ..errors import MismatchError, SpecError
from ..numerics.precision import dtype_of
from ..ranges import Range
from ..schedule import SCHEDULES
from ..spec import build, without_code
from . import diffusers_folder as folder
from .base import class_of
from .pixel import PixelPrior, calibration_of, in_blocks
from .precondition import DIRECT, Karras, Precondition, Score, Tabulated, Velocity


class DiffusersPrior(PixelPrior):
    """A pixel-space diffusion model from a folder in the layout of the diffusers library.

    In the folder `path`, `unet/` holds a UNet2DModel and `scheduler/` the config of an EDM, beta-table, VE-SDE or flow
    scheduler. `label` is the class, for class-conditional networks. Where a folder with averaged weights (`unet_ema`)
    lies beside `unet/`, the averaged ones are taken; `weights` names the other. The network runs in `dtype` (auto,
    float32, bfloat16, float16), everything around it in the dtype of the image.
    `compile` passes the network through torch.compile: the first call is slow, later ones are faster. Unless `trial` is
    false, the network is tried when it is loaded: see `trial.py`. Two files are optional: `xhat.json` (`schedule`: a
    spec string; `pixel_unshuffle`: 2 if the network works on 2x2 blocks as channels; `shape`: [c, h, w] if it accepts
    no other), and `calibration.json` (see `calibrate.py`). The output is not clipped to [−1, 1], even if the
    scheduler's config has `clip_sample`: E[x₀|x_t] does not need it. Raises DataError if files are missing or damaged,
    SpecError or MismatchError for networks of another kind.
    """

    source = "any UNet2DModel of Hugging Face diffusers, github.com/huggingface/diffusers"

    takes: ClassVar[tuple[type[Precondition], ...]] = (Karras, Tabulated, Score, Velocity)

    label: Tensor | None

    def __init__(
        self,
        path: str | Path,
        label: Annotated[int, Range(0, 1_000_000)] | None = None,
        weights: str | None = None,
        dtype: str = "auto",
        compile: bool = False,
        trial: bool = True,
    ) -> None:
        super().__init__()
        self.trial = trial
        root = folder.existing(path)
        extra = folder.read_json(root / "xhat.json") if (root / "xhat.json").exists() else {}
        unet = folder.unet_folder(root, weights)
        time = folder.read_json(unet / "config.json").get("time_embedding_type")
        self.whole = time == "learned"  # a table of whole time steps, not a function of time
        self.precondition, self.schedule = folder.read_scheduler(root, self.whole)
        if not isinstance(self.precondition, self.takes):
            name = type(self.precondition).__name__
            raise SpecError(
                f"{root} holds a network of the kind {name}; the folder itself, without diffusers:, will do"
            )
        own = dtype_of(dtype, safe=self.precondition.prediction not in DIRECT)
        self.net = folder.load_unet(root, own, weights=weights)
        config: Any = self.net.config
        chosen = class_of(label, folder.classes(config, root), root)
        self.register_buffer("label", None if chosen is None else torch.tensor([chosen]), persistent=False)
        self.say(*folder.weights_note(root, unet))
        if "schedule" in extra:
            self.schedule = build(without_code(extra["schedule"], root / "xhat.json"), SCHEDULES)
        self.block = int(extra.get("pixel_unshuffle", 1))
        self.channels = config.in_channels // self.block**2
        self.size = tuple(extra["shape"][1:]) if "shape" in extra else None
        if config.out_channels not in (config.in_channels, 2 * config.in_channels):
            raise MismatchError(f"{root}: {config.in_channels} channels in and {config.out_channels} out")
        self.multiple = self.block * 2 ** (len(config.block_out_channels) - 1)
        self.calibration = calibration_of(root)
        self.eval()
        if compile:
            self.net.compile()

    def specimen(self, shape: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
        own, usual = self.net.config.sample_size, super().specimen(shape)
        if usual is None or self.size or not isinstance(own, int):
            return usual
        return (usual[0], *(min(n, own * self.block) for n in usual[1:]))

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
