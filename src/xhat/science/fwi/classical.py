"""Where classical full waveform inversion starts, and its data from low frequencies to high."""

import torch
from torch.fft import irfft, rfft, rfftfreq

from ...baselines.descent import begin, coarse
from ...types import Data, Image
from .operator import FWI

TOP, BOTTOM = 2.0, 4.0  # km/s at the surface and at the last depth: a guess of the ground that no data are needed for
HIGHEST = 2.5  # times its peak frequency: where a Ricker wavelet has 1 % of its largest amplitude left
ORDER = 4  # of the Butterworth filter


@begin.register
def gradient(A: FWI, blank: Image) -> Image:
    """A velocity that grows evenly with depth, from 2 to 4 km/s, as images (b, 1, nx, nz)."""
    v = torch.linspace(TOP, BOTTOM, A.shape[2], dtype=blank.dtype, device=blank.device)
    return A.modality.image(v).expand_as(blank).clone()


@coarse.register
def low(A: FWI, residual: Data, share: float) -> Data:
    """Data (b, sources, times, receivers) below `share` of 2.5 times the peak frequency, by a Butterworth filter of
    order 4 without phase.

    The filter commutes with the wave equation, so that this is the residual of filtered data and a filtered source.
    """
    n = residual.shape[2]
    step = A.dt * A.every / 1000
    f = rfftfreq(2 * n, step, dtype=residual.dtype, device=residual.device)  # twice as long: nothing wraps around
    gain = (1 + (f / (share * HIGHEST * A.peak)) ** (2 * ORDER)).rsqrt()
    filtered: Data = irfft(rfft(residual, 2 * n, dim=2) * gain[:, None], 2 * n, dim=2)[:, :, :n]
    return filtered
