"""The layouts of checkpoints that are read: one row each. Which row a file belongs to is told by its tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from ...registry import Registry
from ..base import Prior
from .adm import ADM, adm_plan, is_adm, is_consistency_family
from .consistency import ConsistencyCheckpoint, consistency_plan
from .ddpm import DDPM, ddpm_plan, is_ddpm
from .edm import EDMNetwork, edm_plan, is_karras
from .lucid import Lucid, is_lucid, lucid_plan
from .plan import Plan

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Format:
    """A layout: the `name` of its prior in a spec string, what people call it, and how its files are told and read.

    `fits` says whether the tensors are of this layout. Where they are of another one, too, the name of the file
    decides: `files` are the beginnings of the names of such files, in small letters.
    """

    name: str
    known_as: str
    prior: type[Prior]
    plan: Callable[..., Plan]
    fits: Callable[[Tensors], bool]
    files: tuple[str, ...] = ()


CONSISTENCY = ("cd_", "ct_", "cd-", "ct-", "consistency")  # how OpenAI names its files
# plug-ins add rows
FORMATS: Registry[Format] = Registry(
    "formats",
    None,
    {
        "adm": Format("adm", "OpenAI guided-diffusion, EDM teachers", ADM, adm_plan, is_adm, ("edm",)),
        "edm": Format("edm", "EDM, InverseBench", EDMNetwork, edm_plan, is_karras),
        "ddpm": Format("ddpm", "DDPM in PyTorch (DDIM, DDRM, DDNM)", DDPM, ddpm_plan, is_ddpm),
        "lucid": Format("lucid", "denoising-diffusion-pytorch (lucidrains)", Lucid, lucid_plan, is_lucid),
        "openai_consistency": Format(
            "openai_consistency",
            "OpenAI consistency models",
            ConsistencyCheckpoint,
            consistency_plan,
            is_consistency_family,
            CONSISTENCY,
        ),
    },
)
