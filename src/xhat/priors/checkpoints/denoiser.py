"""Any denoiser saved as TorchScript or ONNX as a prior, including denoisers that are not told the noise level."""

from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import Tensor

from ...checks import result
from ...errors import MismatchError, SpecError
from ...ranges import Range
from ...schedule import EDM, Level
from ...types import Image
from ..base import SIDE, Prior
from .programs import Program, load_program

Told = Literal["vector", "scalar", "column", "map", "channel", "none"]
Output = Literal["clean", "residual", "noise", "score"]


class FileDenoiser(Prior):
    """x̂₀ = D(x, σ), x = x₀ + σ n, from a TorchScript or ONNX file.

    `sigma` says how the file is told σ: as a vector (b,), a scalar, a column (b, 1, 1, 1), a map (b, 1, h, w), a map
    that is one more channel of x, or none. The last is a blind denoiser, such as a bias-free CNN. An ONNX file tells
    which; otherwise a vector is assumed if there are two inputs, and none if there is one. `output` says what the file
    returns:

        clean      D
        residual   x − D, as DnCNN-type networks do
        noise      (x − D)/σ
        score      ∇log p(x) = (D − x)/σ², by Tweedie's formula (Robbins, 1956; Miyasawa, 1961)

    A blind denoiser is a prior by the same formula (Kadkhodaie & Simoncelli, 2021; arXiv:2007.13640): D − x = σ² ∇log p
    if it judges σ correctly. It needs `sigma_max`, the largest σ it was trained for. `low` and `high` are the file's
    values for −1 and 1: a denoiser of images in [0, 1] has low=0, and σ is scaled with the range. `sigma_min` and
    `sigma_max` are in units of [−1, 1]. A TorchScript file is a program: it is run only with `trust`, which means that
    code of its author runs on this machine with your rights. The file is tried once, at the latest when a problem about
    pictures is solved with it, unless `trial` is false. Raises DataError if the file cannot be read or is a program
    that is not trusted, and SpecError if the options contradict it.
    """

    source = "any TorchScript or ONNX file"

    def __init__(
        self,
        path: str | Path,
        output: Output = "clean",
        sigma: Told | None = None,
        low: Annotated[float, Range(-1e9, 1e9)] = -1.0,
        high: Annotated[float, Range(-1e9, 1e9)] = 1.0,
        sigma_min: Annotated[float, Range(above=0, most=1e6)] = 0.002,
        sigma_max: Annotated[float, Range(above=0, most=1e6)] | None = None,
        trial: bool = True,
        trust: bool = False,
    ) -> None:
        super().__init__()
        self.trial, self.path = trial, path
        if not low < high:
            raise SpecError(f"low = {low:g} must be below high = {high:g}")
        self.program = load_program(path, trust)
        self.told = sigma or inferred(self.program)
        wanted = 1 if self.told in ("none", "channel") else 2
        if self.program.inputs != wanted:
            raise SpecError(f"{path} takes {self.program.inputs} inputs, and sigma={self.told} means {wanted}")
        if sigma_max is None and self.told == "none":
            raise SpecError(
                f"{path} is not told the noise level: give sigma_max, the largest it was trained for, in units of "
                f"images in [-1, 1], or sigma=channel if it takes a noise map as one more channel"
            )
        self.output, self.low, self.scale = output, low, (high - low) / 2
        self.schedule = EDM(sigma_min, 80.0 if sigma_max is None else sigma_max)

    def specimen(self, shape: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
        known = self.program.shapes[0] or ()
        first = next((p.shape[1] for p in self.program.parameters() if p.ndim == 4), None)
        channels = known[1] if len(known) == 4 else first
        if isinstance(channels, int) and self.told == "channel":
            channels -= 1
        if channels not in (1, 3) or any(isinstance(n, int) for n in known[2:]):  # the problem will say
            return shape if shape is not None and len(shape) == 3 and shape[0] in (1, 3) else None
        return (int(channels), SIDE, SIDE)

    def check(self, shape: tuple[int, ...]) -> None:
        known = self.program.shapes[0]
        if known is None:
            return
        here = (shape[0] + 1, *shape[1:]) if self.told == "channel" else tuple(shape)
        if len(known) != len(here) + 1 or any(
            isinstance(k, int) and k != n for k, n in zip(known[1:], here, strict=True)
        ):
            raise MismatchError(f"this prior takes images of shape {known[1:]}, the problem has {tuple(shape)}")

    def forward(self, x: Image, t: Level) -> Image:
        self.check(tuple(x.shape[1:]))
        u, rho = (x / t.alpha + 1) * self.scale + self.low, t.ratio * self.scale  # in the file's units
        raw = result(f"the program in {self.path}", lambda: self.program(*self.arguments(u, rho)), u).to(x.dtype)
        if raw.shape != x.shape:
            raise MismatchError(
                f"the program in {self.path} returns shape {tuple(raw.shape)} for images of shape {tuple(x.shape)}"
            )
        if self.output != "clean":
            raw = u + {"residual": -1.0, "noise": -rho, "score": rho**2}[self.output] * raw
        return (raw - self.low) / self.scale - 1

    def arguments(self, u: Tensor, rho: float) -> list[Tensor]:
        """The arguments with which the file is called for images `u` (b, *image) at noise level `rho`, both in the
        file's units.
        """
        shape = {"scalar": (), "vector": (len(u),), "column": (len(u), 1, 1, 1)}.get(self.told)
        if self.told == "none":
            return [u]
        level = u.new_full((len(u), 1, *u.shape[2:]) if shape is None else shape, rho)
        return [torch.cat([u, level], 1)] if self.told == "channel" else [u, level]


def inferred(program: Program) -> Told:
    """How a file is most likely told the noise level, judged by the number and the shapes of its inputs."""
    if program.inputs < 2:
        return "none"
    known = program.shapes[1]
    if known is None or len(known) == 1:
        return "vector"
    if not known:
        return "scalar"
    return "column" if all(n == 1 for n in known[1:]) else "map"
