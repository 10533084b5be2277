"""The layouts of checkpoints that are read: one row each. Which row a file belongs to is told by its tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from ...registry import Registry
from ..base import Prior
from .adm import ADM, adm_plan
from .consistency import ConsistencyCheckpoint, consistency_plan
from .ddpm import DDPM, ddpm_plan
from .edm import EDMNetwork, edm_plan
from .layouts import is_adm, is_consistency_family, is_ddpm, is_karras
from .plan import Plan

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Format:
    """A layout: the `name` of its prior in a spec string, what people call it, and how its files are told and read.

    `twins` tells that its tensors are those of another format too, so that the name of the file has to decide.
    """

    name: str
    known_as: str
    prior: type[Prior]
    plan: Callable[..., Plan]
    fits: Callable[[Tensors], bool]
    twins: Callable[[Tensors], bool] = lambda tensors: False


# in the order in which a file is tried; plug-ins add rows
FORMATS: Registry[Format] = Registry(
    "formats",
    None,
    {
        "adm": Format("adm", "OpenAI guided-diffusion", ADM, adm_plan, is_adm, is_consistency_family),
        "edm": Format("edm", "EDM, InverseBench", EDMNetwork, edm_plan, is_karras),
        "ddpm": Format("ddpm", "DDPM in PyTorch (DDIM, DDRM, DDNM)", DDPM, ddpm_plan, is_ddpm),
        "openai_consistency": Format(
            "openai_consistency",
            "OpenAI consistency models",
            ConsistencyCheckpoint,
            consistency_plan,
            lambda tensors: False,  # its tensors are those of its teacher, an `adm`
        ),
    },
)
