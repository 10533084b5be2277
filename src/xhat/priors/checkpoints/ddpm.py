"""Networks in the layout of DDPM's PyTorch code as priors: DDIM, SDEdit, and CelebA-HQ of DDRM and DDNM."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from torch import Tensor

from ...errors import DataError, SpecError
from ...ranges import Range, Side
from ...schedule import Discrete
from ..precondition import Tabulated
from .ddpm_net import DDPMConfig, DDPMUNet
from .files import Checkpoint, read
from .fit import shape_of
from .plan import TABLE_NEEDED, NetworkPrior, Plan, no_label, table_told

# Networks that were released, by base width, multiples of it, blocks and levels with attention: what they are, and the
# side of their images. From the configurations in the code of DDIM; all have the linear table of 1000 steps.
RELEASES: dict[tuple[int, tuple[int, ...], int, tuple[int, ...]], tuple[str, int]] = {
    (128, (1, 1, 2, 2, 4, 4), 2, (4,)): ("DDPM for CelebA-HQ or LSUN 256", 256),
    (128, (1, 2, 2, 2, 4), 2, (2,)): ("DDIM for CelebA 64", 64),
    (128, (1, 2, 2, 2), 2, (1,)): ("DDPM for CIFAR-10", 32),
}


class DDPM(NetworkPrior):
    """A U-Net of DDPM (Ho et al., 2020) in the layout of the code of DDIM, from its checkpoint. arXiv:2006.11239

    `celeba_hq.ckpt` of SDEdit, DDRM and DDNM is one. Widths, blocks and attention are read off the shapes of the
    tensors in the file `path`. For the released networks the image size and the noise schedule are known; others need
    `noise_schedule` linear or cosine, with `steps` if their table has not 1000, and take images of any size without
    `image_size`. `prediction` is what the network outputs: epsilon, v_prediction or sample. `weights` is `averaged`,
    `raw` or the name of one of the sets of weights in the file. Raises DataError for a file that cannot be read or has
    another layout, and SpecError if an option is missing or wrong.
    """

    source = "github.com/ermongroup/ddim; arXiv 2006.11239, 2010.02502"

    def __init__(
        self,
        path: str | Path,
        image_size: Annotated[int, Side] | None = None,
        noise_schedule: Literal["linear", "cosine"] | None = None,
        steps: Annotated[int, Range(2, 100_000)] | None = None,
        prediction: str = "epsilon",
        weights: str | None = None,
        dtype: str = "float32",
        compile: bool = False,
        trial: bool = True,
    ) -> None:
        plan = ddpm_plan(read(path, is_ddpm, weights), image_size, noise_schedule, steps, prediction)
        super().__init__(plan, None, dtype, compile, trial)


def is_ddpm(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the tensors have the names of DDPM's U-Net in PyTorch, as in the code of DDIM."""
    return "temb.dense.0.weight" in tensors and "down.0.block.0.conv1.weight" in tensors


def ddpm_plan(
    file: Checkpoint,
    image_size: int | None = None,
    noise_schedule: str | None = None,
    steps: int | None = None,
    prediction: str = "epsilon",
) -> Plan:
    """The plan for a network in DDPM's layout. The options are those of `DDPM`; they win over the list of releases.

    Raises SpecError if `file` has another layout or an option is wrong, and DataError if the file is damaged.
    """
    if not is_ddpm(file.tensors):
        raise SpecError(f"{file.path} is no DDPM state dict; give the path alone to have its layout recognised")
    c = config_of(file.tensors, file.path)
    known = RELEASES.get((c.model_channels, c.channel_mult, c.num_res_blocks, c.attention_levels))
    table = table_told(file, noise_schedule, steps)
    if table is None and known:
        table = Discrete()
    size = image_size or (known[1] if known else None)
    return Plan(
        path=file.path,
        layout="DDPM state dict",
        architecture=(f"{known[0]}: " if known else "") + describe(c),
        build=lambda: DDPMUNet(c),
        tensors=file.tensors,
        shape=(c.in_channels, size, size),
        multiple=2 ** (len(c.channel_mult) - 1),
        classes=0,
        labels=no_label,
        precondition=None if table is None else Tabulated(prediction, table),
        schedule=table,
        needs=() if table else (TABLE_NEEDED,),
        weights=file.weights,
        notes=file.notes,
    )


def describe(c: DDPMConfig) -> str:
    """The network in one line of text."""
    mult = ", ".join(map(str, c.channel_mult))
    where = ", ".join(f"1/{2**level}" for level in c.attention_levels) or "the lowest"
    return (
        f"DDPM U-Net, {c.model_channels} channels x ({mult}), residual blocks a level: {c.num_res_blocks}, attention "
        f"at {where} of the resolution"
    )


def config_of(tensors: Mapping[str, Tensor], path: Path) -> DDPMConfig:
    """The configuration of the network with these tensors; `path` is named in errors.

    Raises DataError if they do not form a DDPM U-Net.
    """
    base = shape_of(tensors, "temb.dense.0.weight", path)[1]
    levels = 1 + max((int(k.split(".")[1]) for k in tensors if k.startswith("down.")), default=-1)
    blocks = 1 + max((int(k.split(".")[3]) for k in tensors if k.startswith("down.0.block.")), default=-1)
    if not levels or not blocks:
        raise DataError(f"{path} has no encoder of DDPM's layout")
    widths = [shape_of(tensors, f"down.{i}.block.0.conv2.weight", path)[0] for i in range(levels)]
    if any(w % base for w in widths):
        raise DataError(f"{path}: widths {widths} are no multiples of {base}")
    return DDPMConfig(
        in_channels=shape_of(tensors, "conv_in.weight", path)[1],
        out_channels=shape_of(tensors, "conv_out.weight", path)[0],
        model_channels=base,
        channel_mult=tuple(w // base for w in widths),
        num_res_blocks=blocks,
        attention_levels=tuple(i for i in range(levels) if f"down.{i}.attn.0.q.weight" in tensors),
        resample_conv=levels == 1 or "down.0.downsample.conv.weight" in tensors,
        shortcut_conv=any(".conv_shortcut." in k for k in tensors),
    )
