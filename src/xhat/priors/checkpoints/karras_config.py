"""The configuration of an EDM checkpoint, read off the names and shapes of its tensors."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ...errors import DataError
from .fit import shape_of
from .karras_net import KarrasConfig

NAME = re.compile(r"(enc|dec)\.(\d+)x\2_([a-z]+\d*|aux_[a-z]+)\.")
IGNORED = ("map_augment.",)  # augmentation labels are given in training only


def used(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that inference uses."""
    return {k: v for k, v in tensors.items() if not k.startswith(IGNORED)}


def config_of(tensors: Mapping[str, Tensor], path: Path) -> KarrasConfig:
    """The configuration of the network with these tensors. Raises DataError if they do not form one; `path` is named in
    it.
    """
    parts = {m.group(1, 2, 3) for m in map(NAME.match, tensors) if m}
    sizes = sorted({int(size) for _, size, _ in parts}, reverse=True)
    if not sizes:
        raise DataError(f"{path} has no encoder of EDM's layout")

    def shape(name: str) -> tuple[int, ...]:
        return shape_of(tensors, name, path)

    top = sizes[0]
    kinds = {kind for _, _, kind in parts}
    conv = shape(f"enc.{top}x{top}_conv.weight")
    song = f"dec.{top}x{top}_aux_conv.weight" in tensors
    widths = [shape(f"enc.{r}x{r}_block0.conv1.weight")[0] for r in sizes]
    emb, noise = shape("map_layer0.weight")
    base = conv[0] if song else noise
    if any(w % base for w in widths):
        raise DataError(f"{path}: widths {widths} are no multiples of {base}")
    label = tensors["map_label.weight"].shape[1] if "map_label.weight" in tensors else 0
    taps = {v.shape[-1] for k, v in tensors.items() if k.endswith("resample_filter")}
    if len(taps) > 1:
        raise DataError(f"{path} has resampling filters of several sizes")
    return KarrasConfig(
        song=song,
        resolution=top,
        channels=conv[1],
        out_channels=shape(f"dec.{top}x{top}_aux_conv.weight" if song else "out_conv.weight")[0],
        model_channels=base,
        channel_mult=tuple(w // base for w in widths),
        num_blocks=sum(s == str(top) and side == "enc" and k.startswith("block") for side, s, k in parts),
        attention=tuple(r for r in sizes if f"enc.{r}x{r}_block0.qkv.weight" in tensors),
        emb_channels=emb,
        noise_channels=noise,
        label_dim=label,
        fourier="map_noise.freqs" in tensors,
        encoder="residual" if "aux_residual" in kinds else "skip" if "aux_skip" in kinds else "standard",
        decoder="skip" if "aux_up" in kinds else "standard",
        taps=taps.pop() if taps else 2,
    )
