"""Reads a pickle without running anything in it: classes become inert records, everything unknown is refused.

NVIDIA's EDM pickles hold networks as "persistent" objects, which are (class name, source code, state). The source is
never looked at. Only the state is taken, which is tensors and plain numbers in nested dictionaries.
"""

import io
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError

# What a pickle may name. None of it is imported: each name becomes a fresh subclass of Record, or a container.
CONTAINERS = {
    ("collections", "OrderedDict"): dict,
    ("dnnlib.util", "EasyDict"): dict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
}
RECORDS = {
    ("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_parameter"),
    ("torch.storage", "_load_from_bytes"), ("torch", "Size"), ("torch", "device"),
    ("torch_utils.persistence", "_reconstruct_persistent_obj"),
    ("torch.nn.modules.container", "ModuleDict"), ("torch.nn.modules.container", "ModuleList"),
    ("torch.nn.modules.container", "Sequential"),
    ("numpy", "dtype"), ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"),
    *(("torch", name) for name in ("float16", "bfloat16", "float32", "float64", "int64", "int32", "uint8", "bool")),
}  # fmt: skip


class Record:
    """Something that a pickle calls or builds, kept as the arguments of the call and the state, and nothing else."""

    origin: tuple[str, str]
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> "Record":
        made = super().__new__(cls)
        made.args, made.state = args, None
        return made

    def __init__(self, *args: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Inert(pickle.Unpickler):
    """An unpickler in which everything that can be called is a subclass of Record or a container type."""

    def __init__(self, path: Path, data: io.BufferedIOBase) -> None:
        super().__init__(data)
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for the class `module`.`name`. Raises DataError if it is not on the list."""
        if (module, name) in CONTAINERS:
            return CONTAINERS[module, name]
        if (module, name) in RECORDS:
            return type(name, (Record,), {"origin": (module, name)})
        raise DataError(
            f"{self.path} asks for {module}.{name} and was refused, nothing of it was run: a pickle can make Python "
            f"do anything. Only tensors, plain containers and the persistent classes of EDM (as data) are read"
        )


def read_pickle(path: Path) -> Any:
    """The content of a pickle as containers, numbers, text and Records. Raises DataError if it is damaged or asks for
    more.
    """
    try:
        with path.open("rb") as data:
            return Inert(path, data).load()
    except DataError:
        raise
    except Exception as e:  # a broken pickle fails in any way it likes
        raise DataError(f"{path} cannot be read as a pickle, it is damaged or none: {type(e).__name__}: {e}") from e


def persistent(thing: Any) -> tuple[str, dict[str, Any]] | None:
    """The class name and the state of a persistent object or a module container; None for anything else."""
    if not isinstance(thing, Record):
        return None
    if thing.origin[1] == "_reconstruct_persistent_obj" and thing.args and isinstance(thing.args[0], dict):
        meta = thing.args[0]
        if isinstance(meta.get("state"), dict):
            return str(meta.get("class_name")), meta["state"]
    if thing.origin[0] == "torch.nn.modules.container" and isinstance(thing.state, dict):
        return thing.origin[1], thing.state
    return None


def tensors_of(module: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers in a module's record, by their full names as in a state dict, which begin with
    `prefix`.

    Raises DataError if the record is not that of a module.
    """
    found = persistent(module)
    if found is None:
        raise DataError(f"{prefix or 'the network'} is not a module")
    state = found[1]
    for kind in ("_parameters", "_buffers"):
        for name, value in dict(state.get(kind) or {}).items():
            if value is not None:
                yield prefix + str(name), tensor(value)
    for name, child in dict(state.get("_modules") or {}).items():
        if child is not None:
            yield from tensors_of(child, f"{prefix}{name}.")


def tensor(record: Any) -> Tensor:
    """The tensor whose construction `record` describes. Raises DataError if it describes something else."""
    name = record.origin[1] if isinstance(record, Record) else type(record).__name__
    if name == "_rebuild_parameter":
        return tensor(record.args[0])
    if name != "_rebuild_tensor_v2":
        raise DataError(f"expected a tensor, found {name}")
    held, offset, size, stride = record.args[:4]
    if not isinstance(held, Record) or held.origin[1] != "_load_from_bytes":
        raise DataError("a tensor without its numbers")
    size, stride = (tuple(part.args[0]) if isinstance(part, Record) else tuple(part) for part in (size, stride))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # typed storages are deprecated, but that is what is in the file
        kept: Any = torch.load(io.BytesIO(held.args[0]), map_location="cpu", weights_only=True)
        flat = torch.empty(0, dtype=kept.dtype).set_(kept.untyped())
    return flat.as_strided(size, stride, int(offset)).clone()  # within bounds or an error, unlike set_


def number(value: Any) -> Any:
    """A NumPy scalar's record as a plain number; anything else is returned as it is."""
    if isinstance(value, Record) and value.origin[1] == "scalar" and len(value.args) == 2:
        kind, raw = value.args
        text = kind.args[0] if isinstance(kind, Record) and kind.args else ""
        if isinstance(raw, bytes) and text in ("f2", "f4", "f8", "i4", "i8", "u1", "b1"):
            return np.frombuffer(raw, f"<{text}")[0].item()
    return value
