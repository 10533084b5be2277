"""OpenAI's ADM checkpoints as priors: guided-diffusion, DPS's FFHQ model, the EDM teachers of consistency models."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import Tensor

from ...errors import SpecError
from ...ranges import Range, Side
from ...schedule import EDM, Discrete
from ..precondition import Tabulated
from .adm_config import Release, config_of, release_of
from .adm_net import ADMConfig, ADMUNet, packed
from .conventions import Teacher
from .files import Checkpoint, read
from .plan import TABLE_NEEDED, USUAL, NetworkPrior, Plan, table_beside, tables


class ADM(NetworkPrior):
    """A U-Net of guided-diffusion (Dhariwal & Nichol, 2021) from its state dict. arXiv:2105.05233

    Widths, blocks, attention and classes are read off the shapes of the tensors in the file `path`. For the released
    networks the image size, the heads and the noise schedule are known. Other networks need options: `image_size`
    (without it, any size is accepted), `num_heads` or `num_head_channels`, `noise_schedule` linear or cosine,
    `use_new_attention_order` if they were trained with it, and `steps` if their table has not 1000, with
    `rescale_timesteps` true if the network counts time to 1000 nevertheless. A file that has its table (`betas`) beside
    the network needs no `noise_schedule`. `label` is the class, for class-conditional networks. `prediction` is what
    the network outputs: epsilon, v_prediction or sample. A learned variance is split off and dropped. Networks of
    consistency_models, whose attention is a 2-d convolution, are read as EDM models. `weights` is `averaged`, `raw` or
    the name of one of the sets of weights in the file. Raises DataError for a file that cannot be read or has another
    layout, and SpecError if an option is missing or wrong.
    """

    source = "github.com/openai/guided-diffusion; arXiv 2105.05233"

    def __init__(
        self,
        path: str | Path,
        image_size: Annotated[int, Side] | None = None,
        num_heads: Annotated[int, Range(1, 1_024)] | None = None,
        num_head_channels: Annotated[int, Range(1, 4_096)] | None = None,
        noise_schedule: Literal["linear", "cosine"] | None = None,
        use_new_attention_order: bool | None = None,
        steps: Annotated[int, Range(2, 100_000)] | None = None,
        rescale_timesteps: bool | None = None,
        prediction: str = "epsilon",
        label: Annotated[int, Range(0, 1_000_000)] | None = None,
        weights: str | None = None,
        dtype: str = "float32",
        compile: bool = False,
        trial: bool = True,
    ) -> None:
        file = read(path, is_adm, weights)
        plan = adm_plan(
            file, image_size, num_heads, num_head_channels, noise_schedule, use_new_attention_order, steps,
            rescale_timesteps, prediction,
        )  # fmt: skip
        super().__init__(plan, label, dtype, compile, trial)


def is_adm(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the tensors have the names of an ADM U-Net."""
    return "time_embed.0.weight" in tensors and "input_blocks.0.0.weight" in tensors


