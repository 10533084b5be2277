"""What to try the laws of operators on: every registered operator, and options beside the defaults."""

import numpy as np
import pytest
import torch

from xhat.operators import OPERATORS
from xhat.science.vlbi.observation import Observation

SHAPE, BATCH = (3, 8, 16), 3
G = torch.Generator().manual_seed(0)
KERNEL = torch.rand(5, 4, generator=G, dtype=torch.float64)  # even sides on purpose
KERNELS = torch.rand(BATCH, 5, 5, generator=G, dtype=torch.float64)
ONE_RANK = torch.outer(torch.tensor([1.0, 2, 1]), torch.tensor([1.0, 5, 0, 2, 1]))
PSF = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)  # an even side on purpose
MASK = np.arange(8 * 16).reshape(8, 16) % 3 > 0


def sky():
    """What three telescopes see of something, twice."""
    uv = torch.randn(2, 6, generator=G, dtype=torch.float64).numpy() * 3e9
    ends = np.array([0, 0, 1] * 2), np.array([1, 2, 2] * 2)
    ones, names = np.ones(6), tuple("ABC")
    return Observation(uv[0], uv[1], ones + 0j, ones, np.repeat([0.0, 1.0], 3), *ends, names)


# what to try beside the defaults; operators that are not named here are tried as they are
OPTIONS = {
    "blur": [
        {"kernel": KERNEL},
        {"kernel": KERNELS},
        {"kernel": ONE_RANK},
        {"kernel": KERNELS, "boundary": "circular"},
    ],
    "blind_blur": [{"size": 5, "std": 1.0}],
    "motion_blur": [
        {"size": 9},
        {"size": 9, "seed": [4, 5, 6]},
        {"size": 7, "seed": [4, 5, 6], "boundary": "circular"},
    ],
    "nonlinear_blur": [{"size": 9}, {"size": 9, "seed": [4, 5, 6]}, {"kernel": "gaussian", "std": 1.0, "gain": 1.5}],
    "gaussian_blur": [{"std": 1.5}, {"std": 0.7, "boundary": "circular"}],
    "super_resolution": [{}, {"kind": "average"}, {"factor": 3}],
    "inpaint": [{}, {"seed": [4, 5, 6]}, {"mask": "box", "seed": [4, 5, 6]}, {"mask": MASK}],
    "colorize": [{}, {"kind": "luma"}],
    "compressed_sensing": [{}, {"kind": "fourier"}],
    "jpeg": [
        {},
        {"quality": [5, 50, 90]},
        {"quality": [5, 50, 90], "codec": "simplified"},
        {"subsampling": ["4:4:4", "4:2:2", "4:2:0"]},
    ],
    "quantize": [{}, {"bits": 3}],
    "black_hole": [{"observation": sky(), "fov": 100.0}],
    "black_hole_array": [{"fov": 100.0, "interval": 7200}],
    "scattering": [{"receivers": 7, "transmitters": 5, "side": 0.02}],
    "fwi": [{"sources": 2, "receivers": 3, "time": 80, "frequency": 40, "cells": 4}],
    "navier_stokes": [{"time": 0.1}, {"time": 0.1, "subsample": 1}],
    "ct": [
        {"angles": 5},
        {"angles": 5, "geometry": "fan", "detectors": 12},
        {"angles": 4, "arc": 60},
        {"angles": (0, 10, 50), "pixel": 0.5, "pitch": 0.7, "axis": (0.4, -0.3), "direction": "clockwise"},
        {"angles": 3, "geometry": "curved", "pixel": 0.5, "shift": 0.3, "offset": -0.2, "detector_distance": 3},
        {"angles": 3, "pixel": 0.5, "white": 0.2, "seen": torch.arange(3 * 19).reshape(3, 19) % 5 > 0},
    ],
    "mri": [
        {"acceleration": 2, "coils": 3},
        {"acceleration": 2, "coils": 2, "seed": [4, 5, 6]},
        {"mask": MASK, "coils": 3},
    ],
    "mri_single": [{"acceleration": 2}, {"acceleration": 2, "seed": [4, 5, 6]}],
    "mri_volume": [{"acceleration": 2}, {"mask": np.arange(4 * 8).reshape(4, 8) % 3 > 0}],
    "helical_ct": [{"angles": 4, "arc": 60}],
    "rolling_shutter": [{}, {"open": True}],
    "volume_blur": [{}, {"boundary": "circular"}, {"psf": PSF}, {"psf": PSF, "boundary": "circular"}],
    "dense": [{"matrix": torch.randn(7, 3 * 8 * 16, generator=G, dtype=torch.float64)}],
}
CASES = [(name, options) for name in OPERATORS for options in OPTIONS.get(name, [{}])]


def ident(case):
    name, options = case
    return "-".join([name, *(str(v) if isinstance(v, str | int | float) else k for k, v in options.items())])


def make(case):
    return OPERATORS[case[0]](shape_of(case), **case[1])


def shape_of(case):
    """The channels of the class's example; the size is that of the masks and kernels above."""
    return (*OPERATORS[case[0]].example[:-2], *SHAPE[1:])


double = pytest.mark.usefixtures("float64")
over = lambda cases: pytest.mark.parametrize("case", cases, ids=ident)


def kind(base):
    """The cases that are operators of a type."""
    return [c for c in CASES if isinstance(make(c), base)]


def images(batch=BATCH, shape=SHAPE, seed=1):
    x = torch.rand(batch, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (1.8 * x - 0.9).to(torch.get_default_dtype())
