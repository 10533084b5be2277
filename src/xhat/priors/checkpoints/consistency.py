"""OpenAI's consistency models as priors."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from torch import Tensor

from ...errors import MismatchError, SpecError
from ...ranges import Range, Side
from ..base import Prior
from ..consistency import ConsistencyPrior
from ..precondition import Consistent
from .adm import adm_plan, is_adm, is_consistency_family
from .files import Checkpoint, read
from .plan import NetworkPrior, Plan


class ConsistencyCheckpoint(ConsistencyPrior):
    """A consistency model of github.com/openai/consistency_models (Song et al., 2023) from its .pt. arXiv:2303.01469

    Its network is that of `adm`, whose options `image_size`, `num_heads`, `num_head_channels`, `label` and `weights`
    mean the same. `denoiser` is the prior that gives E[x₀|x_t], such as the EDM teacher of the same data.
    Raises MismatchError if the file holds no such model, and SpecError if the image size is not known.
    """

    source = "github.com/openai/consistency_models; arXiv 2303.01469"

    def __init__(
        self,
        path: str | Path,
        denoiser: Prior | None = None,
        image_size: Annotated[int, Side] | None = None,
        num_heads: Annotated[int, Range(1, 1_024)] | None = None,
        num_head_channels: Annotated[int, Range(1, 4_096)] | None = None,
        label: Annotated[int, Range(0, 1_000_000)] | None = None,
        weights: str | None = None,
        dtype: str = "float32",
        compile: bool = False,
        trial: bool = True,
    ) -> None:
        plan = consistency_plan(read(path, is_adm, weights), image_size, num_heads, num_head_channels)
        sides = [n for n in plan.shape if n is not None]
        if len(sides) != 3:
            raise SpecError(f"{path}: the file does not say image_size, the side of its images. Give it")
        jump = NetworkPrior(plan, label, dtype, compile, trial)
        super().__init__(tuple(sides), denoiser=denoiser)
        self.network = jump

    def endpoint(self, u: Tensor, sigma: float) -> Tensor:
        return self.network.denoise(u, sigma)


def consistency_plan(
    file: Checkpoint, image_size: int | None = None, num_heads: int | None = None, num_head_channels: int | None = None
) -> Plan:
    """The plan for the state dict of a consistency model; the options are those of `ConsistencyCheckpoint`."""
    if not is_adm(file.tensors) or not is_consistency_family(file.tensors):
        raise MismatchError(f"{file.path} is no consistency model of OpenAI: those have attention by 2-d convolution")
    plan = adm_plan(file, image_size, num_heads, num_head_channels)
    return replace(plan, layout="consistency model of consistency_models", precondition=Consistent("endpoint"))
