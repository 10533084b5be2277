"""A family of networks that `xhat train denoiser` can train: how one is built, called, written and loaded again."""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..files.writing import write_text
from ..priors.pixel import PixelPrior
from .edm import Network
from .recipe import Diffusion, Recipe

Shape = tuple[int, int, int]


class Family(ABC):
    """What a training needs to know of the networks of one kind; a network is an nn.Module with a `device`."""

    formula: ClassVar[str]  # the head of the model card, with {sigma_data}
    jumps: ClassVar[str]  # the head of a consistency model's card, with {teacher}
    pace: ClassVar[float]  # the time that the network of a consistency model is given, over ln σ
    library: ClassVar[str]  # the library that loads the folder, for the model card
    mixed: ClassVar[bool]  # whether it trains in bfloat16 where a processor has it, with float32 weights

    @abstractmethod
    def build(self, recipe: Recipe, shape: Shape) -> Any:
        """A new network for images of `shape` (c, h, w); its weights are drawn with the recipe's seed.

        Raises SpecError if the recipe's options or the sides of the images do not fit.
        """

    @abstractmethod
    def start(self, folder: Path, recipe: Recipe, shape: Shape) -> tuple[Any, Recipe]:
        """The network of a trained folder as a start, and the recipe with what that network implies.

        Raises MismatchError for another number of channels and SpecError for a network of another kind.
        """

    @abstractmethod
    def caller(self, net: Any, recipe: Recipe) -> Network:
        """`net` as the loss calls it: (c_in u, times (b,)) ↦ F."""

    @abstractmethod
    def write(self, root: Path, net: Any, recipe: Recipe, shape: Shape, half: bool) -> None:
        """Writes the folder `root`; weights as 16-bit floats if `half`."""

    @abstractmethod
    def retimed(self, net: Any, levels: Diffusion) -> Any:
        """The denoiser `net` as the same function of the time of a consistency model, for noise in `levels`."""

    @abstractmethod
    def write_consistency(self, root: Path, net: Any, recipe: Recipe, shape: Shape, denoiser: str, half: bool) -> None:
        """Writes the consistency model in the folder `root`, which names its `denoiser`, a folder relative to it."""

    @abstractmethod
    def load(self, root: Path, dtype: str = "auto") -> PixelPrior:
        """The prior in the folder that `write` wrote; its network runs in `dtype`."""


def as_stored(x: Tensor, half: bool) -> Tensor:
    """`x` as it is written: on the CPU, contiguous, 16 or 32 bits."""
    return x.detach().cpu().to(torch.float16 if half else torch.float32).contiguous()


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Writes `content` to `file` as JSON. If it is interrupted, the previous file remains."""
    write_text(file, json.dumps(content, indent=2) + "\n")
