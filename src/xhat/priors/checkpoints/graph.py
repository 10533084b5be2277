"""What an ONNX file says before onnxruntime opens it: its inputs, and that its weights lie beside it."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ...errors import DataError
from ...files.extras import extra
from ...files.inside import inside

LARGEST = 2**31  # bytes of a protocol buffer

Sizes = tuple[int | str | None, ...]


def read_graph(file: Path) -> Any:
    """The onnx.ModelProto in `file`, all of whose external data lie beside it.

    Raises DataError if it is none, or if it names a file outside its folder.
    """
    onnx = extra("onnx", f"{file}", "onnx")
    if file.stat().st_size >= LARGEST:
        raise DataError(f"{file} cannot be read as ONNX: such a file is below 2 GiB and has its weights beside it")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(file.read_bytes())
    except Exception as e:  # the errors of the library derive from nothing in common
        raise DataError(f"{file} cannot be read as ONNX: {' '.join(str(e).split())[:200]}") from e
    if not model.HasField("graph"):
        raise DataError(f"{file} cannot be read as ONNX: it holds no graph")
    for part in messages(model):
        for entry in getattr(part, "external_data", ()):
            if entry.key == "location":
                check_beside(file, entry.value)
    return model


def messages(whole: Any) -> Iterator[Any]:
    """A protocol buffer and every one inside it, wherever the format has room for one."""
    yield whole
    for field, value in whole.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from messages(part)


def check_beside(file: Path, location: str) -> None:
    """Raises DataError if `location`, where `file` says that weights are, leads out of the folder of `file`."""
    parts = (*PurePosixPath(location).parts, *PureWindowsPath(location).parts)
    absolute = PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor
    if absolute or ".." in parts or "_ORT_MEM_ADDR_" in location or not location:
        raise DataError(f"{file} wants its weights from {location!r}; they are read from files beside it only")
    if not inside(file.parent / location, file.parent, str(file)).is_file():
        raise DataError(f"{file} wants its weights from {location}, which is not there")


def inputs_of(model: Any) -> tuple[Sizes, ...]:
    """The shapes of the inputs of a graph that are no weights; a name stands for a free size."""
    weights = {w.name for w in model.graph.initializer}
    return tuple(
        tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in i.type.tensor_type.shape.dim)
        for i in model.graph.input
        if i.name not in weights
    )
