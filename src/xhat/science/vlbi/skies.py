"""Skies to test imaging on, made by other formulas than the pictures that priors are trained on (`generator`)."""

from collections.abc import Callable

import numpy as np

from .generator import Array, Rng

FIELD = 160.0  # µas that a picture is wide, which is the field of the suite
FINE = 4  # points along the side of a pixel, whose mean it holds
KINDS = ("ring", "crescent", "disc", "double", "blobs", "jet")


def generate(count: int, size: int = 64, seed: int = 0) -> Array:
    """`count` pictures (count, size, size) of uint8, in each of which the brightest pixel is 255.

    Picture i depends only on (seed, i), and is of kind i modulo 6: ring, crescent, disc, double, blobs, jet. Lengths
    are in µas of a field of 160, and brightness is linear in flux.
    """
    kinds: list[Callable[[Rng, Array, Array], Array]] = [ring, crescent, disc, double, blobs, jet]
    out = np.empty((count, size, size), dtype=np.uint8)
    line = ((np.arange(FINE * size) + 0.5) / (FINE * size) - 0.5) * FIELD
    y, x = np.meshgrid(line, line, indexing="ij")
    for i in range(count):
        rng = np.random.default_rng(np.random.SeedSequence((seed, i)))
        picture = kinds[i % len(kinds)](rng, x - rng.uniform(-5, 5), y - rng.uniform(-5, 5))
        picture = picture.reshape(size, FINE, size, FINE).mean((1, 3))
        out[i] = np.round(255 * picture / picture.max())
    return out


def ring(rng: Rng, x: Array, y: Array) -> Array:
    """An evenly filled annulus whose brightness changes evenly across it."""
    outer, thick, turn = rng.uniform(20, 30), rng.uniform(5, 12), rng.uniform(0, 2 * np.pi)
    r, across = np.hypot(x, y), x * np.cos(turn) + y * np.sin(turn)
    shade = 1 + rng.uniform(0.2, 0.8) * across / outer
    found: Array = np.where((r < outer) & (r > outer - thick), shade, 0.0)
    return found


def crescent(rng: Rng, x: Array, y: Array) -> Array:
    """A disc without a smaller one that touches its edge or nearly so (Kamruddin & Dexter, 2013,
    doi 10.1093/mnras/stt1068).
    """
    outer, turn = rng.uniform(20, 30), rng.uniform(0, 2 * np.pi)
    inner = outer * rng.uniform(0.55, 0.75)
    off = (outer - inner) * rng.uniform(0.6, 1.0)
    hole = np.hypot(x - off * np.cos(turn), y - off * np.sin(turn)) < inner
    found: Array = ((np.hypot(x, y) < outer) & ~hole).astype(float)
    return found


def disc(rng: Rng, x: Array, y: Array) -> Array:
    """An even disc, as the EHT's own test of what is no ring."""
    found: Array = (np.hypot(x, y) < rng.uniform(18, 35)).astype(float)
    return found


def double(rng: Rng, x: Array, y: Array) -> Array:
    """Two round Gaussians of 20 to 30 µas in width and 30 to 55 µas apart."""
    gap, turn, share = rng.uniform(30, 55), rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1.0)
    dx, dy = gap / 2 * np.cos(turn), gap / 2 * np.sin(turn)
    return spot(x - dx, y - dy, rng.uniform(20, 30)) + share * spot(x + dx, y + dy, rng.uniform(20, 30))


def blobs(rng: Rng, x: Array, y: Array) -> Array:
    """Four to seven round Gaussians of 10 to 25 µas."""
    picture = np.zeros_like(x)
    for _ in range(rng.integers(4, 8)):
        cx, cy = rng.uniform(-28, 28, size=2)
        picture += rng.uniform(0.3, 1) * spot(x - cx, y - cy, rng.uniform(10, 25))
    return picture


def jet(rng: Rng, x: Array, y: Array) -> Array:
    """A bright core and knots that grow and fade along a bent line."""
    turn, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.02, 0.02)
    along, beside = x * np.cos(turn) + y * np.sin(turn) + 20, y * np.cos(turn) - x * np.sin(turn)
    picture = spot(along, beside, 14.0)
    for k in range(1, rng.integers(3, 6)):
        place = 13.0 * k
        picture += rng.uniform(0.3, 0.8) * 0.8**k * spot(along - place, beside - bend * place**2 / 2, 12 + 3.0 * k)
    return picture


def spot(x: Array, y: Array, fwhm: float) -> Array:
    """A round Gaussian of full width at half maximum `fwhm` about 0, 1 at its peak."""
    found: Array = np.exp(-4 * np.log(2) * (x**2 + y**2) / fwhm**2)
    return found
