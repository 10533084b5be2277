"""Networks that a user holds in memory: a pipeline or a UNet of diffusers, a network in time steps."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import MismatchError, SpecError
from ..schedule import Schedule
from .diffusers_folder import AUTOENCODERS, CONSISTENCY, convention
from .pixel import PixelPrior, in_blocks
from .precondition import Precondition

LINEAR = {"_class_name": "DDPMScheduler"}  # the β table of Ho et al. (2020), which diffusers has by default


class GivenNetwork(PixelPrior):
    """A network net(x, time) of images with noise (b, c, h, w) and times (b,), with the convention of its output.

    It stays in its own dtype, and in the mode of evaluation. `channels` are taken from its first convolution if they
    are not given. Whole times are int64, others float32.
    """

    def __init__(
        self,
        net: Callable[[Tensor, Tensor], object],
        precondition: Precondition,
        schedule: Schedule,
        channels: int | None = None,
        multiple: int = 1,
        side: int | None = None,
        trial: bool = True,
    ) -> None:
        super().__init__()
        self.net, self.precondition, self.schedule = net, precondition, schedule
        self.multiple, self.side, self.trial = multiple, side, trial
        self.channels = channels or first_channels(net)
        self.eval()

    def specimen(self, shape: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
        usual = super().specimen(shape)
        return usual if usual is None or self.side is None else (usual[0], *(min(n, self.side) for n in usual[1:]))

    def network(self, x: Tensor, time: float) -> Tensor:
        whole = getattr(self.precondition, "whole", False)
        when = torch.full((len(x),), time, dtype=torch.long if whole else torch.float32, device=x.device)
        weights = self.net.parameters() if isinstance(self.net, nn.Module) else iter(())
        own = next((p.dtype for p in weights if p.is_floating_point()), x.dtype)
        return in_blocks(self.run, x, when, 1, own)

    def run(self, z: Tensor, when: Tensor) -> Tensor:
        """The output of the network itself for `z` at the times `when` (b,)."""
        out: Any = self.net(z, when)
        out = getattr(out, "sample", out)
        out = out[0] if isinstance(out, tuple) else out
        if not isinstance(out, Tensor) or out.shape[:1] + out.shape[2:] != z.shape[:1] + z.shape[2:]:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise MismatchError(f"the network returns {got} for images of shape {tuple(z.shape)}")
        return out


def first_channels(net: object) -> int:
    """How many channels the first convolution of a network takes. Raises SpecError if that cannot be seen."""
    weights = net.parameters() if isinstance(net, nn.Module) else iter(())
    first = next((p for p in weights if p.ndim == 4), None)
    if first is None:
        raise SpecError("the network does not show how many channels its images have; give channels=3 (or 1)")
    return int(first.shape[1])


def in_memory(given: object) -> GivenNetwork | None:
    """The prior that a pipeline or a UNet2DModel of diffusers in memory is; None for anything else.

    Raises SpecError for pipelines of other kinds, which are to be given as a folder.
    """
    unet, scheduler = getattr(given, "unet", None), getattr(given, "scheduler", None)
    if unet is not None and scheduler is not None:
        others = [name for name in AUTOENCODERS if getattr(given, name, None) is not None]
        if others or type(unet).__name__ != "UNet2DModel" or type(scheduler).__name__ in CONSISTENCY:
            raise SpecError(_folder(type(given).__name__))
        return _unet(unet, {**scheduler.config, "_class_name": type(scheduler).__name__})
    if type(given).__name__ != "UNet2DModel" or not hasattr(given, "config"):
        return None
    made = _unet(given, LINEAR)
    made.say(
        "a UNet2DModel alone does not say its noise levels: took the linear table of DDPM's 1000 steps and epsilon; "
        "prior=DDPMPipeline(unet, scheduler) says it"
    )
    return made


def _unet(net: Any, scheduler: Mapping[str, Any]) -> GivenNetwork:
    config = net.config
    if config.num_class_embeds or config.class_embed_type:
        raise SpecError(_folder("network with classes", ":label=1"))
    if config.out_channels not in (config.in_channels, 2 * config.in_channels):
        raise MismatchError(f"the UNet2DModel takes {config.in_channels} channels and returns {config.out_channels}")
    precondition, schedule = convention(scheduler, config.time_embedding_type == "learned")
    side = config.sample_size if isinstance(config.sample_size, int) else None
    return GivenNetwork(
        net, precondition, schedule, config.in_channels, 2 ** (len(config.block_out_channels) - 1), side
    )


def _folder(what: str, options: str = "") -> str:
    return f"a {what} in memory is not taken: save it with save_pretrained(FOLDER) and give prior='FOLDER{options}'"
