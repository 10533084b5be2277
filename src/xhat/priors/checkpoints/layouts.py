"""How each layout of a checkpoint is told: by the names of a few tensors that no other layout has."""

from collections.abc import Mapping

from torch import Tensor

Tensors = Mapping[str, Tensor]


def is_adm(tensors: Tensors) -> bool:
    """Whether the tensors have the names of an ADM U-Net."""
    return "time_embed.0.weight" in tensors and "input_blocks.0.0.weight" in tensors


def is_consistency_family(tensors: Tensors) -> bool:
    """Whether the network is one of OpenAI's consistency models or their EDM teachers.

    Their attention is a 2-d convolution, that of ADM a 1-d convolution.
    """
    return "middle_block.1.qkv.weight" in tensors and tensors["middle_block.1.qkv.weight"].ndim == 4


def is_karras(tensors: Tensors) -> bool:
    """Whether the tensors have the names of a network of EDM."""
    return "map_layer0.weight" in tensors and any(k.startswith("enc.") for k in tensors)


def is_ddpm(tensors: Tensors) -> bool:
    """Whether the tensors have the names of DDPM's U-Net in PyTorch, as in the code of DDIM."""
    return "temb.dense.0.weight" in tensors and "down.0.block.0.conv1.weight" in tensors


def is_known(tensors: Tensors) -> bool:
    """Whether the tensors have one of the layouts of this package; plug-ins may know more."""
    return any(fits(tensors) for fits in (is_adm, is_karras, is_ddpm))
