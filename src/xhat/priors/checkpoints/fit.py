"""Puts a checkpoint's tensors into a network that was built for their shapes, or says where they differ."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from ...errors import DataError

N = TypeVar("N", bound=nn.Module)
SHOWN = 4  # names that an error lists


def shape_of(tensors: Mapping[str, Tensor], name: str, path: Path) -> tuple[int, ...]:
    """The shape of the tensor `name`, which every file of the layout has. Raises DataError if it is missing."""
    if name not in tensors:
        raise DataError(f"{path} lacks the tensor {name} of its layout")
    return tuple(tensors[name].shape)


def fit(build: Callable[[], N], tensors: Mapping[str, Tensor], path: Path) -> N:
    """The network that `build` makes, with these tensors as its weights, which are neither copied nor trainable.

    The network is built on the meta device, so that no memory is filled twice. Raises DataError that names the first
    tensors that are missing, left over, of another shape or not finite.
    """
    with torch.device("meta"):
        net = build()
    wanted = {name: tuple(v.shape) for name, v in net.state_dict().items()}
    wrong = [f"{n} is {tuple(tensors[n].shape)}, not {s}" for n, s in wanted.items() if _differs(tensors, n, s)]
    missing, extra = [n for n in wanted if n not in tensors], [n for n in tensors if n not in wanted]
    notes = [
        f"{len(names)} {what}: {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}"
        for what, names in (("of another shape", wrong), ("missing", missing), ("left over", extra))
        if names
    ]
    if notes:
        raise DataError(f"{path} does not fit the {type(net).__name__} its names suggest: {'; '.join(notes)}")
    for name in wanted:
        if not tensors[name].is_meta and not torch.isfinite(tensors[name]).all():
            raise DataError(f"{path}: the tensor {name} holds NaN or infinity")
    net.load_state_dict(dict(tensors), assign=True)
    return net.eval().requires_grad_(False)


def _differs(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> bool:
    return name in tensors and tuple(tensors[name].shape) != shape
