"""The average of the weights over the run, which is what is kept.

    θ̄ ← β_t θ̄ + (1 − β_t) θ,   β_t = (1 − 1/t)^(γ+1)

is the mean of θ with weight ∝ t^γ (Karras et al., 2024, section 3.1; arXiv:2312.02696): its width is a fixed part
of the run so far, so that nothing needs to be chosen for a short run or a long one.
"""

import torch
from torch import nn


class Average:
    """The average of `net`'s parameters and buffers; `width` is its standard deviation as a part of the run."""

    def __init__(self, net: nn.Module, width: float) -> None:
        self.gamma = exponent(width)
        self.weights = {k: v.detach().clone() for k, v in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """After the `step`-th update of `net`, counted from 1."""
        beta = (1 - 1 / step) ** (self.gamma + 1)
        for k, v in net.state_dict().items():
            self.weights[k].lerp_(v.detach(), 1 - beta)


def exponent(width: float) -> float:
    """The γ with (γ + 1) / ((γ + 2)² (γ + 3)) = width², by bisection (the left side falls in γ)."""
    lo, hi = 0.0, 1e6
    for _ in range(200):
        mid = (lo + hi) / 2
        lo, hi = (mid, hi) if (mid + 1) / ((mid + 2) ** 2 * (mid + 3)) > width**2 else (lo, mid)
    return lo
