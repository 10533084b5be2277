"""The average of the weights over the run; this average is what is kept.

    θ̄ ← β_t θ̄ + (1 − β_t) θ,   β_t = (1 − 1/t)^(γ+1)

It is the mean of θ with weight ∝ t^γ (Karras et al., 2024, section 3.1; arXiv:2312.02696). Its width is a fixed
fraction of the run so far, so that it suits short and long runs alike.
"""

import torch
from torch import nn


class Average:
    """The average of `net`'s parameters and buffers; `width` is its standard deviation as a fraction of the run."""

    def __init__(self, net: nn.Module, width: float) -> None:
        self.gamma = exponent(width)
        self.weights = {k: v.detach().clone() for k, v in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """Adds the weights of `net` after its update number `step`, counted from 1."""
        beta = (1 - 1 / step) ** (self.gamma + 1)
        own = net.state_dict()
        torch._foreach_lerp_(list(self.weights.values()), [own[k].detach() for k in self.weights], 1 - beta)


def exponent(width: float) -> float:
    """The γ with (γ + 1) / ((γ + 2)² (γ + 3)) = width², by bisection, since the left side decreases in γ."""
    lo, hi = 0.0, 1e6
    for _ in range(200):
        mid = (lo + hi) / 2
        lo, hi = (mid, hi) if (mid + 1) / ((mid + 2) ** 2 * (mid + 3)) > width**2 else (lo, mid)
    return lo
