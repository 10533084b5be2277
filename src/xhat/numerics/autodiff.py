"""The two derivatives that solvers need, so that none of them touches `requires_grad`."""

from collections.abc import Callable

import torch
from torch import Tensor


def vjp(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """y = f(x), and its pullback v ↦ (∂f/∂x)ᵀ v, which may be called any number of times.

    `v` has the shape of y, and the result of the pullback the shape of `x`. Neither carries a graph.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = f(x)

    def pullback(v: Tensor) -> Tensor:
        return torch.autograd.grad(y, x, v, retain_graph=True)[0]

    return y.detach(), pullback


def grad(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """∇f(x), of the shape of `x`, for a scalar per image, f: (b, *) → (b,), in which images never mix."""
    value, pullback = vjp(f, x)
    return pullback(torch.ones_like(value))
