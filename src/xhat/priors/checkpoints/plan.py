"""What is known about a checkpoint before its weights are used: the network, its convention, and what is missing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import MismatchError, SpecError
from ...numerics.precision import dtype_of
from ...schedule import Discrete, Level, Schedule
from ...types import Image
from ..base import SIDE, Prior, class_of
from ..precondition import DIRECT, Precondition
from .files import Checkpoint
from .fit import fit

KINDS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
USUAL = 1000  # diffusion steps
TABLE_NEEDED = f"noise_schedule ({' or '.join(KINDS)})"  # what a plan needs whose file has no table


def no_label(label: int) -> Tensor:
    """Stands for `labels` of a network that knows no classes and is therefore never asked."""
    raise SpecError(f"a network without classes has no label {label}")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A checkpoint as a network to build and a convention by which to read its output."""

    path: Path
    layout: str
    architecture: str
    build: Callable[[], nn.Module]
    tensors: Mapping[str, Tensor]
    shape: tuple[int | None, ...]  # (channels, height, width); None: any multiple of `multiple`
    multiple: int = 1
    classes: int = 0
    labels: Callable[[int], Tensor] = no_label  # turns a class into what the network takes, (1, …)
    precondition: Precondition | None
    schedule: Schedule | None
    needs: tuple[str, ...] = ()  # the options that neither the file nor the list of releases tells
    weights: str = "top"  # the set of weights that was taken
    notes: tuple[str, ...] = ()  # what was chosen or guessed, to be said and recorded

    def network(self) -> nn.Module:
        """The network with the file's weights. Raises DataError if they do not fit."""
        return fit(self.build, self.tensors, self.path)

    def label(self, label: int | None) -> Tensor | None:
        """What the network is given for the class `label`; None if it has no classes.

        Raises SpecError if there is no such class, or if a class is given to a network without, or the reverse.
        """
        told = class_of(label, self.classes, self.path)
        return None if told is None else self.labels(told)


def tables(kind: str | None, steps: int | None = None) -> Discrete:
    """The table of guided-diffusion's noise schedule `kind`, linear or cosine, of `steps` or 1000 steps.

    The two ends of the linear one shrink with the number of steps. Raises SpecError for another kind.
    """
    if kind not in KINDS:
        raise SpecError(f"unknown noise_schedule {kind!r}; choose from {', '.join(KINDS)}")
    n = steps or USUAL
    return Discrete(KINDS[kind], 1e-4 * USUAL / n, 0.02 * USUAL / n, n)


def table_beside(file: Checkpoint) -> Discrete | None:
    """The table `betas` that lies beside the network in a file, None if there is none.

    A last β of 1 leaves nothing of the image; that entry is left out, as by `zero_snr` of `Discrete`.
    """
    betas = file.beside.get("betas", torch.empty(0, 0))
    if betas.ndim != 1 or len(betas) < 2:
        return None
    values = betas.double().tolist()
    return Discrete(betas=tuple(values[:-1] if values[-1] >= 1 else values))


def table_told(file: Checkpoint, kind: str | None, steps: int | None) -> Discrete | None:
    """The table that the options say, linear unless they name another `kind`, or else that of the file, if it has one.

    Raises SpecError for an unknown kind.
    """
    return tables(kind or "linear", steps) if kind or steps else table_beside(file)


class NetworkPrior(Prior):
    """A network from a checkpoint: x̂₀ = c_skip u + c_out net(c_in u, c_noise), u = x_t/α_t.

    It runs in `dtype` (auto, float32, bfloat16, float16), everything around it in the dtype of the image. The output is
    not clipped to [−1, 1]. Unless `trial` is false, it is tried when it is loaded. Raises SpecError if the plan still
    lacks something or `label` or `dtype` is wrong.
    """

    label: Tensor | None

    def __init__(self, plan: Plan, label: int | None, dtype: str, compile: bool, trial: bool) -> None:
        super().__init__()
        own = dtype_of(dtype, safe=plan.precondition is not None and plan.precondition.prediction not in DIRECT)
        if plan.needs or plan.precondition is None or plan.schedule is None:
            raise SpecError(
                f"{plan.path}: a file of this layout ({plan.architecture}) does not say {'; '.join(plan.needs)}. "
                f"Give it: --prior-config KEY=VALUE,… or in the spec of the prior"
            )
        self.register_buffer("label", plan.label(label), persistent=False)
        self.shape, self.multiple = plan.shape, plan.multiple
        self.precondition, self.schedule = plan.precondition, plan.schedule
        self.net = plan.network()
        for p in self.net.parameters():  # buffers are filters and frequencies, which rounding would move
            p.data = p.data.to(own)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.trial = trial
        self.say(*plan.notes)
        self.eval()
        if compile:
            self.net.compile()

    def check(self, shape: tuple[int, ...]) -> None:
        fits = len(shape) == len(self.shape) and all(
            (have % self.multiple == 0) if want is None else have == want
            for have, want in zip(shape, self.shape, strict=True)
        )
        if not fits:
            raise MismatchError(f"this prior knows images of shape {sizes(self)}, the problem has {tuple(shape)}")

    def forward(self, x: Image, t: Level) -> Image:
        self.check(tuple(x.shape[1:]))
        return self.denoise(x / t.alpha, t.ratio)

    def specimen(self, shape: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
        channels, *sides = self.shape
        small = (SIDE if n is None else min(n, SIDE) for n in sides)
        fits = tuple(max(self.multiple, n // self.multiple * self.multiple) for n in small)
        return (channels, *fits) if channels in (1, 3) else None

    def judged(self, u: Tensor, rho: float) -> Tensor:
        return self.denoise(u, rho)

    def denoise(self, u: Tensor, ratio: float) -> Tensor:
        """x̂₀ from u = x₀ + ρ ε with ρ = `ratio`, both (b, *image)."""
        c = self.precondition(ratio)
        own = next(self.net.parameters()).dtype
        z = (c.into * u).to(own, memory_format=torch.channels_last)
        when = torch.full((len(u),), c.noise, dtype=torch.float32, device=u.device)
        told = None if self.label is None else self.label.expand(len(u), *self.label.shape[1:])
        raw = self.net(z, when, told)[:, : u.shape[1]]  # a learned variance comes second
        out: Tensor = c.skip * u + c.out * raw.to(u.dtype)
        return out


def sizes(knows: Plan | NetworkPrior) -> str:
    """The shape of the images that a plan or a network knows, in words."""
    shape = ", ".join("any" if n is None else str(n) for n in knows.shape)
    return f"({shape})" + (f" in multiples of {knows.multiple}" if None in knows.shape else "")
