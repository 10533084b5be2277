"""TorchScript and ONNX files as functions of tensors."""

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import DataError, MismatchError
from ...files.extras import install
from .archive import read_archive
from .files import container, existing
from .graph import Sizes, read_graph

TRUST = "trust means that code of the file's author runs on this machine with your rights"


class Program(nn.Module):
    """A file that maps tensors to a tensor.

    `inputs` is the number of its arguments, and `shapes` are their shapes as far as the file says them (a name instead
    of a number is a free size).
    """

    kind: str
    inputs: int
    shapes: tuple[Sizes | None, ...]

    @abstractmethod
    def forward(self, *given: Tensor) -> Tensor:
        """The output of the program for the tensors `given`."""


class TorchScript(Program):
    """A file of torch.jit.save; it is differentiable. To load it is to run it, so that somebody must trust its author.

    Code that opens files, and code that runs while it is loaded, is refused all the same.
    """

    kind = "TorchScript"

    def __init__(self, file: Path) -> None:
        super().__init__()
        read_archive(file).check()
        with warnings.catch_warnings():
            # torch would rather have torch.export, and says so by either, as its version is
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            try:
                self.module: Any = torch.jit.load(file, map_location="cpu")  # type: ignore[no-untyped-call]
            except Exception as e:  # a damaged archive fails in any way it likes
                raise DataError(f"{file} cannot be read as TorchScript: {' '.join(str(e).split())[:200]}") from e
        self.module.eval()
        self.inputs = len(self.module.forward.schema.arguments) - 1  # the first is self
        self.shapes = (None,) * self.inputs
        for p in self.module.parameters():
            p.requires_grad_(False)

    def forward(self, *given: Tensor) -> Tensor:
        own = next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.float32)
        return self.module(*(v.to(own) for v in given))  # type: ignore[no-any-return]


class ONNX(Program):
    """An ONNX file, run by onnxruntime on the CPU in float32; it has no derivative."""

    kind = "ONNX"

    def __init__(self, file: Path) -> None:
        super().__init__()
        try:
            import onnxruntime  # type: ignore[import-untyped,unused-ignore]
        except ImportError:
            raise DataError(f"{file}: ONNX files need the extra onnx: {install('onnx')}") from None
        read_graph(file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors alone: what it finds odd in a file helps no user
        try:
            self.session: Any = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as e:  # its own exception classes derive from nothing in common
            raise DataError(f"{file} cannot be read as ONNX: {' '.join(str(e).split())[:200]}") from e
        self.names = [i.name for i in self.session.get_inputs()]
        self.inputs = len(self.names)
        self.shapes = tuple(tuple(i.shape) for i in self.session.get_inputs())

    def run(self, given: Sequence[Tensor]) -> Tensor:
        """The output for the tensors `given`: for all images at once, or one by one if the file was written for a batch
        of one.
        """
        arrays = [v.detach().cpu().float().numpy() for v in given]
        if self.shapes[0] is not None and self.shapes[0][0] == 1 and len(arrays[0]) > 1:
            single = [[a[i : i + 1] if a.ndim else a for a in arrays] for i in range(len(arrays[0]))]
            return torch.from_numpy(np.concatenate([self.call(a) for a in single]))
        return torch.from_numpy(self.call(arrays))

    def call(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The output for NumPy arrays. Raises MismatchError if the file does not accept them."""
        try:
            out = self.session.run(None, dict(zip(self.names, arrays, strict=True)))[0]
        except Exception as e:  # as above
            raise MismatchError(f"the ONNX file refuses its input: {' '.join(str(e).split())[:200]}") from e
        return np.asarray(out)

    def forward(self, *given: Tensor) -> Tensor:
        x = given[0]
        if x.requires_grad and torch.is_grad_enabled():
            out: Tensor = NoDerivative.apply(x, self.run(given).to(x))  # type: ignore[no-untyped-call]
            return out
        return self.run(given).to(x)


class NoDerivative(torch.autograd.Function):
    """Passes `out` on, and refuses a derivative with respect to `x`, which would otherwise be zero in silence."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, out: Tensor) -> Tensor:  # noqa: ARG004
        """A copy of `out`."""
        return out.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:  # noqa: ARG004
        """Raises MismatchError."""
        raise MismatchError(
            "an ONNX file has no derivative and this solver asks for one; use one that does not (lmaps, diffpir, "
            "ddrm, …), or save the network as TorchScript"
        )


def load_program(path: str | Path, trust: bool = False) -> Program:
    """The function in a TorchScript or ONNX file.

    An ONNX file is a graph of arithmetic; TorchScript is a program, which runs only if `trust` says so. Raises
    DataError if the file is neither, damaged, or not trusted.
    """
    file = existing(path)
    kind = container(file)
    if kind == "torchscript" and not trust:
        raise DataError(
            f"{file} is a TorchScript program and was not run; if you trust its author, say trust=true behind the path "
            f"of the prior, or --trust: {TRUST}"
        )
    if kind == "torchscript":
        return TorchScript(file)
    if kind == "onnx":
        return ONNX(file)
    raise DataError(f"{file} is neither TorchScript nor ONNX (*.onnx); give its path alone to have it recognised")
