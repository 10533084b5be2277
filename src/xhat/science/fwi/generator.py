"""Synthetic velocities of the ground: layers with curved borders and faults, like those of OpenFWI's CurveFault."""

import numpy as np

Array = np.ndarray
Rng = np.random.Generator


def generate(count: int, size: int = 64, seed: int = 0) -> Array:
    """`count` pictures (count, size, size) of uint8, where 0 to 255 mean 1.5 to 4.5 km/s.

    Picture i depends only on (seed, i). Rows run along x and columns along depth, as full waveform inversion has them.
    There are three to nine layers between parallel curved borders, most of them faster than the layer above; up to
    three faults; and in half of the pictures a fast lens, as salt is.
    """
    out = np.empty((count, size, size), dtype=np.uint8)
    for i in range(count):
        rng = np.random.default_rng(np.random.SeedSequence((seed, i)))
        out[i] = np.round(255 * ground(rng, size))
    return out


def ground(rng: Rng, size: int) -> Array:
    """Velocities as fractions of the range, (size, size)."""
    grid = (np.arange(size) + 0.5) / size
    x, z = np.meshgrid(grid, grid, indexing="ij")
    depth = z + borders(rng, x)
    for _ in range(rng.integers(0, 4)):
        depth = depth + rng.uniform(-0.12, 0.12) * (x + rng.normal() * 0.4 * (z - 0.5) > rng.uniform(0, 1))
    layers = rng.integers(3, 10)
    tops = np.sort(rng.uniform(0, 1, layers - 1))
    speeds = np.sort(rng.uniform(0, 1, layers))
    swapped = rng.random(layers - 1) < 0.2  # a slow layer under a fast one
    for k in np.flatnonzero(swapped):
        speeds[[k, k + 1]] = speeds[[k + 1, k]]
    v = speeds[np.searchsorted(tops, depth)] + rng.uniform(0, 0.2) * (z - 0.5)
    if rng.random() < 0.5:
        v = np.where(lens(rng, x, z), rng.uniform(0.7, 1), v)
    found: Array = np.clip(v, 0, 1)
    return found


def borders(rng: Rng, x: Array) -> Array:
    """How far the layers are raised at `x`, in fractions of the depth: a slope and a few waves."""
    waves = [rng.normal() * 0.05 / k * np.sin(2 * np.pi * (k * x + rng.uniform())) for k in (0.5, 1.0, 2.0)]
    found: Array = rng.normal() * 0.1 * (x - 0.5) + sum(waves)
    return found


def lens(rng: Rng, x: Array, z: Array) -> Array:
    """True inside a body with a wavy outline."""
    cx, cz = rng.uniform(0.2, 0.8), rng.uniform(0.3, 0.9)
    a, b = rng.uniform(0.08, 0.3), rng.uniform(0.05, 0.2)
    phi = np.arctan2((z - cz) / b, (x - cx) / a)
    wavy = 1 + 0.2 * rng.normal() * np.cos(2 * phi + rng.uniform(0, 6.3)) + 0.1 * rng.normal() * np.cos(3 * phi)
    found: Array = np.hypot((x - cx) / a, (z - cz) / b) < wavy
    return found
