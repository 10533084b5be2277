"""What the power of a picture's frequencies says of a kernel that was found from its edges.

Photographs have the power A f^−β in every direction, but for their own lines. Behind a kernel K, with noise, it is
A f^−β |K|² + n, and what is measured at a frequency is exponentially distributed about that, so that a kernel has a
likelihood (Whittle, 1953, doi 10.1007/BF02590998). The edges are not asked: a kernel that stripes or texture have made
is found out.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .spectrum import EULER, periodogram, windows

NEAR = 0.1  # up to which frequency the power tells A, whatever the noise
BETA = tuple(1.4 + 0.2 * i for i in range(9))
NOISE = tuple(-2.5 + 0.5 * i for i in range(9))  # ln n beside that of the noise which is estimated for the picture
SHIFT = (-0.6, -0.3, 0.0, 0.3, 0.6)  # of ln A
NOTHING = 0.005  # a gain for each frequency that says nothing


def evidence(x: Tensor, kernel: Tensor, others: Sequence[Tensor], sigma: float) -> float:
    """How much better than no blur a kernel explains the power of a grey picture `x` (h, w), as a part of the best.

    `others` are kernels that stand beside it, all (rows, columns) with sum 1; `sigma` is the noise of the picture,
    roughly. It is 1 if no other kernel is better, below 0 if no blur is better, and 0.5 if the spectrum says nothing.
    """
    none = torch.ones(1, 1, dtype=torch.float64)
    power = Power(x)
    least = power.misfit(none, sigma)
    gain = least - power.misfit(kernel, sigma)
    best = max(gain, *(least - power.misfit(k, sigma) for k in others))
    if best <= NOTHING and gain > -NOTHING:
        return 0.5
    return gain / max(best, NOTHING)


class Power:
    """The power of a grey picture `x` (h, w) behind a window, at the frequencies of one half plane off the axes."""

    def __init__(self, x: Tensor) -> None:
        f, power, seen = periodogram(x)
        self.seen = seen & (torch.fft.fftfreq(x.shape[1]) > 0)
        self.f, self.power = f[self.seen], power[self.seen]
        # what a window makes of |K|²: it tapers the autocorrelation
        rows, columns = (torch.fft.ifft(torch.fft.fft(v).abs().square()).real for v in windows(*x.shape))
        self.taper = (rows / rows[0])[:, None] * (columns / columns[0])

    def misfit(self, kernel: Tensor, sigma: float) -> float:
        """Whittle's −log p for each frequency, at the best A, β and noise."""
        transfer = torch.fft.fft2(kernel.double(), s=self.taper.shape).abs().square()
        seen = torch.fft.fft2(torch.fft.ifft2(transfer) * self.taper).real.clamp_min(1e-9)[self.seen]
        near, best = self.f < NEAR, math.inf
        for beta in BETA:
            shape = self.f**-beta * seen
            start = (self.power[near].log() - shape[near].log()).median() + EULER
            for more in SHIFT:
                clean = (start + more).exp() * shape
                for noise in NOISE:
                    model = clean + sigma**2 * math.exp(noise)
                    best = min(best, float((self.power / model + model.log()).mean()))
        return best
