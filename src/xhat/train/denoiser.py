"""`xhat train denoiser`: from images to a folder that diffusers and `--prior` load."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoint import digest
from ..data import atomic
from ..errors import SpecError
from ..priors import DiffusersPrior
from ..priors.calibrate import measure, spaced
from ..priors.precondition import Karras
from ..priors.unet import in_blocks
from ..record import versions
from ..rng import Rng
from . import edm
from .dataset import Dataset, load
from .loop import Job, Limit, Progress, run
from .network import block_of, build_network, continue_from, parameters, write_denoiser
from .recipe import Recipe, with_sigma_data
from .report import bar, line_of, read_curve, record_of, write_card, write_curve
from .sample import draw, grid

FORMULA = """A `diffusers.UNet2DModel` (folder `unet`) with an `EDMEulerScheduler` config (folder `scheduler`), trained
by `xhat train denoiser`; `xhat restore --prior FOLDER` takes it.

    D(x, s) = c_skip x + c_out net(c_in x, ln(s) / 4),   x = x0 + s n in [-1, 1] units
    c_skip = d^2 / (s^2 + d^2),   c_out = s d / sqrt(s^2 + d^2),   c_in = 1 / sqrt(s^2 + d^2),   d = {sigma_data}"""


@dataclass(frozen=True)
class Options:
    """How a run is carried out, none of which the recipe says."""

    out: Path
    limit: Limit
    resume: bool = False
    half: bool = False  # weights in 16-bit floats
    device: str = "auto"  # auto or cpu
    precision: str | None = None  # no, bf16, fp16; None: as `accelerate launch` says, else bf16 or fp16 on a GPU
    licence: str = "not stated"  # of the data, for the model card
    quiet: bool = False


@dataclass(frozen=True)
class EDMLoss:
    """`edm.loss` at random levels."""

    recipe: Recipe

    def __call__(self, net: nn.Module, x0: Tensor, rng: Rng, done: float) -> Tensor:
        sigma = edm.draw_sigma(rng, len(x0), self.recipe.diffusion).to(x0.device)
        block = block_of(self.recipe)
        karras = Karras("epsilon", self.recipe.diffusion.sigma_data)
        return edm.loss(on_blocks(net, block), x0, sigma, rng.randn_like(x0), karras)


def on_blocks(net: nn.Module, block: int) -> edm.Network:
    """The network as the loss calls it."""

    def run(z: Tensor, when: Tensor) -> Tensor:
        out: Tensor = net(z, when, return_dict=False)[0]
        return out

    return lambda x, when: in_blocks(run, x, when, block, torch.float32)


def train_denoiser(data: str | Path, recipe: Recipe, options: Options, init: str | Path | None = None) -> bool:
    """Trains on the images at `data` from scratch, or on from the folder `init`; whether it came to its limit."""
    accelerator = accelerator_of(options)
    check_out(options)
    dataset = load(data, recipe.data)
    if init is not None:
        net, recipe = continue_from(init, recipe, dataset.shape)
    else:
        recipe = with_sigma_data(recipe, dataset.std())
        net = build_network(recipe, dataset.shape)
    with bar(options.limit, recipe.optimiser.batch, accelerator.is_main_process and not options.quiet) as (tick, say):
        look = Look(net, recipe, dataset, options, say)
        job = Job(
            net, EDMLoss(recipe), dataset, recipe.optimiser, recipe.watching, options.limit, accelerator,
            options.out / "checkpoint.pt", identity(recipe, dataset), look, tick,
        )  # fmt: skip
        finished = run(job, options.resume)
    if accelerator.is_main_process:
        facts = {**data_facts(data, dataset, options), "start": "new weights" if init is None else Path(init).name}
        finish(net, recipe, dataset, options, look.curve, facts)
    return finished


class Look:
    """Writes the folder, loads it as a user would, denoises held-out images and draws samples."""

    def __init__(self, net: Any, recipe: Recipe, dataset: Dataset, options: Options, say: Any) -> None:
        self.net, self.recipe, self.dataset, self.options, self.say = net, recipe, dataset, options, say
        self.curve: list[dict[str, Any]] = []

    def __call__(self, progress: Progress) -> None:
        out, w = self.options.out, self.recipe.watching
        write_denoiser(out, self.net, self.recipe, self.dataset.shape, self.options.half)
        prior = DiffusersPrior(out).to(self.net.device)
        held = self.dataset.validation(w.validation).to(self.net.device)
        found = measure(prior, held, w.sigmas)
        psnr = {s: 10 * math.log10(4 / e) for s, e in zip(found.sigma, found.mse, strict=True)}
        record = record_of(progress, self.recipe.optimiser.batch, psnr)
        self.curve = [*read_curve(out / "log.jsonl", progress.step - 1), record]
        write_curve(out / "log.jsonl", self.curve)
        picture = grid(draw(prior, self.dataset.shape, w.samples, w.sampling_steps))
        atomic(out / "samples" / f"{progress.step:07d}.png", picture.save)
        atomic(out / "samples.png", picture.save)
        self.say(line_of(record))


def accelerator_of(options: Options) -> Any:
    """Hugging Face's Accelerator, which knows of GPUs, processes and machines."""
    try:
        from accelerate import Accelerator  # type: ignore[import-untyped]
    except ImportError as e:
        raise SpecError("training needs the package accelerate: pip install 'xhat[train]'") from e
    if options.device not in ("auto", "cpu") or options.precision not in (None, "no", "bf16", "fp16"):
        raise SpecError("device must be auto or cpu, precision no, bf16 or fp16")
    precision = options.precision
    if precision is None and "ACCELERATE_MIXED_PRECISION" not in os.environ and options.device == "auto":
        precision = ("bf16" if torch.cuda.is_bf16_supported() else "fp16") if torch.cuda.is_available() else None
    return Accelerator(cpu=options.device == "cpu", mixed_precision=precision)


