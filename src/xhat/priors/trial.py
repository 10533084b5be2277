"""Every network is tried once when it is loaded: it must denoise a smooth picture at two noise levels.

A network that is read by the wrong convention still gives pictures, and a solver makes something plausible of them. A
smooth picture shows it at once: a denoiser, even a weak one, takes away more than half of the noise, and what the wrong
convention returns is farther from the picture than the noisy picture itself.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import MismatchError
from ..schedule import Discrete
from .base import Prior
from .denoiser import Denoiser
from .precondition import Precondition, Tabulated

LEVELS = (0.2, 0.5)
# The largest error that passes, relative to the noise. Measured at both levels: the weakest networks of this package
# have 0.49; noise, residuals or scores of `photo` taken for pictures have at least 1, [0, 255] taken for [-1, 1] has
# 2.3. [0, 1] taken for [-1, 1] is seen with some networks only: `photo` denoises such pictures, too, and has 0.09.
LIMIT = 0.75
# Below it nothing is suspected. A network for the linear schedule read by the cosine one has 0.4, 0.15 if read right.
DOUBT = 0.3
Denoise = Callable[[Tensor, float], Tensor]
Read = Callable[[Tensor, Tensor, float], Tensor]
RANGES = (
    ("", -1.0, 1.0),
    ("its images are in [0, 1] (low=0)", 0.0, 1.0),
    ("its images are in [0, 255] (low=0,high=255)", 0.0, 255.0),
)
OUTPUTS: dict[str, Read] = {
    "": lambda u, out, rho: out,
    "it returns the noise (output=noise)": lambda u, out, rho: u - rho * out,
    "it returns the residual (output=residual)": lambda u, out, rho: u - out,
    "it returns the score (output=score)": lambda u, out, rho: u + rho**2 * out,
}


def tried(prior: Prior, shape: tuple[int, ...] | None = None) -> None:
    """Tries `prior` and the priors inside it, each once, unless its option `trial` is false.

    `shape` is that of the images of a problem, for functions, which do not say it themselves. Raises MismatchError that
    says what may be wrong.
    """
    for part in prior.modules():
        if not isinstance(part, Prior) or not part.trial or part.tried:
            continue
        size = part.specimen(shape)
        if size is not None:
            with torch.no_grad(), eagerly(part):
                complain(part, size)
            part.tried = True


def eagerly(prior: Prior) -> AbstractContextManager[object]:
    """A context in which a compiled network runs as it is, so that it is not compiled for a size that is used once."""
    compiled = any(part._compiled_call_impl is not None for part in prior.modules())
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()


def complain(prior: Prior, shape: tuple[int, ...]) -> None:
    """Raises MismatchError if `prior` does not denoise a smooth picture of `shape`."""
    like = next((p for p in (*prior.parameters(), *prior.buffers()) if p.is_floating_point()), torch.empty(0))
    picture = smooth(shape).to(like.device)
    levels = [min(rho, prior.schedule(1.0).ratio) for rho in LEVELS]
    error = worst(prior.judged, picture, levels)
    if error <= DOUBT:
        return
    text = better(conventions(prior), picture, levels, min(LIMIT, error / 2))
    if not text and error > LIMIT:
        text = better(readings(prior), picture, levels, min(LIMIT, error / 2))
    own = isinstance(prior, Denoiser)
    if not text and (error <= LIMIT or (own and not isinstance(prior.denoise, nn.Module))):
        return  # a function may model anything, white noise too
    right = f"it denoises if {text}" if text else "its range, parametrisation or schedule may be wrong"
    if own and not text:
        right += "; a network of the noise in time steps is Denoiser.from_eps(net, alphas_cumprod)"
    raise MismatchError(
        f"{name(prior)} does not denoise as it should: on a smooth picture its error is {error:.2g} times the noise "
        f"({LIMIT:g} is allowed, at the levels {levels[0]:g} and {levels[1]:g} of images in [-1, 1]); {right}. "
        f"The option trial=false uses it as it is"
    )


def better(others: Iterable[tuple[str, Denoise]], picture: Tensor, levels: Sequence[float], limit: float) -> str:
    """Which of the other ways to read a network denoises best, as text; empty if all have an error above `limit`."""
    errors = {text: worst(denoise, picture, levels) for text, denoise in others}
    text = min(errors, key=errors.__getitem__, default="")
    return text if text and errors[text] <= limit else ""


def smooth(shape: tuple[int, ...]) -> Tensor:
    """A soft bright spot on black, (1, *shape) in [−1, 1]: dark and bright, as pictures of every kind are."""
    rows, columns = (torch.linspace(-1, 1, n) ** 2 for n in shape[-2:])
    spot = -1 + 1.6 * torch.exp(-(rows[:, None] + columns) / 0.3)
    return spot.expand(1, *shape).contiguous()


def worst(denoise: Denoise, picture: Tensor, levels: Sequence[float]) -> float:
    """The largest error of `denoise` over the noise `levels` ρ, relative to the noise: root mean squares.

    `picture` is (b, c, h, w) in [−1, 1]. The result is infinite if the network answers NaN.
    """
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0)).to(picture.device)
    found = (denoise(picture + rho * noise, rho) - picture for rho in levels)
    errors = [float(e.square().mean().sqrt()) / rho for e, rho in zip(found, levels, strict=True)]
    return math.inf if any(map(math.isnan, errors)) else max(errors)


def readings(prior: Prior) -> Iterator[tuple[str, Denoise]]:
    """Other ranges of images and other outputs than those of `prior`, each with a denoiser that supposes it."""
    f = prior.judged
    for what, low, high in RANGES:
        half = (high - low) / 2

        for kind, read in OUTPUTS.items():

            def denoise(u: Tensor, rho: float, low: float = low, half: float = half, read: Read = read) -> Tensor:
                v = (u + 1) * half + low
                return (read(v, f(v, half * rho), half * rho) - low) / half - 1

            if what or kind:
                yield " and ".join(filter(None, (what, kind))), denoise


def conventions(prior: Prior) -> Iterator[tuple[str, Denoise]]:
    """The network of `prior` by other predictions of its own convention, and by other tables of noise levels."""
    own = getattr(prior, "precondition", None)
    if not isinstance(own, Precondition):
        return
    others: list[tuple[str, Precondition]] = [
        (f"prediction={p}", replace(own, prediction=p)) for p in own.predictions if p != own.prediction
    ]
    if isinstance(own, Tabulated):
        steps = len(own.table.ratios) - 1
        for kind in ("linear", "scaled_linear", "squaredcos_cap_v2"):
            if kind != own.table.kind or own.table.betas:
                others.append((f"its noise schedule is {kind}", replace(own, table=Discrete(kind, steps=steps))))

    for text, precondition in others:

        def denoise(u: Tensor, rho: float, precondition: Precondition = precondition) -> Tensor:
            prior.precondition = precondition  # type: ignore[assignment]
            try:
                out: Tensor = prior.judged(u, rho)
                return out
            finally:
                prior.precondition = own  # type: ignore[assignment]

        yield text, denoise


def name(prior: Prior) -> str:
    """What a message calls the prior: the file or folder it comes from, or its class."""
    given = getattr(prior, "given", None)
    path = given and (given.options.get("path") or next(iter(given.args), None))
    return f"{type(prior).__name__} {path}" if isinstance(path, str | Path) else type(prior).__name__
