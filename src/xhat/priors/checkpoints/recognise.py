"""From the path of a file to the spec of the prior in it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from ...errors import DataError, SpecError
from ...spec import text_of
from .files import Checkpoint, container, existing, read
from .formats import FORMATS, Format


class Unclear(SpecError):
    """A file whose tensors are those of several layouts, of which its name names none; `kinds` are their names."""

    def __init__(self, path: Path, formats: Sequence[Format]) -> None:
        self.kinds = [f.name for f in formats]
        says = " or ".join(f"--prior {name}:path={text_of(str(path))}" for name in self.kinds)
        super().__init__(
            f"{path} may be of {len(formats)} layouts, {'; '.join(f.known_as for f in formats)}: the tensors do not "
            f"tell, and neither does its name. Say {says}"
        )


def file_spec(path: str | Path) -> str:
    """The spec that the content of the file at `path` asks for.

    It is `adm:path=…`, `edm:path=…` and so on by the names of `FORMATS`, or `denoiser:path=…` for a program. Raises
    DataError for other files, and `Unclear` for one that may be of several layouts.
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
    """The name of the prior that knows this layout.

    Raises DataError that lists the known layouts if there is none, and `Unclear` if there are several.
    """
    fitting = [layout for layout in FORMATS.values() if layout.fits(found.tensors)]
    named = [layout for layout in fitting if found.path.name.lower().startswith(layout.files)]
    chosen = named if len(fitting) > 1 else fitting
    if len(chosen) == 1:
        return chosen[0].name
    if fitting:
        raise Unclear(found.path, fitting)
    if any(".transformer_blocks." in k for k in found.tensors):
        raise DataError(f"{found.path} is latent diffusion of CompVis: convert it to a diffusers folder")
    if any(re.match(r"(module\.)?all_modules\.\d+\.", k) for k in found.tensors):
        raise DataError(
            f"{found.path} is of score_sde (NCSN++ or DDPM++ of Song et al., 2021), whose tensors do not tell how its "
            "modules are joined; it is not read. Take the diffusers folder of the same weights (google/ncsnpp-…, "
            "google/ddpm-…), or export the network to ONNX and say --prior-config output=score or noise"
        )
    if any(k.startswith(("down_blocks.", "time_embedding.")) for k in found.tensors):
        raise DataError(f"{found.path} holds the weights of a diffusers network: give the folder around it")
    raise DataError(
        f"{found.path} has an unknown layout; it begins with {', '.join(list(found.tensors)[:4])}. Known: "
        f"{', '.join(f.known_as for f in FORMATS.values())}, TorchScript, ONNX, diffusers folders"
    )
