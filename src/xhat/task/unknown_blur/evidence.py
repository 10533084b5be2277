"""What the power of a picture's frequencies says of a kernel that was found from its edges.

Photographs have the power A f^−β in every direction, but for their own lines. Behind a kernel K, with noise, it is
A f^−β |K|² + n, and what is measured at a frequency is exponentially distributed about that, so that a kernel has a
likelihood (Whittle, 1953, doi 10.1007/BF02590998). The edges are not asked: a kernel that stripes or texture have made
is found out, and where edges are few, the spectrum still knows the kernel, but for its phase (Goldstein and Fattal,
ECCV 2012).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .spectrum import EULER, periodogram, windows

NEAR = 0.1  # up to which frequency the power tells A, whatever the noise
BETA = tuple(1.4 + 0.2 * i for i in range(9))
NOISE = tuple(-2.5 + 0.5 * i for i in range(9))  # ln n beside that of the noise which is estimated for the picture
SHIFT = (-0.6, -0.3, 0.0, 0.3, 0.6)  # of ln A
NOTHING = 0.005  # a gain for each frequency that says nothing
COUNT = 3000  # so many frequencies say something of their own where a kernel is moved; windows join neighbours
FARTHEST = 0.3  # of its largest entry: no entry of a kernel is moved by more at once

NO_BLUR = torch.ones(1, 1, dtype=torch.float64)


def evidence(power: "Power", kernel: Tensor, others: Sequence[Tensor]) -> float:
    """How much better than no blur a kernel explains the power of a picture, as a part of the best.

    `others` are kernels that stand beside it, all (rows, columns) with sum 1. It is 1 if no other kernel is better,
    below 0 if no blur is better, and 0.5 if the spectrum says nothing.
    """
    gain = power.gain(kernel)
    best = max(gain, *(power.gain(k) for k in others))
    if best <= NOTHING and gain > -NOTHING:
        return 0.5
    return gain / max(best, NOTHING)


@dataclass(frozen=True)
class Statistics:
    """What a picture without its blur would have: the power A f^−β, and the power `n` of its noise."""

    log_a: float
    beta: float
    n: float

    def power(self, f: Tensor, transfer: Tensor) -> Tensor:
        """At frequencies `f`, behind a kernel of the power `transfer` there, both (n,)."""
        return math.exp(self.log_a) * f**-self.beta * transfer + self.n


class Power:
    """The power of a grey picture `x` (h, w) behind a window, at the frequencies of one half plane off the axes.

    `sigma` is the noise of the picture, roughly.
    """

    def __init__(self, x: Tensor, sigma: float) -> None:
        f, power, seen = periodogram(x)
        self.seen = seen & (torch.fft.fftfreq(x.shape[1]) > 0)
        self.f, self.power, self.sigma = f[self.seen], power[self.seen], sigma
        # what a window makes of |K|²: it tapers the autocorrelation
        rows, columns = (torch.fft.ifft(torch.fft.fft(v).abs().square()).real for v in windows(*x.shape))
        self.taper = (rows / rows[0])[:, None] * (columns / columns[0])
        self.unblurred = self.best(NO_BLUR)[0]

    def gain(self, kernel: Tensor) -> float:
        """By how much a kernel explains each frequency better than no blur, in nats."""
        return self.unblurred - self.best(kernel)[0]

    def best(self, kernel: Tensor) -> tuple[float, Statistics]:
        """Whittle's −log p for each frequency at the best statistics, and these."""
        transfer = self._transfer(kernel.double())
        near = self.f < NEAR
        noise = self.sigma**2 * torch.tensor(NOISE, dtype=transfer.dtype).exp()[:, None]
        least, found = math.inf, Statistics(0.0, BETA[0], 0.0)
        for beta in BETA:
            clean = self.f**-beta * transfer
            start = float((self.power[near].log() - clean[near].log()).median()) + EULER
            for more in SHIFT:
                misfits = self._misfit(math.exp(start + more) * clean + noise)
                i = int(misfits.argmin())
                if float(misfits[i]) < least:
                    least, found = float(misfits[i]), Statistics(start + more, beta, float(noise[i]))
        return least, found

    def pulled(self, kernel: Tensor, error: float) -> Tensor:
        """A kernel whose entries are known up to `error`, moved a step to where the spectrum has it; its sum is kept.

        Neither the sign of an entry nor the form of a path is minded.
        """
        _, of = self.best(kernel)
        with torch.enable_grad():
            k = kernel.detach().double().clone().requires_grad_()
            (slope,) = torch.autograd.grad(self._misfit(of.power(self.f, self._transfer(k))), k)
        step = -COUNT * error**2 * (slope - slope.mean())
        most = FARTHEST * float(kernel.max())
        return kernel + step * min(1.0, most / max(float(step.abs().max()), 1e-30))

    def _transfer(self, kernel: Tensor) -> Tensor:
        """|K|² behind the window at each frequency, (n,)."""
        sharp = torch.fft.fft2(kernel, s=self.taper.shape).abs().square()
        behind: Tensor = torch.fft.fft2(torch.fft.ifft2(sharp) * self.taper).real
        return behind.clamp_min(1e-9)[self.seen]

    def _misfit(self, model: Tensor) -> Tensor:
        """Of models (..., n) of the power, (...)."""
        return (self.power / model + model.log()).mean(-1)
