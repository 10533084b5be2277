"""Vorticities of a forced flow on the torus, by simulation: what InverseBench's Navier-Stokes data are."""

import numpy as np
import torch

from ..rng import Rng

SCALE = 25.0  # the vorticity of x = 1: those of this flow stay inside, from 32 x 32 points on
SPIN_UP, APART = 4.0, 0.7  # time until the random start is forgotten, and from one picture of a flow to its next
EACH, TOGETHER = 4, 40  # pictures of a flow, flows at a time


def generate(count: int, size: int = 64, seed: int = 0) -> np.ndarray:
    """`count` pictures (count, size, size) of uint8, 0 to 255 for vorticities of −25 to 25.

    Random fields of spectrum (k² + 9)^−2 and an rms of 7, followed by `navier_stokes` with its defaults, forcing
    included, at a Courant number of 1.5, which is 0.3 % off. Pictures 4 j to 4 j + 3 are those of one flow, after 4 to
    6.1 time units, since without drag the forcing speeds it up for ever; flow j depends on (seed, j).
    """
    from ..operators import NavierStokes

    spin_up, on = (
        NavierStokes((1, size, size), time=t, subsample=1, scale=SCALE, courant=1.5) for t in (SPIN_UP, APART)
    )
    flows, pictures = -(-count // EACH), []
    for j in range(0, flows, TOGETHER):
        rng = Rng([int(np.random.SeedSequence((seed, k)).generate_state(1)[0]) for k in range(j, min(j + TOGETHER, flows))])
        with torch.no_grad():
            moments = [spin_up(start(rng, size)) / SCALE]
            while len(moments) < EACH:
                moments.append(on(moments[-1]) / SCALE)
        pictures.append(torch.cat(moments, 1).flatten(0, 1))
    x: np.ndarray = ((torch.cat(pictures)[:count] + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    return x


def start(rng: Rng, size: int) -> torch.Tensor:
    """The fields that flows begin with, (n, 1, size, size) in units of `SCALE`, without a mean."""
    k = torch.fft.fftfreq(size) * size
    gain = (k[:, None].square() + k.square() + 9) ** -2
    gain[0, 0] = 0
    noise = rng.randn_like(torch.empty(len(rng.generators), 1, size, size))
    field = torch.fft.ifft2(torch.fft.fft2(noise) * gain).real
    return field / field.std((1, 2, 3), keepdim=True) * (7 / SCALE)
