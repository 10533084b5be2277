"""Vorticities of a forced flow on the torus, by simulation: what InverseBench's Navier-Stokes data are."""

import numpy as np
import torch

from ...files.pictures import to_pixels
from ...rng import Rng

SCALE = 25.0  # the vorticity of x = 1: nearly all stay inside, from 32 x 32 points on
SPIN_UP, APART = 4.0, 0.7  # time until the random start is forgotten, and from one moment of a flow to its next
MOMENTS, SHIFTS, TOGETHER = 4, 8, 40  # moments of a flow, pictures of a moment, flows at a time
EACH = MOMENTS * SHIFTS


def generate(count: int, size: int = 64, seed: int = 0) -> np.ndarray:
    """`count` pictures (count, size, size) of uint8, 0 to 255 for vorticities of −25 to 25.

    Random fields of spectrum (k² + 9)^−2 and an rms of 7, followed by `navier_stokes` with its defaults, forcing
    included. Each flow gives 32 pictures: four moments from 4 to 6.1 time units on (without drag the forcing speeds it
    up for ever), each as it is and seven times moved by what the forcing allows: any way along x, quarters along y.
    Flow j depends on (seed, j).
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
    """The fields that flows begin with, (n, 1, size, size) in units of `SCALE`, without a mean."""
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
