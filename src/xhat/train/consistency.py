"""Two ways to train a consistency model f(u, σ), the end at ε = σ_min of the probability flow through u = x₀ + σ n.

Tuning compares f with itself at a point nearer to the data on the same ray x₀ + σ n, and lets the distance shrink.
Distillation compares it along a step of the teacher's flow. Both start from the teacher's weights.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..priors.precondition import Consistent
from ..rng import Rng
from ..schedule import EDM
from . import edm
from .families import family_of
from .loop import Objective
from .recipe import Consistency, Recipe

Denoise = Callable[[Tensor, Tensor], Tensor]  # (u, σ (b,)) → x̂₀


def consistent(recipe: Recipe) -> Consistent:
    """The convention of the recipe's family; a `unet` has that of diffusers' CMStochasticIterativeScheduler."""
    d = recipe.diffusion
    return Consistent("endpoint", d.sigma_min, d.sigma_data, family_of(recipe).pace)


def endpoint(net: nn.Module, u: Tensor, sigma: Tensor, recipe: Recipe) -> Tensor:
    """f(u, σ) for `u` (b, c, h, w) and σ (b,); it is the identity at σ_min."""
    return edm.preconditioned(family_of(recipe).caller(net, recipe), u, sigma, consistent(recipe))


def pseudo_huber(difference: Tensor, c: float) -> Tensor:
    """√(‖Δ‖²/n + c²) − c of each image, (b,) (Song & Dhariwal, 2023, eq. 7, with a mean square). arXiv:2310.14189"""
    return (difference.square().flatten(1).mean(1) + c**2).sqrt() - c


def nearer(t: Tensor, done: float, options: Consistency, lowest: float) -> Tensor:
    """r = t (1 − (1 + k sigmoid(−b t))/q^a), not below `lowest`, for noise levels `t` (b,).

    The stage a = 1 … `stages` grows with `done`, the finished fraction of the run. Geng et al., 2024, section 3.2 and
    appendix. arXiv:2406.14548
    """
    a = min(options.stages, 1 + int(done * options.stages))
    return (t * (1 - (1 + options.k * torch.sigmoid(-options.b * t)) / options.q**a)).clamp_min(lowest)


@dataclass(frozen=True)
class Tuning(Objective):
    """Easy consistency tuning (Geng et al., 2024): ‖f(x₀ + t n, t) − sg f(x₀ + r n, r)‖ / (t − r). arXiv:2406.14548"""

    recipe: Recipe
    options: Consistency

    def __call__(self, net: nn.Module, x0: Tensor, rng: Rng, done: float) -> Tensor:
        d, o = self.recipe.diffusion, self.options
        t = edm.draw_sigma(rng, len(x0), o.p_mean, o.p_std).clamp(2 * d.sigma_min, d.sigma_max).to(x0.device)
        r = nearer(t, done, o, d.sigma_min)
        noise = rng.randn_like(x0)
        near = self._at(net, x0, noise, t)
        torch.manual_seed(torch.initial_seed())  # the same dropout
        with torch.no_grad():
            target = self._at(net, x0, noise, r)
        return pseudo_huber(near - target, o.huber) / (t - r)

    def _at(self, net: nn.Module, x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        return endpoint(net, x0 + sigma[:, None, None, None] * noise, sigma, self.recipe)


class Distillation(Objective):
    """Consistency distillation (Song et al., 2023, algorithm 2): ‖f(u_t, t) − f⁻(û_r, r)‖, where f⁻ is an average of f.

    t and r are neighbours among the `levels` levels of EDM's schedule, and û_r is one Heun step of the teacher from
    u_t. arXiv:2303.01469
    """

    def __init__(self, recipe: Recipe, options: Consistency, teacher: Denoise, net: nn.Module) -> None:
        self.recipe, self.options, self.teacher = recipe, options, teacher
        self.target = copy.deepcopy(net).requires_grad_(False)
        d = recipe.diffusion
        ladder = EDM(d.sigma_min, d.sigma_max, d.rho).levels(options.levels)[:-1]
        self.sigmas = torch.tensor([level.sigma for level in ladder])

    def __call__(self, net: nn.Module, x0: Tensor, rng: Rng, done: float) -> Tensor:
        place = (rng.rand_like(torch.empty(len(x0), 1))[:, 0] * (len(self.sigmas) - 1)).long()
        t, r = self.sigmas[place].to(x0), self.sigmas[place + 1].to(x0)
        u = x0 + t[:, None, None, None] * rng.randn_like(x0)
        near = endpoint(net, u, t, self.recipe)
        torch.manual_seed(torch.initial_seed())  # the same dropout
        with torch.no_grad():
            target = endpoint(self.target.train(net.training), heun_step(self.teacher, u, t, r), r, self.recipe)
        return pseudo_huber(near - target, self.options.huber)

    @torch.no_grad()
    def after(self, net: nn.Module) -> None:
        for average, now in zip(self.target.parameters(), net.parameters(), strict=True):
            average.lerp_(now, 1 - self.options.mu)

    def state(self) -> dict[str, Any]:
        return self.target.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        self.target.load_state_dict(state)


def heun_step(teacher: Denoise, u: Tensor, t: Tensor, r: Tensor) -> Tensor:
    """One Heun step from `u` (b, c, h, w) at level `t` down to `r`, both (b,), along du/dσ = (u − D(u, σ))/σ."""
    at, to = t[:, None, None, None], r[:, None, None, None]
    slope = (u - teacher(u, t)) / at
    ahead = u + (to - at) * slope
    return u + (to - at) * (slope + (ahead - teacher(ahead, r)) / to) / 2
