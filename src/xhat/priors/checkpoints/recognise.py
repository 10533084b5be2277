"""From the path of a file to the spec of the prior in it."""

from pathlib import Path

from ...errors import DataError, SpecError
from ...spec import text_of
from .adm_config import is_adm, is_consistency_family
from .files import Checkpoint, container, existing, read
from .karras_config import is_karras

TEACHERS, STUDENTS = ("edm",), ("cd_", "ct_", "cd-", "ct-", "consistency")  # how OpenAI names its files


def file_spec(path: str | Path) -> str:
    """`adm:path=…`, `edm:path=…`, `openai_consistency:path=…` or `denoiser:path=…`, as the file's content says."""
    return f"{kind_of(path)}:path={text_of(str(path))}"


def kind_of(path: str | Path) -> str:
    file = existing(path)
    if container(file) in ("torchscript", "onnx"):
        return "denoiser"
    return kind_of_tensors(read(file))


def kind_of_tensors(found: Checkpoint) -> str:
    """Which of the priors knows the layout. Raises DataError that lists the known ones."""
    if is_adm(found.tensors):
        return family_member(found.path) if is_consistency_family(found.tensors) else "adm"
    if is_karras(found.tensors):
        return "edm"
    if any("diffusion_model." in k or "transformer_blocks" in k for k in found.tensors):
        raise DataError(f"{found.path} is latent diffusion of CompVis: convert it to a diffusers folder")
    if any(k.startswith(("down_blocks.", "time_embedding.")) for k in found.tensors):
        raise DataError(f"{found.path} holds the weights of a diffusers network: give the folder around it")
    raise DataError(
        f"{found.path} has an unknown layout; it begins with {', '.join(list(found.tensors)[:4])}. Known: "
        f"OpenAI guided-diffusion and consistency models, EDM, InverseBench, TorchScript, ONNX, diffusers folders"
    )


def family_member(path: Path) -> str:
    """Teacher or consistency model: their tensors are alike, so the file's name decides, and nothing else may guess."""
    name = path.name.lower()
    if name.startswith(TEACHERS):
        return "adm"
    if name.startswith(STUDENTS):
        return "openai_consistency"
    raise SpecError(
        f"{path} is a consistency model of OpenAI or its EDM teacher; the tensors do not tell. "
        f"Say --prior openai_consistency:path={text_of(str(path))} or --prior adm:path={text_of(str(path))}"
    )
