"""Consistency models: one network call gives the point where the probability flow through x_t ends."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from ..errors import MismatchError
from ..schedule import EDM, Level
from ..types import Image, PerImage
from .base import FixedShape, Prior, counted
from .gaussian import GaussianPrior

WITHOUT = (
    "this consistency model comes without a denoiser E[x0|x_t]: pair it with its teacher (option denoiser) or take a "
    "solver that only jumps, such as map_ga or consistent_csgm"
)


class ConsistencyPrior(FixedShape):
    """A consistency model f (Song et al., 2023). arXiv:2303.01469

        x_ε = f(u, σ),   u = x₀ + σ n of shape (b, *shape),   ε = `sigma_min` ≤ σ ≤ `sigma_max`,   f(u, ε) = u

    `jump` calls f and counts the call; a subclass gives f itself as `endpoint`. A consistency model is not a denoiser:
    for small σ, f(u, σ) ≈ u + ½ σ² ∇log p(u) whereas E[x₀|u] = u + σ² ∇log p(u); for large σ, f is one image whereas
    E[x₀|u] is the mean of many. E[x₀|x_t] is therefore taken from `denoiser`, which is the teacher or any other prior
    of the same images. Without a `denoiser`, a solver that needs E[x₀|x_t] is refused.
    """

    others = ("the folder of a ConsistencyModelPipeline", "xhat.ConsistencyModel(f, shape)")

    def __init__(
        self, shape: tuple[int, ...], sigma_min: float = 0.002, sigma_max: float = 80.0, denoiser: Prior | None = None
    ) -> None:
        super().__init__()
        self.shape, self.denoiser = tuple(shape), denoiser
        self.schedule = EDM(sigma_min, sigma_max)
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        if denoiser is not None:
            denoiser.check(self.shape)

    def jump(self, x: Image, t: Level) -> Image:
        """x_ε, the end of the probability flow through x_t = `x`, a (b, *image) tensor at level `t`.

        If ρ_t ≤ ε it is x_t/α_t. Raises MismatchError if ρ_t is above `sigma_max`.
        """
        # The first level of a ladder is sigma_max up to rounding.
        if t.ratio > self.sigma_max * (1 + 1e-6):
            raise MismatchError(f"this consistency model knows noise up to {self.sigma_max:g}, not {t.ratio:g}")
        u = x / t.alpha
        return u if t.ratio <= self.sigma_min else self.counted(self.endpoint(u, t.ratio))

    @abstractmethod
    def endpoint(self, u: Tensor, sigma: float) -> Tensor:
        """f(u, σ) by one network call; `u` and the result are (b, *shape)."""

    def counted(self, out: Image) -> Image:
        """Returns `out`, the output of a network, and counts one forward pass per image, and one backward pass if it is
        differentiated.
        """
        return counted(out)

    def no_denoiser(self) -> str | None:
        return WITHOUT if self.denoiser is None else None

    def forward(self, x: Image, t: Level) -> Image:
        if self.denoiser is None:
            raise MismatchError(WITHOUT)
        return self.denoiser(x, t)

    def mse(self, t: Level) -> float | None:
        return None if self.denoiser is None else self.denoiser.mse(t)

    def log_density(self, x: Image, t: Level) -> PerImage | None:
        return None if self.denoiser is None else self.denoiser.log_density(x, t)

    @property
    def degenerate(self) -> bool:
        return self.denoiser is not None and self.denoiser.degenerate


class LayeredConsistency(ConsistencyPrior):
    """A consistency model whose intermediate layers can be shifted, as intermediate-layer optimisation does."""

    others = ("the folder of a ConsistencyModelPipeline", "a LayeredConsistency of your own")

    layers: tuple[str, ...]  # names, from the input to the output

    @cached_property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """The shape of the output of each layer for one image, by the layer's name."""
        like = next((p for p in (*self.parameters(), *self.buffers()) if p.is_floating_point()), torch.empty(0))
        with torch.no_grad():
            blank = torch.zeros(1, *self.shape, dtype=like.dtype, device=like.device)
            _, values = self.through(blank, self.sigma_max, {})
        return {name: tuple(h.shape[1:]) for name, h in values.items()}

    @abstractmethod
    def through(self, u: Tensor, sigma: float, shifts: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """f(u, σ) with `shifts` added to the outputs of the layers they name, and the shifted outputs of all layers by
        name.

        `u` is (b, *shape), and a shift is (b, *size) with the layer's size as in `sizes`.
        """

    def jump_through(self, x: Image, t: Level, shifts: Mapping[str, Tensor]) -> tuple[Image, dict[str, Tensor]]:
        """`through` for x_t = `x` at level `t`, counted as one network call per image."""
        out, values = self.through(x / t.alpha, t.ratio, shifts)
        return self.counted(out), values


class ConsistencyModel(ConsistencyPrior):
    """Your own consistency function as a prior: `ConsistencyModel(lambda u, sigma: ..., shape)`.

    `f` is given u, a (b, *shape) tensor, and the float σ, and returns x_ε of the same shape.
    """

    def __init__(
        self,
        f: Callable[[Tensor, float], Tensor],
        shape: tuple[int, ...],
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
        denoiser: Prior | None = None,
    ) -> None:
        super().__init__(shape, sigma_min, sigma_max, denoiser)
        self.f = f

    def endpoint(self, u: Tensor, sigma: float) -> Tensor:
        return self.f(u, sigma)


class FlowPrior(ConsistencyPrior):
    """What a perfect consistency model of `denoiser` would be: its probability flow, integrated. An oracle, not cheap.

    du/dσ = (u − E[x₀|u])/σ, integrated by `steps` steps of Heun's method on EDM's levels from σ to `sigma_min` (Karras
    et al., 2022, Algorithm 1). A jump takes 2 `steps` network calls. A `GaussianPrior` has its flow in closed form,
    which takes one call.
    """

    def __init__(
        self, denoiser: FixedShape, steps: int = 18, sigma_min: float = 0.002, sigma_max: float = 80.0
    ) -> None:
        super().__init__(denoiser.shape, sigma_min, sigma_max, denoiser)
        self.steps = steps

    def endpoint(self, u: Tensor, sigma: float) -> Tensor:
        if isinstance(self.denoiser, GaussianPrior):
            return self.denoiser.flow(u, sigma, self.sigma_min)
        assert self.denoiser is not None
        levels = EDM(self.sigma_min, sigma).levels(self.steps + 1)[:-1]
        for r, q in pairwise(levels):
            slope = (u - self.denoiser(u, r)) / r.ratio
            ahead = u + (q.ratio - r.ratio) * slope
            u = u + (q.ratio - r.ratio) * (slope + (ahead - self.denoiser(ahead, q)) / q.ratio) / 2
        return u

    def counted(self, out: Image) -> Image:
        """Counts nothing if the denoiser has counted its own calls."""
        return super().counted(out) if isinstance(self.denoiser, GaussianPrior) else out
