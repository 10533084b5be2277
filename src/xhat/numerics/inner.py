"""Inner problems on the clean image: minimise or sample an energy per image, E: (b, *) → (b,)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import DivergedError
from ..rng import Rng
from .autodiff import grad, vjp
from .linalg import bcast, cg, sq

Energy = Callable[[Tensor], Tensor]
Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Adam:
    """Adam's moments of the gradient, each in the shape of what is optimised (Kingma & Ba, 2015, Algorithm 1)."""

    m: Tensor
    v: Tensor

    @classmethod
    def start(cls, x: Tensor) -> "Adam":
        """The moments before the first update of `x`."""
        return cls(torch.zeros_like(x), torch.zeros_like(x))

    def update(
        self,
        i: int,
        x: Tensor,
        g: Tensor,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> tuple[Tensor, "Adam"]:
        """Update number `i`, counted from 1, of `x` with the gradient `g`; returns the new x and the new moments."""
        m = betas[0] * self.m + (1 - betas[0]) * g
        v = betas[1] * self.v + (1 - betas[1]) * g * g
        step = lr / (1 - betas[0] ** i)
        return x - step * m / ((v / (1 - betas[1] ** i)).sqrt() + eps), Adam(m, v)


def adam(
    energy: Energy,
    x: Tensor,
    lr: float,
    steps: int,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    goal: Tensor | float = -math.inf,
) -> Tensor:
    """`steps` steps of Adam (Kingma & Ba, 2015, Algorithm 1); element-wise, so images never mix. arXiv:1412.6980

    Starts at `x` (b, *) with step size `lr` and returns the last iterate. An image stops moving once its energy is at
    or below `goal`, which is one number or one per image, (b,).
    """
    moments = Adam.start(x)
    for i in range(1, steps + 1):
        value, pullback = vjp(energy, x)
        new, moments = moments.update(i, x, pullback(torch.ones_like(value)), lr, betas, eps)
        # NaN <= goal is false: an image with NaN goes on, so that the loop sees it.
        x = torch.where(bcast(value <= goal, x), x, new)
    return x


def langevin(energy: Energy, x: Tensor, lr: Tensor | float, steps: int, rng: Rng) -> Tensor:
    """Unadjusted Langevin dynamics, whose stationary density is ∝ exp(−E) for small `lr`.

        x ← x − lr ∇E(x) + √(2 lr) ε

    Starts at `x` (b, *); `lr` is one number or one per image, (b,).
    """
    lr = bcast(lr, x)
    for _ in range(steps):
        x = x - lr * grad(energy, x) + (2 * lr) ** 0.5 * rng.randn_like(x)
    return x


def gauss_newton(f: Map, y: Tensor, w: Tensor | float, m: Tensor, steps: int = 4, cg_steps: int = 8) -> Tensor:
    """argmin_x ½‖y − f(x)‖² + ½ w ‖x − m‖² from x = m, by Levenberg-Marquardt with a truncated inner solve.

    `m` is (b, *image) and `y` (b, *data); `w` is one number or one per image, (b,). A step that does not lower an
    image's objective, or leads out of where f is defined (DivergedError), is not taken, and its damping grows tenfold
    (Nocedal & Wright, 2006, section 10.3). So the objective never rises. `cg_steps` bounds the conjugate gradient
    iterations per step.
    """

    def objective(x: Tensor, fx: Tensor) -> Tensor:
        return sq(y - fx) / 2 + w * sq(x - m) / 2

    x, damping = m, torch.zeros_like(sq(m))
    for _ in range(steps):
        fx, pullback = vjp(f, x)
        g = pullback(y - fx) - bcast(w, x) * (x - m)
        d = cg(normal_map(f, x, w + damping), g, cg_steps)
        better = objective(x + d, within(f, x, d)) < objective(x, fx)
        x = torch.where(bcast(better, x), x + d, x)
        damping = torch.where(better, damping / 10, (10 * damping).clamp_min(0.1))
    return x


def within(f: Map, x: Tensor, d: Tensor) -> Tensor:
    """f(x + d), infinite for the images that this leads out of where f is defined."""
    try:
        return f(x + d)
    except DivergedError as e:
        if not e.images:
            raise
        outside = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        outside[list(e.images)] = True
        new = f(torch.where(bcast(outside, x), x, x + d))
        return torch.where(bcast(outside, new), torch.inf, new)


def normal_map(f: Map, x: Tensor, rho: Tensor) -> Map:
    """v ↦ JᵀJ v + ρ v with J = ∂f/∂x at `x`; `rho` is (b,).

    J v is the vjp of the vjp, so f needs no derivative other than the one that `vjp` takes.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        fx = f(x)
        u = torch.zeros_like(fx, requires_grad=True)
        back = torch.autograd.grad(fx, x, u, create_graph=True)[0]

    def apply(v: Tensor) -> Tensor:
        Jv = torch.autograd.grad(back, u, v, retain_graph=True)[0]
        return torch.autograd.grad(fx, x, Jv, retain_graph=True)[0] + bcast(rho, v) * v

    return apply
