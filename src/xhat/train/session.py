"""What every training command shares: its options, the accelerator, looks at the run, and the folder that it leaves."""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..effort import Pace, estimating, refuse
from ..errors import SpecError
from ..files.extras import install
from ..files.folder import alone, check_folder, check_free
from ..files.record import versions
from ..files.room import gigabytes
from ..files.writing import atomic, sweep
from ..numerics.precision import processor_has_bfloat16
from ..task.checkpoint import digest
from ..task.cost import free
from ..task.fingerprint import CODE
from .dataset import Dataset
from .loop import Job, Limit, Objective, Progress, run
from .network import parameters
from .recipe import Recipe
from .report import bar, line_of, pace, read_curve, record_of, write_card, write_curve
from .sample import grid

WRITTEN = (  # by one kind of model or another
    "unet", "vae", "scheduler", "model_index.json", "xhat.json", "config.json", "*.safetensors", "calibration.json",
    "recipe.toml", "README.md", "log.jsonl", "samples", "samples.png",
)  # fmt: skip
KEPT = 5  # numbers for each parameter: weight, gradient, two moments and the average of the weight


@dataclass(frozen=True)
class Options:
    """How a run is carried out; nothing here is part of the recipe."""

    out: Path
    limit: Limit
    resume: bool = False
    half: bool = False  # writes the weights as 16-bit floats
    device: str = "auto"  # auto or cpu
    precision: str | None = None  # no, bf16, fp16; None: that of `accelerate launch`, else the fast one, as it is here
    licence: str = "not stated"  # licence of the data, for the model card
    quiet: bool = False
    compile: bool = False  # passes the network through torch.compile


@dataclass
class Session(ABC):
    """One kind of model in training; `net` is its network."""

    pictures: ClassVar[str] = "Samples without a measurement"

    net: Any
    recipe: Recipe
    data: Dataset
    options: Options

    @abstractmethod
    def write(self) -> None:
        """Writes the folder that diffusers and `--prior` load, from `net` as it is."""

    @abstractmethod
    def psnr(self) -> dict[float, float]:
        """How good the model in the folder is on held-out images, in dB for each noise level."""

    @abstractmethod
    def draw(self, n: int) -> Tensor:
        """`n` samples of the model in the folder, (n, c, h, w) in [−1, 1]."""

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """Rows of the model card's table, by name."""

    @abstractmethod
    def formula(self) -> str:
        """The head of the model card, above the table of PSNR."""

    def library(self) -> str:
        """The library that loads the folder, for the model card."""
        return "diffusers"

    def look(self, progress: Progress, say: Callable[[str], None]) -> None:
        """Writes the folder, loads it as a user would, and reports and records how good it is; `say` prints a line."""
        out = self.options.out
        self.write()
        record = record_of(progress, self.recipe.optimiser.batch, self.psnr())
        write_curve(out / "log.jsonl", [*read_curve(out / "log.jsonl", progress.step - 1), record])
        picture = grid(self.draw(self.recipe.watching.samples))
        atomic(out / "samples" / f"{progress.step:07d}.png", picture.save)
        atomic(out / "samples.png", picture.save)
        say(line_of(record))

    def train(self, objective: Objective, accelerator: Any, identity: dict[str, str], title: str) -> bool:
        """Trains to the limit and completes the folder. Returns False if it was interrupted.

        `identity` holds what must be the same when the run is resumed, beside the precision, the code and torch, and
        `title` names the model on its card. The folder is held by this run alone, or DataError is raised.
        """
        options = self.options
        how = {"precision": str(accelerator.mixed_precision), "torch": str(versions()["torch"])}
        identity = identity | how | {"code": CODE.fingerprint(type(self), objective, self.net)}
        main = accelerator.is_main_process
        if accelerator.num_processes == 1:
            self._check_memory()
        with alone(options.out) if main else nullcontext():
            if main:
                sweep(options.out)
            finished = self._run(objective, accelerator, identity)
            if main:
                self.card(title)
            accelerator.wait_for_everyone()
        return finished

    def _run(self, objective: Objective, accelerator: Any, identity: dict[str, str]) -> bool:
        options, batch = self.options, self.recipe.optimiser.batch
        with bar(options.limit, batch, accelerator.is_main_process and not options.quiet) as (tick, say):
            if accelerator.num_processes == 1:
                tick = paced(tick, options.limit)
            job = Job(
                self.net, objective, self.data, self.recipe.optimiser, self.recipe.watching, options.limit,
                accelerator, options.out / "checkpoint.pt", identity, lambda progress: self.look(progress, say), tick,
            )  # fmt: skip
            return run(job, options.resume)

    def _check_memory(self) -> None:
        """Raises TooMuchError if what is kept of the network alone is more than the free memory."""
        size, room = 4.0 * KEPT * parameters(self.net), free(self.net.device.type)
        if estimating() and size > room:
            refuse(
                f"training {parameters(self.net):,} parameters takes {gigabytes(size)} of memory or more, and "
                f"{gigabytes(room)} are free here; a smaller network takes less"
            )

    def card(self, title: str) -> None:
        """Writes recipe.toml and README.md."""
        out, curve, made = self.options.out, read_curve(self.options.out / "log.jsonl", 2**62), versions()
        last, text = curve[-1], self.recipe.text()
        atomic(out / "recipe.toml", lambda f: f.write_text(text, encoding="utf-8"))
        c, h, w = self.data.shape
        images = f"{len(self.data.train):,} for training, {len(self.data.held):,} held out; {c} x {h} x {w}"
        facts = {
            "images": images,
            "licence of the data": self.options.licence,
            **self.facts(),
            "network": f"{parameters(self.net):,} parameters, stored in {16 if self.options.half else 32} bits",
            "length": f"{last['step']:,} steps, {last['images']:,} images, {last['minutes']:.0f} minutes "
            f"({pace(last)} on {self.net.device.type} at the end)",
            "made with": f"xhat {made['xhat']}, torch {made['torch']}",
        }
        write_card(
            out, f"{out.resolve().name}: {title}", self.library(), facts, self.formula(), curve, self.pictures, text
        )


