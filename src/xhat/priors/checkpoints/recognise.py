"""From the path of a file to the spec of the prior in it."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ...errors import DataError, SpecError
from ...spec import text_of
from .files import Checkpoint, container, existing, read
from .formats import FORMATS

TEACHERS, STUDENTS = ("edm",), ("cd_", "ct_", "cd-", "ct-", "consistency")  # how OpenAI names its files


def file_spec(path: str | Path) -> str:
    """The spec that the content of the file at `path` asks for.

    It is `adm:path=…`, `edm:path=…`, `openai_consistency:path=…` or `denoiser:path=…`. Raises DataError for other
    files.
    """
    return f"{kind_of(path)}:path={text_of(str(path))}"


def kind_of(path: str | Path) -> str:
    """The name of the prior for the file at `path`, as above."""
    file = existing(path)
    if container(file) in ("torchscript", "onnx"):
        return "denoiser"
    return kind_of_tensors(read(file, known_layout))


def known_layout(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the tensors have one of the known layouts, those of plug-ins included."""
    return any(layout.fits(tensors) for layout in FORMATS.values())


def kind_of_tensors(found: Checkpoint) -> str:
    """The name of the prior that knows this layout. Raises DataError that lists the known layouts if there is none."""
    for layout in FORMATS.values():
        if layout.fits(found.tensors):
            return family_member(found.path) if layout.twins(found.tensors) else layout.name
    if any(".transformer_blocks." in k for k in found.tensors):
        raise DataError(f"{found.path} is latent diffusion of CompVis: convert it to a diffusers folder")
    if any(k.startswith(("down_blocks.", "time_embedding.")) for k in found.tensors):
        raise DataError(f"{found.path} holds the weights of a diffusers network: give the folder around it")
    raise DataError(
        f"{found.path} has an unknown layout; it begins with {', '.join(list(found.tensors)[:4])}. Known: "
        f"{', '.join(f.known_as for f in FORMATS.values())}, TorchScript, ONNX, diffusers folders"
    )


def family_member(path: Path) -> str:
    """Whether the file is a teacher ("adm") or a consistency model ("openai_consistency").

    Their tensors have the same names and shapes, so only the file's name can tell. Raises SpecError if it does not.
    """
    name = path.name.lower()
    if name.startswith(TEACHERS):
        return "adm"
    if name.startswith(STUDENTS):
        return "openai_consistency"
    raise SpecError(
        f"{path} is a consistency model of OpenAI or its EDM teacher; the tensors do not tell. "
        f"Say --prior openai_consistency:path={text_of(str(path))} or --prior adm:path={text_of(str(path))}"
    )
