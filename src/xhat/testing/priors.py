"""The laws of priors: scale-freeness, batches, layouts, precision, derivatives, counts, calibration."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..numerics.calls import counting
from ..numerics.linalg import dot, sq
from ..priors.base import Prior
from ..schedule import Level
from .law import Law, double, layouts

Shape = Sequence[int]


def level(ratio: float, alpha: float = 1.0) -> Level:
    """A noise level with σ/α = `ratio`."""
    return Level(0.5, alpha, alpha * ratio)


def noisy(prior: Prior, shape: Shape, batch: int = 2, seed: int = 0) -> Tensor:
    """Images of white noise, (b, *shape), in the dtype and on the device of the prior."""
    g = torch.Generator().manual_seed(seed)
    like = next((b for b in (*prior.parameters(), *prior.buffers()) if b.is_floating_point()), torch.empty(0))
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    return torch.randn(batch, *shape, generator=g, dtype=dtype).to(like.device)


def exactness(x: Tensor) -> float:
    """How far equal images like `x` may differ by the rounding of a network: 1e-10 in float64, 1e-4 otherwise."""
    return 1e-10 if x.dtype == torch.float64 else 1e-4


@torch.no_grad()
def depends_on_ratio_only(prior: Prior, shape: Shape) -> None:
    """E[x₀|x_t] depends on x_t, α and σ only through x_t/α and σ/α."""
    says = "the prior sees x/α and σ/α only"
    law = Law(prior, says, "the image or its noise enters the network without the division by α")
    x = noisy(prior, shape)
    off = exactness(x)
    for alpha in (0.3, 0.9):
        law.near(prior(x, level(0.7, alpha)), prior(x / alpha, level(0.7)), off, off, f"α = {alpha}")


@torch.no_grad()
def images_do_not_mix(prior: Prior, shape: Shape) -> None:
    """What is said of an image does not depend on its neighbours in the batch."""
    law = Law(
        prior, "images never mix", "a mean or a norm over the batch axis, or batch normalisation in training mode"
    )
    x, t = noisy(prior, shape), level(0.3)
    alone = torch.cat([prior(x[i : i + 1], t) for i in range(len(x))])
    law.near(prior(x, t), alone, exactness(x), exactness(x))


@torch.no_grad()
def keeps_its_input(prior: Prior, shape: Shape) -> None:
    """The estimate has the shape and dtype of x; x stays as it was; asked again, the prior gives the same bits."""
    law = Law(
        prior, "x ↦ E[x₀|x] changes neither x nor the prior", "an operation in place, or dropout in training mode"
    )
    x, t = noisy(prior, shape), level(0.3, alpha=0.5)
    before = x.clone()
    out = prior(x, t)
    law.holds(out.shape == x.shape, f"images of shape {tuple(x.shape)} become {tuple(out.shape)}")
    law.holds(out.dtype == x.dtype, f"images in {x.dtype} become {out.dtype}")
    law.same(x, before, "x after the call")
    law.same(prior(x, t), out, "the second call")


@torch.no_grad()
def memory_does_not_matter(prior: Prior, shape: Shape) -> None:
    """Images that are strided, expanded or have the channels last in memory give the same bits."""
    law = Law(prior, "the layout in memory does not matter", "`view`, or a kernel of torch that depends on the strides")
    t = level(0.3)
    for name, (x, usual) in layouts(noisy(prior, shape)).items():
        try:
            out = prior(x, t)
        except RuntimeError as e:
            raise law.broken(f"images {name} raise {e}") from e
        law.same(out, prior(usual, t), f"images {name}")


@torch.no_grad()
def double_stays_double(prior: Prior, shape: Shape) -> None:
    """Images in double precision are answered in double precision, whatever the network computes in."""
    law = Law(prior, "images in float64 give float64", "a fixed dtype in `forward`")
    out = double(prior)(noisy(prior, shape).double(), level(0.3))
    law.holds(out.dtype == torch.float64, f"they give {out.dtype}")


def has_the_gradient_of_its_values(prior: Prior, shape: Shape) -> None:
    """The derivative in x by automatic differentiation is the limit of differences, and reaches no weight."""
    law = Law(prior, "the gradient is that of the values", "`torch.no_grad` or `detach` in `forward`")
    law.holds(not any(p.requires_grad for p in prior.parameters()), "the weights require a gradient")
    prior, t, h = double(prior), level(0.3), 1e-5
    x = noisy(prior, shape).double().requires_grad_()
    with torch.enable_grad():
        out = prior(x, t)
        law.holds(out.requires_grad, "there is no gradient in x")
        (found,) = torch.autograd.grad(sq(out).sum(), x)
    v = noisy(prior, shape, seed=1).double()
    with torch.no_grad():
        difference = (sq(prior(x + h * v, t)) - sq(prior(x - h * v, t))) / (2 * h)
    law.near(dot(found, v), difference, 1e-6, 1e-6, "the derivative in a random direction")


def is_at_rest(prior: Prior, shape: Shape) -> None:  # noqa: ARG001
    """No part of the prior is in training mode."""
    law = Law(prior, "a network is not in training mode", "`.eval()` is missing where the network is loaded")
    training = [type(m).__name__ for m in prior.modules() if m.training and any(True for _ in m.parameters(False))]
    law.holds(not training, f"in training mode are {', '.join(sorted(set(training)))}")


def counts_its_calls(prior: Prior, shape: Shape) -> None:
    """b images through the network are b forwards, or a whole multiple for guidance, and as many backwards."""
    law = Law(prior, "passes through the network are counted", "`__call__` is overridden without `counted`")
    x = noisy(prior, shape).requires_grad_()
    with torch.enable_grad(), counting() as calls:
        out = prior(x, level(0.3))
        forwards = calls.forwards
        torch.autograd.grad(sq(out).sum(), x)
    law.holds(forwards > 0 and forwards % len(x) == 0, f"{len(x)} images counted {forwards} forwards")
    law.holds(calls.backwards == forwards, f"{forwards} forwards went back and counted {calls.backwards} backwards")


@torch.no_grad()
def little_noise_changes_little(prior: Prior, shape: Shape) -> None:
    """Where σ/α = 0.001, E[x₀|x_t] is x_t/α to 0.02."""
    law = Law(prior, "little noise changes little", "the network's output is taken as noise where it is an image")
    x = noisy(prior, shape) / 4  # within the range of images, [-1, 1], up to rare numbers
    law.near(prior(x, level(1e-3)), x, 0.0, 0.02)


def error_is_at_most_the_noise(prior: Prior, shape: Shape) -> None:  # noqa: ARG001
    """`mse`, if it is known, depends on σ/α only, is positive, grows with it and is at most (σ/α)²."""
    law = Law(prior, "0 < mse ≤ (σ/α)², and mse grows", "a table in other units, or of a root mean square")
    if prior.mse(level(1.0)) is None:
        return
    ratios = [10 ** (k / 4) for k in range(-16, 9)]
    table = [prior.mse(level(r)) or 0.0 for r in ratios]
    for ratio, m in zip(ratios, table, strict=True):
        law.holds(0 < m <= ratio**2 * (1 + 1e-5), f"at σ/α = {ratio:.3g} it is {m:.3g}")
    for (r, a), (q, b) in pairwise(zip(ratios, table, strict=True)):
        law.holds(a <= b, f"it falls from {a:.3g} to {b:.3g} between σ/α = {r:.3g} and {q:.3g}")
    law.holds(math.isclose(prior.mse(level(0.5, 0.1)) or 0.0, prior.mse(level(0.5)) or 0.0), "it depends on α")