def paced(tick: Callable[[Progress], None], limit: Limit) -> Callable[[Progress], None]:
    """`tick`, and a look at how long the first two steps took if only their number is limited: whoever gave minutes
    knows how long it takes.
    """
    if not estimating() or limit.steps is None or limit.minutes is not None:
        return tick
    pace = Pace(limit.steps, "this training", "fewer --steps, or --minutes,", time.monotonic)

    def both(progress: Progress) -> None:
        pace(progress.step)
        tick(progress)

    return both


def accelerator_of(options: Options, mixed: bool = False) -> Any:
    """Hugging Face's Accelerator, which handles GPUs, processes and machines.

    Without a precision in `options` or from `accelerate launch`, it is bf16 or fp16 on a GPU, and bf16 on a processor
    that multiplies in it if the network is `mixed`, that is, faster so. Raises SpecError if accelerate is not installed
    or an option is wrong.
    """
    try:
        from accelerate import Accelerator  # type: ignore[import-untyped]
        from accelerate.state import AcceleratorState  # type: ignore[import-untyped]
    except ImportError as e:
        raise SpecError(f"training needs the package accelerate: {install('train')}") from e
    if options.device not in ("auto", "cpu") or options.precision not in (None, "no", "bf16", "fp16"):
        if options.device not in ("auto", "cpu"):
            raise SpecError(f"device must be auto or cpu, not {options.device!r}")
        raise SpecError(f"precision must be no, bf16 or fp16, not {options.precision!r}")
    precision, gpu = options.precision, options.device == "auto" and torch.cuda.is_available()
    if precision is None and "ACCELERATE_MIXED_PRECISION" not in os.environ:
        if gpu:
            precision = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        elif mixed and processor_has_bfloat16():
            precision = "bf16"
    AcceleratorState._reset_state()  # accelerate keeps a process's first precision; each training has its own
    return Accelerator(cpu=options.device == "cpu", mixed_precision=precision)


def check_out(options: Options) -> None:
    """Raises SpecError or DataError if the run would overwrite another one in the folder, or files of the user."""
    check_folder(options.out)
    begun = (options.out / "checkpoint.pt").exists()
    if not options.resume and begun:
        raise SpecError(f"{options.out} holds a training run; --resume goes on with it, or choose another folder")
    check_free(options.out, WRITTEN, ours=lambda: begun)


def identity(recipe: Recipe, data: Dataset, **more: str) -> dict[str, str]:
    """What must be the same when a run is resumed, as text by name."""
    parts = {k: str(v) for k, v in vars(recipe).items() if k != "watching" and v is not None}
    images = f"{len(data.train)} {digest(data.train)}, held out {digest(data.held)}"
    return {**parts, "images": images, **more}
