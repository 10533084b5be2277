"""`xhat train consistency`: from a trained denoiser to a folder that `--prior` loads."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import MismatchError, SpecError
from ..files.inside import bounds
from ..metrics.pixels import decibels
from ..priors import ConsistencyFolder, ConsistencyPrior, FlowPrior
from ..priors.base import FixedShape
from ..priors.diffusers_folder import existing
from ..priors.pixel import PixelPrior
from ..priors.precondition import Karras
from ..rng import Rng
from ..schedule import Level
from ..task.checkpoint import digest
from ..types import Image
from . import edm
from .consistency import Denoise, Distillation, Tuning
from .dataset import Dataset, load, split
from .families import FAMILIES, family_of, kind_in
from .family import Shape
from .images import eight_bit
from .loop import Objective
from .recipe import Consistency, DataOptions, Recipe
from .sample import draw
from .session import Options, Session, accelerator_of, check_out, identity

FORMULA = """{head}

    f(x, s) = c_skip x + c_out net(c_in x, {pace} ln s),   x = x0 + s n in [-1, 1] units, e = {sigma_min}
    c_skip = d^2 / ((s - e)^2 + d^2),   c_out = (s - e) d / sqrt(s^2 + d^2),   c_in = 1 / sqrt(s^2 + d^2),
    d = {sigma_data}

