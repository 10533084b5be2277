"""The configuration of an ADM checkpoint: read off its tensors' shapes; the rest comes from a list of released
networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ...errors import DataError
from .adm_net import ADMConfig
from .fit import shape_of


@dataclass(frozen=True)
class Release:
    """Networks that were released: their shapes, and what the shapes do not tell."""

    name: str
    image_size: int
    model_channels: int
    channel_mult: tuple[float | int, ...]
    num_res_blocks: int
    attention_levels: tuple[int, ...]
    heads: int | None = None
    head_channels: int | None = 64
    packed: bool = False  # rows of qkv: (q, k, v) x heads, not heads x (q, k, v)
    noise_schedule: str = "linear"

    def __str__(self) -> str:
        return self.name


# Flags from the README of github.com/openai/guided-diffusion and openai/consistency_models, and DPS's model config.
RELEASES = (
    Release("ADM for FFHQ 256 (ffhq_10m.pt)", 256, 128, (1, 1, 2, 2, 4, 4), 1, (4,)),
    Release("ADM for ImageNet or LSUN 256", 256, 256, (1, 1, 2, 2, 4, 4), 2, (3, 4, 5)),
    Release("ADM for ImageNet 512", 512, 256, (0.5, 1, 1, 2, 2, 4, 4), 2, (4, 5, 6)),
    Release("ADM for ImageNet 128", 128, 256, (1, 1, 2, 3, 4), 2, (2, 3, 4), heads=4, head_channels=None),
    Release("ADM for ImageNet 64", 64, 192, (1, 2, 3, 4), 3, (1, 2, 3), packed=True, noise_schedule="cosine"),
)


def release_of(c: ADMConfig) -> Release | None:
    """The released networks with the shapes of `c`, or None."""
    for r in RELEASES:
        shapes = (r.model_channels, r.channel_mult, r.num_res_blocks, r.attention_levels)
        if shapes == (c.model_channels, c.channel_mult, c.num_res_blocks, c.attention_levels):
            return r
    return None


def config_of(tensors: Mapping[str, Tensor], path: Path) -> ADMConfig:
    """The configuration of the network with these tensors, except for the heads, which the shapes do not tell.

    `heads` and `head_channels` of the result are None. `path` is named in errors. Raises DataError if the tensors do
    not form an ADM U-Net.
    """
    refuse_relatives(tensors, path)
    base = shape_of(tensors, "time_embed.0.weight", path)[1]
    outputs = 1 + max((int(k.split(".")[1]) for k in tensors if k.startswith("output_blocks.")), default=-1)
    # the last output block of a level, and no other, ends with a change of resolution
    ends = [i for i in range(outputs) if any(f"output_blocks.{i}.{j}.{part}" in tensors for j, part in ENDS)]
    each = ends[0] + 1 if ends else outputs
    if outputs < 1 or outputs % each:
        raise DataError(f"{path}: {outputs} output blocks in levels of {each} are no ADM U-Net")
    levels = outputs // each
    first = [1 + level * each for level in range(levels)]  # the first input block of each level
    widths = [shape_of(tensors, f"input_blocks.{i}.0.out_layers.3.weight", path)[0] for i in first]
    emb_rows = shape_of(tensors, "input_blocks.1.0.emb_layers.1.weight", path)[0]
    return ADMConfig(
        in_channels=shape_of(tensors, "input_blocks.0.0.weight", path)[1],
        out_channels=shape_of(tensors, "out.2.weight", path)[0],
        model_channels=base,
        channel_mult=tuple(w / base for w in widths),
        num_res_blocks=each - 1,
        attention_levels=tuple(n for n, i in enumerate(first) if f"input_blocks.{i}.1.qkv.weight" in tensors),
        num_classes=tensors["label_emb.weight"].shape[0] if "label_emb.weight" in tensors else 0,
        heads=None,
        head_channels=None,
        scale_shift=emb_rows == 2 * widths[0],
        resblock_updown=not any(k.endswith(".0.op.weight") for k in tensors),
    )


ENDS = [(j, part) for j in (1, 2) for part in ("in_layers.2.weight", "conv.weight")]


def refuse_relatives(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises DataError for networks of the same family that are not priors: classifiers, latent and conditional
    models.
    """
    if not any(k.startswith("output_blocks.") for k in tensors):
        raise DataError(f"{path} is half a U-Net, such as ADM's classifiers: no prior")
    if any(".transformer_blocks." in k for k in tensors):
        raise DataError(f"{path} is the U-Net of a latent diffusion model (CompVis): convert it to a diffusers folder")
    into, out = tensors["input_blocks.0.0.weight"].shape[1], shape_of(tensors, "out.2.weight", path)[0]
    if out not in (into, 2 * into):
        raise DataError(
            f"{path} takes {into} channels and gives {out}: a conditional model (super-resolution), no prior"
        )
