"""Vorticities of a forced flow on the torus, by simulation, like those of InverseBench's Navier-Stokes data."""

import numpy as np
import torch

from ...files.pictures import to_pixels
from ...rng import Rng

SCALE = 25.0  # the vorticity of x = 1: nearly all values are below it on grids of at least 32 x 32 points
SPIN_UP, APART = 4.0, 0.7  # time until the random start is forgotten, and between two moments of a flow
MOMENTS, SHIFTS, TOGETHER = 4, 8, 40  # moments per flow, pictures per moment, flows simulated at the same time
EACH = MOMENTS * SHIFTS


def generate(count: int, size: int = 64, seed: int = 0) -> np.ndarray:
    """`count` pictures (count, size, size) of uint8, where 0 to 255 mean vorticities of −25 to 25.

    Random fields of spectrum (k² + 9)^−2 and an rms of 7 are followed by `navier_stokes` with its defaults, forcing
    included. Each flow gives 32 pictures: four moments from 4 to 6.1 time units (the flow never settles, because
    without drag the forcing keeps accelerating it), each as it is and seven times shifted in ways that the forcing
    allows: by any amount along x, and by quarters along y. Flow j depends only on (seed, j).
    """
    from .operator import NavierStokes

    spin_up, on = (NavierStokes((1, size, size), time=t, subsample=1, scale=SCALE) for t in (SPIN_UP, APART))
    flows, pictures = -(-count // EACH), []
    for j in range(0, flows, TOGETHER):
        numbers = range(j, min(j + TOGETHER, flows))
        rng = Rng([int(np.random.SeedSequence((seed, k)).generate_state(1)[0]) for k in numbers])
        with torch.no_grad():
            moments = [spin_up(start(rng, size)) / SCALE]
            while len(moments) < MOMENTS:
                moments.append(on(moments[-1]) / SCALE)
        pictures.append(moved(torch.cat(moments, 1), rng))
    return np.stack([to_pixels(picture[None]) for picture in torch.cat(pictures)[:count]])


def start(rng: Rng, size: int) -> torch.Tensor:
    """The fields with which flows begin, (n, 1, size, size) in units of `SCALE`, with mean 0."""
    k = torch.fft.fftfreq(size) * size
    gain = (k[:, None].square() + k.square() + 9) ** -2
    gain[0, 0] = 0
    noise = rng.randn_like(torch.empty(len(rng.generators), 1, size, size))
    field: torch.Tensor = torch.fft.ifft2(torch.fft.fft2(noise) * gain).real
    field *= 7 / SCALE / field.std((1, 2, 3), keepdim=True)
    return field


def moved(moments: torch.Tensor, rng: Rng) -> torch.Tensor:
    """The pictures of flows (n, MOMENTS, size, size), flow by flow: (n · EACH, size, size)."""
    n, _, size, _ = moments.shape
    draws = rng.rand_like(torch.empty(n, MOMENTS, SHIFTS, 2)).tolist()
    return torch.stack(
        [
            moments[i, m].roll((int(x * size), int(y * 4) * size // 4) if k else (0, 0), (0, 1))
            for i in range(n)
            for m in range(MOMENTS)
            for k, (x, y) in enumerate(draws[i][m])
        ]
    )
