"""What kind of file a checkpoint is, and its tensors by name; nothing in the file is ever run."""

import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import DataError
from .unpickle import number, persistent, read_pickle, tensors_of
from .weights import Fits, choose

LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save before 1.6: its magic number, pickled
FOREIGN = {
    b"<!DO": "a web page, not a checkpoint: the download failed",
    b"<htm": "a web page, not a checkpoint: the download failed",
    b"vers": "a Git LFS pointer, not the file it points to",
    b"\x89HDF": "an HDF5 file",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x1f\x8b": "compressed: unpack it first",
}


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, without the prefixes of wrappers, and what else the file says about itself.

    `weights` names the set of weights that was taken, and `notes` are lines about what was chosen.
    """

    path: Path
    tensors: Mapping[str, Tensor] = field(repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)  # class names and numbers, if it is an EDM pickle
    beside: Mapping[str, Tensor] = field(default_factory=dict, repr=False)  # tensors on the way, such as `betas`
    weights: str = "top"
    notes: tuple[str, ...] = ()


def existing(path: str | Path) -> Path:
    """The file at `path`, with ~ expanded. Raises DataError if it is not there, a folder, or shorter than any
    checkpoint.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"{file} is {'a folder, not a file' if file.is_dir() else 'not there: no such file'}")
    if file.stat().st_size < 16:
        raise DataError(f"{file} is empty or cut off ({file.stat().st_size} bytes)")
    return file


def container(file: Path) -> str:
    """The format of `file`: `torchscript`, `onnx`, `safetensors`, `torch` or `pickle`, judged by its content.

    Raises DataError that says what the file is if it is something else or damaged.
    """
    with file.open("rb") as f:
        head = f.read(32)
    for magic, what in FOREIGN.items():
        if head.startswith(magic):
            raise DataError(f"{file} is {what}")
    if head.startswith(b"PK"):
        try:
            with zipfile.ZipFile(file) as archive:
                names, broken = archive.namelist(), archive.testzip()
        except (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, RuntimeError) as e:  # or encrypted
            raise DataError(f"{file} is cut off or damaged: {e}") from e
        if broken is not None:  # torch reads on, and a flipped bit makes a network that is only a little wrong
            raise DataError(f"{file} is damaged: {broken} in it does not match its checksum")
        if any(n.endswith(".npy") for n in names):
            raise DataError(f"{file} is a NumPy archive, not a checkpoint")
        if not any(n.endswith("/data.pkl") or n == "data.pkl" for n in names):
            raise DataError(f"{file} is a zip archive without tensors in it")
        return "torchscript" if any(n.endswith("/constants.pkl") for n in names) else "torch"
    if head.startswith(LEGACY):
        return "torch"
    if file.suffix == ".onnx":
        return "onnx"
    if head[8:10] == b'{"' or file.suffix == ".safetensors":
        return "safetensors"
    if head[:1] == b"\x80":
        return "pickle"
    raise DataError(
        f"{file} is no checkpoint of a known kind: PyTorch, safetensors, pickle of EDM, TorchScript (saved by "
        f"torch.jit.save) or ONNX (*.onnx)"
    )


def read(path: str | Path, fits: Fits, weights: str | None = None) -> Checkpoint:
    """The tensors of the network in a PyTorch file, a safetensors file or a pickle of EDM at `path`.

    `fits` tells the layout of the network by its tensors. `weights` names one of several sets of weights; without it,
    the averaged one is taken (see `weights.py`). Raises DataError if the file cannot be read, asks to run code, or
    holds a program instead of tensors, and SpecError if it does not say which of several sets is meant.
    """
    file = existing(path)
    kind = container(file)
    if kind == "pickle":
        return _edm_pickle(file)
    if kind not in ("torch", "safetensors"):
        raise DataError(f"{file} is a {kind} program; it has no tensors to read: use --prior denoiser:path={file}")
    content = _load(file) if kind == "torch" else _load_safetensors(file)
    taken = choose(content, fits, file, weights)
    notes = (f"{file}: {taken.note}",) if taken.note else ()
    return Checkpoint(file, taken.tensors, beside=taken.beside, weights=taken.name, notes=notes)


def _load(file: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about old kinds of storages, which are read or refused here
            return torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file) or None)
    except Exception as e:  # the errors of a damaged file have any type
        text = " ".join(str(e).split())
        if "weights_only" in text or "Unsupported" in text:
            asked = text.split("GLOBAL ")[-1].split()[0] if "GLOBAL " in text else "something that is no tensor"
            raise DataError(
                f"{file} asks for {asked} and was refused, nothing of it was run: save its state dict, "
                f"torch.save(network.state_dict(), …), with the code that made the file"
            ) from e
        raise DataError(f"{file} is cut off or damaged: {text[:200]}") from e


def _load_safetensors(file: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as e:
        raise DataError(f"{file} is no safetensors file, or cut off or damaged: {e}") from e


def _edm_pickle(file: Path) -> Checkpoint:
    content = read_pickle(file)
    net = content.get("ema") if isinstance(content, dict) else content
    found = persistent(net)
    inner = persistent((found[1].get("_modules") or {}).get("model")) if found else None
    if found is None or inner is None:
        raise DataError(f"{file} is a pickle without a network of EDM in it (a dictionary with `ema`)")
    wrapper, state = found
    facts = {k: number(v) for k, v in state.items() if isinstance(number(v), int | float | str)}
    try:
        tensors = {k.removeprefix("model."): v for k, v in tensors_of(net) if k.startswith("model.")}
    except Exception as e:  # records can hold anything
        raise DataError(f"{file} holds a network that cannot be read: {type(e).__name__}: {e}") from e
    return Checkpoint(file, tensors, {**facts, "wrapper": wrapper, "network": inner[0]})