def check_out(options: Options) -> None:
    """Hours of work are not overwritten by a second run."""
    if options.out.exists() and not options.out.is_dir():
        raise SpecError(f"{options.out}: is a file, not a folder")
    if not options.resume and (options.out / "checkpoint.pt").exists():
        raise SpecError(f"{options.out} holds a training run; --resume goes on with it, or choose another folder")


def identity(recipe: Recipe, dataset: Dataset) -> dict[str, str]:
    """What must be the same when a run is resumed."""
    parts = {k: str(v) for k, v in vars(recipe).items() if k != "watching"}
    return {**parts, "images": f"{len(dataset.train)}, held out {digest(dataset.held)}"}


def data_facts(data: str | Path, dataset: Dataset, options: Options) -> dict[str, str]:
    c, h, w = dataset.shape
    counts = f"{len(dataset.train):,} for training, {len(dataset.held):,} held out"
    return {"data": f"`{Path(data).name}`: {counts}; {c} x {h} x {w}", "licence of the data": options.licence}


def finish(
    net: Any, recipe: Recipe, dataset: Dataset, options: Options, curve: list[dict[str, Any]], facts: dict[str, str]
) -> None:
    """Calibration table, recipe and model card; of an interrupted run, too."""
    out, last = options.out, (curve or read_curve(options.out / "log.jsonl", 2**62))[-1]
    prior = DiffusersPrior(out).to(net.device)
    measure(prior, dataset.validation(recipe.watching.validation).to(net.device), spaced()).write(
        out / "calibration.json"
    )
    atomic(out / "recipe.toml", lambda f: f.write_text(recipe.text(), encoding="utf-8"))
    made = versions()
    facts = {
        **facts,
        "network": f"{parameters(net):,} parameters, stored in {16 if options.half else 32} bits",
        "loss": "EDM (Karras et al., 2022, arXiv:2206.00364), power-function average of the weights",
        "length": f"{last['step']:,} steps, {last['images']:,} images, {last['minutes']:.0f} minutes "
        f"({last['images_per_second']:.0f} images/s on {net.device.type} at the end)",
        "made with": f"xhat {made['xhat']}, torch {made['torch']}",
    }
    formula = FORMULA.format(sigma_data=recipe.diffusion.sigma_data)
    write_card(
        out,
        f"{out.resolve().name}: a diffusion prior",
        facts,
        formula,
        read_curve(out / "log.jsonl", 2**62),
        recipe.text(),
    )
