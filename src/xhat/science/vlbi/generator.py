"""Synthetic pictures of black holes and of what could be mistaken for one, to train priors on; they need no data."""

from collections.abc import Callable

import numpy as np

Array = np.ndarray
Rng = np.random.Generator


def generate(count: int, size: int = 64, seed: int = 0) -> Array:
    """`count` pictures (count, size, size) of uint8, in each of which the brightest pixel is 255.

    Picture i depends only on (seed, i). 35 % are rings and crescents, 35 % look like frames of relativistic plasma
    simulations, 10 % are discs, and 20 % groups of elliptical blobs, each with a random place, orientation, size and
    sharpness. Brightness is linear in flux. A prior trained on them knows rings, but not only rings.
    """
    kinds: list[Callable[[Rng, Array, Array], Array]] = [crescent, plasma, disc, blobs]
    out = np.empty((count, size, size), dtype=np.uint8)
    for i in range(count):
        rng = np.random.default_rng(np.random.SeedSequence((seed, i)))
        kind = kinds[rng.choice(4, p=[0.35, 0.35, 0.1, 0.2])]
        east, north = place(rng, size)
        picture = window(size) * blur(kind(rng, east, north), rng.uniform(0.0, 0.035) * size)
        out[i] = np.round(255 * picture / picture.max())
    return out


def place(rng: Rng, size: int) -> tuple[Array, Array]:
    """The coordinates of the pixels about a random centre, slightly sheared, two (size, size) arrays; the picture is 1
    wide.
    """
    grid = (np.arange(size) + 0.5) / size - 0.5
    y, x = np.meshgrid(grid, grid, indexing="ij")
    x, y = x - 0.06 * rng.normal(), y - 0.06 * rng.normal()
    angle, stretch = rng.uniform(0, np.pi), np.exp(0.06 * rng.normal())
    c, s = np.cos(angle), np.sin(angle)
    a, b = (c * x + s * y) * stretch, (c * y - s * x) / stretch
    return c * a - s * b, s * a + c * b


def window(size: int) -> Array:
    """1 inside and falling to 0 at the border, (size, size), so that the field holds the whole source."""
    edge = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5) / size
    one: Array = np.clip((edge - 0.01) / 0.1, 0, 1)
    one = one**2 * (3 - 2 * one)
    both: Array = np.outer(one, one)
    return both


def crescent(rng: Rng, x: Array, y: Array) -> Array:
    """A Gaussian ring, brighter on one side, in some pictures with a hot spot or a halo."""
    r, phi = np.hypot(x, y), np.arctan2(y, x)
    radius, width = rng.uniform(0.09, 0.27), np.exp(rng.uniform(np.log(0.015), np.log(0.09)))
    side = rng.uniform(0, 2 * np.pi)
    bright = 1 + rng.uniform(0, 1) * np.cos(phi - side) + 0.3 * rng.normal() * np.cos(2 * phi - rng.uniform(0, 6.3))
    ring = np.exp(-((r - radius) ** 2) / (2 * width**2)) * np.maximum(bright, 0.02)
    if rng.random() < 0.4:
        spot, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.07)
        at = (x - radius * np.cos(spot)) ** 2 + (y - radius * np.sin(spot)) ** 2
        ring += rng.uniform(0.2, 1.5) * np.exp(-at / (2 * length**2))
    if rng.random() < 0.5:
        ring += rng.uniform(0, 0.3) * np.exp(-(r**2) / (2 * rng.uniform(0.1, 0.3) ** 2))
    found: Array = ring
    return found


def plasma(rng: Rng, x: Array, y: Array) -> Array:
    """A sharp photon ring in a turbulent, beamed flow around a shadow."""
    r, phi = np.hypot(x, y), np.arctan2(y, x)
    shadow, side = rng.uniform(0.09, 0.25), rng.uniform(0, 2 * np.pi)
    speed, tilt = rng.uniform(0.2, 0.75), rng.uniform(0.2, 1.0)
    beaming = ((1 - speed * tilt) / (1 - speed * tilt * np.cos(phi - side))) ** rng.uniform(2, 3.5)
    beaming /= beaming.max()
    twist = phi + rng.uniform(-1, 1) * 4 * np.log(r / shadow + 0.3)
    flow = np.exp(rng.uniform(0.3, 0.9) * turbulence(rng, np.log(r / shadow + 0.2), twist))
    profile = np.where(r > shadow, (r / shadow) ** -rng.uniform(1.5, 5.0), np.exp((r - shadow) / (0.12 * shadow)))
    photon = np.exp(-((r - shadow * 1.02) ** 2) / (2 * rng.uniform(0.008, 0.02) ** 2))
    picture: Array = (profile * flow + rng.uniform(0, 2) * photon * np.sqrt(flow)) * beaming
    if rng.random() < 0.3:  # emission in front of the shadow, from the foot of a jet
        picture += rng.uniform(0.1, 0.6) * np.exp(-(r**2) / (2 * (rng.uniform(0.2, 0.6) * shadow) ** 2))
    return picture


def turbulence(rng: Rng, a: Array, phi: Array) -> Array:
    """A random field of unit variance, periodic in `phi`, whose power falls with the wave number."""
    out = np.zeros_like(a)
    total = 0.0
    for m in range(0, 7):
        for k in range(0, 5):
            power = (1 + m**2 + k**2) ** -1.2
            wave = m * phi + 2.0 * k * a * rng.choice([-1, 1]) + rng.uniform(0, 2 * np.pi)
            out += np.sqrt(power) * rng.normal() * np.cos(wave)
            total += power / 2
    field: Array = out / np.sqrt(total)
    return field


def disc(rng: Rng, x: Array, y: Array) -> Array:
    """A disc with a soft edge and a gradient."""
    r, phi = np.hypot(x, y), np.arctan2(y, x)
    radius, edge = rng.uniform(0.08, 0.28), rng.uniform(0.01, 0.06)
    slope = 1 + rng.uniform(0, 0.9) * r / radius * np.cos(phi - rng.uniform(0, 2 * np.pi))
    picture: Array = np.maximum(slope, 0) / (1 + np.exp(np.clip((r - radius) / edge, -50, 50)))
    return picture


def blobs(rng: Rng, x: Array, y: Array) -> Array:
    """One to six elliptical Gaussians."""
    picture = np.zeros_like(x)
    for _ in range(rng.integers(1, 7)):
        cx, cy = 0.12 * rng.normal(size=2)
        long, short = np.exp(rng.uniform(np.log(0.02), np.log(0.12), size=2))
        c, s = np.cos(turn := rng.uniform(0, np.pi)), np.sin(turn)
        a, b = c * (x - cx) + s * (y - cy), c * (y - cy) - s * (x - cx)
        picture += rng.uniform(0.2, 1) * np.exp(-(a**2) / (2 * long**2) - b**2 / (2 * short**2))
    return picture


def blur(picture: Array, fwhm: float) -> Array:
    """The picture convolved with a round Gaussian of `fwhm` pixels."""
    sigma = fwhm / np.sqrt(8 * np.log(2))
    f = np.fft.fftfreq(len(picture))
    gain = np.exp(-2 * (np.pi * sigma * f) ** 2)
    out: Array = np.maximum(np.fft.ifft2(np.fft.fft2(picture) * gain[:, None] * gain).real, 0)
    return out