f jumps to the end of the probability flow. PSNR in dB of the mean squared difference to where {steps} Heun steps of
the denoiser `{teacher}` end, from held-out images with noise of level s:"""
FLOW_STEPS = 8  # Heun steps to the end of the teacher's flow, with which the model's jumps are compared


class Fixed(FixedShape):
    """A denoiser as a prior for images of one `shape`."""

    def __init__(self, base: PixelPrior, shape: Shape) -> None:
        super().__init__()
        self.base, self.shape, self.schedule = base, shape, base.schedule

    def forward(self, x: Image, t: Level) -> Image:
        return self.base.forward(x, t)


@dataclass
class ConsistencySession(Session):
    """A consistency model in training from the denoiser `teacher` in the folder `source`."""

    teacher: PixelPrior
    source: Path
    name: str = ""  # the data set's name, for the model card
    ends: dict[float, tuple[Tensor, Tensor]] = field(default_factory=dict)  # (u, end of the teacher's flow)
    prior: ConsistencyPrior = field(init=False)

    def write(self) -> None:
        o = self.options
        beside = os.path.relpath(self.source.resolve(), o.out.resolve())
        family_of(self.recipe).write_consistency(o.out, self.net, self.recipe, self.data.shape, beside, o.half)
        self.prior = ConsistencyFolder(o.out).to(self.net.device)

    @torch.no_grad()
    def psnr(self) -> dict[float, float]:
        d = self.recipe.diffusion
        if not self.ends:
            flow = FlowPrior(Fixed(self.teacher, self.data.shape), FLOW_STEPS, d.sigma_min, d.sigma_max)
            x0 = self.data.validation(16).to(self.net.device)
            for sigma in sorted({*(s for s in self.recipe.watching.sigmas if s < d.sigma_max), d.sigma_max}):
                u = x0 + sigma * Rng(range(len(x0))).randn_like(x0)
                self.ends[sigma] = u, flow.jump(u, Level(0.0, 1.0, sigma))
        found = {}
        for sigma, (u, end) in self.ends.items():
            mse = float((self.prior.jump(u, Level(0.0, 1.0, sigma)) - end).square().mean())
            found[sigma] = decibels(mse)
        return found

    @torch.no_grad()
    def draw(self, n: int) -> Tensor:
        """`n` samples: the upper half in one step, the lower half in two, from the same noise."""
        d = self.recipe.diffusion
        rng = Rng(range(max(1, n // 2)))
        top = d.sigma_max * rng.randn_like(torch.empty(max(1, n // 2), *self.data.shape, device=self.net.device))
        one = self.prior.jump(top, Level(0.0, 1.0, d.sigma_max))
        again = one + self.recipe.consistency_options.second * rng.randn_like(one)
        return torch.cat([one, self.prior.jump(again, Level(0.0, 1.0, self.recipe.consistency_options.second))])

    def library(self) -> str:
        return family_of(self.recipe).library

    def facts(self) -> dict[str, str]:
        how = {
            "ect": "easy consistency tuning (Geng et al., 2024, arXiv:2406.14548)",
            "cd": "consistency distillation (Song et al., 2023, arXiv:2303.01469)",
        }
        return {
            "data": f"`{self.name}`" if self.name else "samples of the denoiser",
            "start": f"`{self.source.name}`",
            "method": how[self.recipe.consistency_options.method] + ", power-function average of the weights",
            "samples shown": "upper half one step, lower half two steps from the same noise",
        }

    def formula(self) -> str:
        d, family = self.recipe.diffusion, family_of(self.recipe)
        return FORMULA.format(
            head=family.jumps.format(teacher=self.source.name),
            pace=f"{family.pace:g}",
            teacher=self.source.name,
            sigma_min=d.sigma_min,
            sigma_data=d.sigma_data,
            steps=FLOW_STEPS,
        )


def train_consistency(source: str | Path, recipe: Recipe, options: Options, data: str | Path | None = None) -> bool:
    """Trains from the denoiser in the folder `source`. Returns False if it was interrupted.

    It trains on the images at `data` or, without them, on samples of the denoiser. Raises SpecError or MismatchError if
    the denoiser is not EDM's or does not fit.
    """
    root = existing(source)
    family = FAMILIES[kind_in(root)]
    accelerator = accelerator_of(options)  # float32 unless asked: see docs/training.md
    check_out(options)
    check_beside(root, options.out)
    teacher = family.load(root, "float32").to(accelerator.device)
    if not isinstance(teacher.precondition, Karras) or teacher.precondition.prediction != "epsilon":
        raise SpecError(f"{root}: a consistency model is trained from an EDM denoiser (EDMEulerScheduler, epsilon)")
    o = recipe.consistency_options
    dataset = load(data, recipe.data) if data is not None else drawn(teacher, o, recipe)
    net, recipe = family.start(root, replace(recipe, consistency=o), dataset.shape)
    teacher.check(dataset.shape)
    net = family.retimed(net, recipe.diffusion).to(accelerator.device)
    if options.compile:
        net.compile(dynamic=False)
    session = ConsistencySession(net, recipe, dataset, options, teacher, root, "" if data is None else Path(data).name)
    same = identity(recipe, dataset, teacher=digest(teacher.net.parameters()))
    return session.train(objective(recipe, o, teacher, net), accelerator, same, "a consistency model")


def check_beside(source: Path, out: Path) -> None:
    """Raises SpecError unless the denoiser's folder `source` lies beside the folder `out`, or in it.

    The model names it, and no folder leads farther away.
    """
    if not source.resolve().is_relative_to(bounds(out.resolve().parent)):
        raise SpecError(
            f"a consistency model and its denoiser stay together: choose --out {source.parent / out.name}, or copy "
            f"{source} to {out.parent / source.name} first"
        )


def objective(recipe: Recipe, o: Consistency, teacher: PixelPrior, net: Any) -> Objective:
    """The objective that the method `o.method` minimises."""
    return Tuning(recipe, o) if o.method == "ect" else Distillation(recipe, o, denoise_with(teacher, recipe), net)


def denoise_with(teacher: PixelPrior, recipe: Recipe) -> Denoise:
    """The teacher as a function (u, σ (b,)) ↦ x̂₀, with a noise level for each image."""
    network = family_of(recipe).caller(teacher.net, recipe)
    return lambda u, sigma: edm.preconditioned(network, u, sigma, teacher.precondition)


def drawn(teacher: PixelPrior, o: Consistency, recipe: Recipe) -> Dataset:
    """A data set of the denoiser's own samples. Raises MismatchError if the denoiser has no fixed image size."""
    sides = teacher.size
    if sides is None:
        raise MismatchError("this denoiser takes images of any size; give DATA to train on")
    shape = (teacher.channels, int(sides[0]), int(sides[1]))
    images = [
        eight_bit(x.cpu())
        for first in range(0, o.drawn, 64)
        for x in draw(teacher, shape, min(64, o.drawn - first), recipe.watching.sampling_steps, first)
    ]
    options = DataOptions(flip=recipe.data.flip, validation=min(recipe.data.validation, max(1, o.drawn // 8)))
    held, train = split(images, options.validation)
    return Dataset(train, held, shape, options)