def is_consistency_family(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the network is one of OpenAI's consistency models or their EDM teachers.

    Their attention is a 2-d convolution, that of ADM a 1-d convolution.
    """
    return "middle_block.1.qkv.weight" in tensors and tensors["middle_block.1.qkv.weight"].ndim == 4


def adm_plan(
    file: Checkpoint,
    image_size: int | None = None,
    num_heads: int | None = None,
    num_head_channels: int | None = None,
    noise_schedule: str | None = None,
    use_new_attention_order: bool | None = None,
    steps: int | None = None,
    rescale_timesteps: bool | None = None,
    prediction: str = "epsilon",
) -> Plan:
    """The plan for an ADM state dict: what it is, and what has still to be told.

    The options are those of `ADM`; they win over the list of releases. Raises SpecError if `file` has another layout or
    an option is wrong, and DataError if the file is damaged.
    """
    if not is_adm(file.tensors):
        raise SpecError(f"{file.path} is no ADM state dict; give the path alone to have its layout recognised")
    config = config_of(file.tensors, file.path)
    known, family = release_of(config), is_consistency_family(file.tensors)
    config = with_heads(config, known, num_heads, num_head_channels, file.path)
    needs = [] if config.heads or config.head_channels else ["num_heads or num_head_channels of its attention"]
    table = table_of(file, noise_schedule, steps, known)
    if not family and table is None:
        needs.append(TABLE_NEEDED)
    length = USUAL if table is None else len(table.ratios) - 1
    if not family and length != USUAL and rescale_timesteps is None:
        needs.append(
            f"rescale_timesteps (true if times run to {USUAL} over its {length} steps, as improved-diffusion's)"
        )
    scale = USUAL / length if rescale_timesteps else 1.0
    if use_new_attention_order is None:
        use_new_attention_order = known.packed if known else False
    size = image_size or (known.image_size if known else None)
    return Plan(
        path=file.path,
        weights=file.weights,
        notes=file.notes,
        layout="EDM teacher of consistency_models" if family else "guided-diffusion state dict",
        architecture=describe(config, known),
        build=lambda: ADMUNet(config),
        tensors=arranged(file.tensors, config, as_is=family or use_new_attention_order),
        shape=(config.in_channels, size, size),
        multiple=2 ** (len(config.channel_mult) - 1),
        classes=config.num_classes,
        labels=lambda label: torch.tensor([label]),
        precondition=Teacher() if family else None if table is None else Tabulated(prediction, table, scale=scale),
        schedule=EDM() if family else table,
        needs=tuple(needs),
    )


def table_of(file: Checkpoint, kind: str | None, steps: int | None, known: Release | None) -> Discrete | None:
    """The table of noise levels that the options say, or else the file (`betas` beside the network), or else the list
    of releases; None if nothing tells.

    Raises SpecError for an unknown kind.
    """
    if kind is None and steps is None and (table := table_beside(file)):
        return table
    kind = kind or (known.noise_schedule if known else None)
    return None if kind is None else tables(kind, steps)


def with_heads(
    c: ADMConfig, known: Release | None, heads: int | None, head_channels: int | None, path: Path
) -> ADMConfig:
    """The configuration `c` with the heads that are given or, if none are given, those of the release `known`.

    If both are given, the width of a head wins over the number of heads, as in guided-diffusion. Raises SpecError if a
    width of the network cannot be split like this.
    """
    if heads is None and head_channels is None and known:
        heads, head_channels = known.heads, known.head_channels
    for width in {c.widths[level] for level in c.attention_levels} | {c.widths[-1]}:
        parts = head_channels or heads or 1
        if parts < 1 or width % parts:
            raise SpecError(f"{path}: attention of width {width} does not split into {parts}")
    return replace(c, heads=None if head_channels else heads, head_channels=head_channels)


def arranged(tensors: Mapping[str, Tensor], c: ADMConfig, as_is: bool) -> dict[str, Tensor]:
    """The tensors with attention as 1-d convolution and its rows in the order (q, k, v) × heads.

    `as_is` says that the rows have that order already.
    """
    flat = {k: v.flatten(2) if is_attention(k) and v.ndim == 4 else v for k, v in tensors.items()}
    if as_is or not (c.heads or c.head_channels):
        return flat
    return {k: packed(v, c.heads_of(len(v) // 3)) if ".qkv." in k else v for k, v in flat.items()}


def is_attention(name: str) -> bool:
    """Whether the tensor called `name` belongs to an attention layer."""
    return ".qkv." in name or ".proj_out." in name


def describe(c: ADMConfig, known: Release | None) -> str:
    """The network in one line of text; `known` is the release with these shapes, if there is one."""
    mult = ", ".join(f"{m:g}" for m in c.channel_mult)
    where = ", ".join(f"1/{2**level}" for level in c.attention_levels) or "the lowest"
    heads = f"{c.heads} heads" if c.heads else f"heads of {c.head_channels} channels" if c.head_channels else "heads?"
    name = f"{known}: " if known else ""
    return (
        f"{name}ADM U-Net, {c.model_channels} channels x ({mult}), residual blocks a level: {c.num_res_blocks}, "
        f"attention at {where} of the resolution, {heads}"
    )
