"""Which solver takes which operator, as the types of real problems tell it."""

from collections.abc import Iterator
from itertools import count, islice, product
from string import ascii_lowercase

import torch

from ..likelihoods import LatentLikelihood, Likelihood, likelihood
from ..noise import Gaussian, Noiseless, Poisson
from ..operators import OPERATORS
from ..operators.base import Operator
from ..operators.decoder import Decoder, Identity
from ..solvers import SOLVERS
from ..solvers.base import AnySolver
from ..spec import parameters

EXTRA = {"blur": {"kernel": torch.tensor([[0.0, 1.0, 0.0], [1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])}}  # not separable
MARKS = (("●", "any Gaussian noise"), ("○", "noiseless data only"), ("·", "no"))
POISSON = "◐"


def problems() -> dict[str, Operator]:
    """One small operator of every kind that needs no file, by name."""
    built = {}
    for name, cls in OPERATORS.items():
        options = EXTRA.get(name, {})
        needed = [p.name for p in list(parameters(cls).values())[1:] if p.default is p.empty and p.name not in options]
        if not needed:
            built[name] = cls(cls.example, **options)
    return built


def matrix() -> str:
    """A table in text with a row for each solver and a column for each operator, and the meaning of the marks."""
    columns = {name: _kinds(A) for name, A in problems().items()}
    letters = list(islice(column_names(), len(columns)))
    width = max(len(s) for s in SOLVERS)
    lines = ["which solver takes which operator", "    " + " " * width + "  " + " ".join(letters)]
    for name, cls in sorted(SOLVERS.items()):
        marks = [_mark(cls(), kinds) for kinds in columns.values()]
        lines.append(f"    {name:{width}}  " + " ".join(f"{m:{len(a)}}" for m, a in zip(marks, letters, strict=True)))
    lines += [f"    {mark} {text}" for mark, text in MARKS]
    latent = sorted(name for name, cls in SOLVERS.items() if issubclass(cls.needs, LatentLikelihood))
    lines.append(f"    only with a latent prior, where all that take any noise run, too: {', '.join(latent)}")
    named = ", ".join(f"{letter} {name}" for letter, name in zip(letters, columns, strict=True))
    return "\n".join([*lines, f"    {POISSON} any noise, Poisson included", f"    {named}"])


def column_names() -> Iterator[str]:
    """Yields a, b … z, aa, ab, …: as many as there are operators."""
    for length in count(1):
        yield from map("".join, product(ascii_lowercase, repeat=length))


def _kinds(A: Operator) -> list[tuple[Likelihood, Likelihood]]:
    """The problem about images and the one about latents, for each noise."""
    y, latent = torch.zeros(1, *A.data_shape), A @ Decoder(Identity(), A.shape)
    return [(likelihood(A, noise, y), likelihood(latent, noise, y)) for noise in (Gaussian(), Noiseless(), Poisson())]


def _mark(solver: AnySolver, kinds: list[tuple[Likelihood, Likelihood]]) -> str:
    of_latents = issubclass(solver.needs, LatentLikelihood)
    gaussian, noiseless, poisson = (solver.mismatch(None, pair[of_latents]) is None for pair in kinds)
    if poisson:
        return POISSON
    return MARKS[0][0] if gaussian else MARKS[1][0] if noiseless else MARKS[2][0]
