"""Images that a prior draws by itself, to look at."""

from itertools import pairwise

import torch
from PIL import Image
from torch import Tensor

from ..files.pictures import to_pixels
from ..priors.base import Prior
from ..rng import Rng
from ..schedule import Schedule


@torch.no_grad()
def heun(prior: Prior, noise: Tensor, schedule: Schedule, steps: int) -> Tensor:
    """Integrates the probability-flow ODE from unit noise (b, *image) down to the clean level by Heun's method.

    Karras et al., 2022, algorithm 1, without churn; `steps` levels of `schedule`.
    """
    levels = schedule.levels(steps)
    x = levels[0].sigma * noise
    for t, s in pairwise(levels):
        slope = (x - prior(x, t)) / t.sigma
        euler = x + (s.sigma - t.sigma) * slope
        if s.sigma > 0:
            slope = (slope + (euler - prior(euler, s)) / s.sigma) / 2
        x = x + (s.sigma - t.sigma) * slope
    return x


def draw(prior: Prior, shape: tuple[int, ...], n: int, steps: int, seed: int = 0) -> Tensor:
    """`n` samples (n, *shape) on the prior's own noise levels; sample i depends only on `seed` + i."""
    device = next(prior.parameters()).device
    noise = Rng(range(seed, seed + n)).randn_like(torch.empty(n, *shape, device=device))
    return heun(prior, noise, prior.schedule, steps)


def grid(images: Tensor, gap: int = 2, zoom: int = 2) -> Image.Image:
    """Images (n, c, h, w) in [−1, 1] as one picture, about as wide as high.

    `gap` is the white space between them in pixels; the whole is then enlarged `zoom` times.
    """
    n, c, h, w = images.shape
    columns = max(1, round(n**0.5))
    rows = -(-n // columns)
    sheet = Image.new("RGB", (columns * (w + gap) - gap, rows * (h + gap) - gap), "white")
    for i, x in enumerate(images):
        sheet.paste(Image.fromarray(to_pixels(x)), (i % columns * (w + gap), i // columns * (h + gap)))
    return sheet.resize((sheet.width * zoom, sheet.height * zoom), Image.Resampling.NEAREST)
