"""Which solver takes which operator, as the types of real problems tell it."""

from collections.abc import Iterator
from itertools import count, islice, product
from string import ascii_lowercase
from typing import Any

import torch

from ..errors import XhatError
from ..likelihoods import LatentLikelihood, Likelihood, likelihood
from ..noise import Gaussian, Noiseless, Poisson
from ..operators import OPERATORS
from ..operators.base import Operator
from ..operators.building import build_operator, kind
from ..operators.decoder import Decoder, Identity
from ..solvers import SOLVERS
from ..solvers.base import AnySolver
from ..spec import factors, parameters, parse

EXTRA = {"blur": {"kernel": torch.tensor([[0.0, 1.0, 0.0], [1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])}}  # not separable
MARKS = (("●", "any Gaussian noise"), ("○", "noiseless data only"), ("·", "no"))
POISSON = "◐"
MEANINGS = {POISSON: "any noise, Poisson included", **dict(MARKS[:2])}


def problems() -> dict[str, Operator]:
    """One small operator of every kind that needs no file, by name; one that refuses its own example is left out."""
    return {name: A for name, A in tried().items() if isinstance(A, Operator)}


def tried() -> dict[str, Operator | str]:
    """One small operator of every kind that needs no file, by name, or why it cannot be built from its example."""
    built: dict[str, Operator | str] = {}
    for name, cls in OPERATORS.items():
        options = EXTRA.get(name, {})
        needed = [p.name for p in list(parameters(cls).values())[1:] if p.default is p.empty and p.name not in options]
        if needed:
            continue
        try:
            built[name] = A = cls(cls.example, **options)
            _ = A.data_shape  # which a forward pass may tell
        except Exception as e:  # whatever the code of a plug-in raises
            built[name] = f"for its `example` {cls.example}: {_said(e)}"
    return built


def matrix() -> str:
    """A table in text with a row for each solver and a column for each operator, and the meaning of the marks.

    What cannot be built from its defaults has no row or no column; it is named below the table, with the reason.
    """
    operators = tried()
    columns = {name: _kinds(A) for name, A in operators.items() if isinstance(A, Operator)}
    left_out = {f"operator {name}": A for name, A in operators.items() if isinstance(A, str)}
    letters = list(islice(column_names(), len(columns)))
    width = max(len(s) for s in SOLVERS)
    lines = ["which solver takes which operator", "    " + " " * width + "  " + " ".join(letters)]
    latent = []
    for name, cls in sorted(SOLVERS.items()):
        try:
            solver = cls()
            marks = [_mark(solver, kinds) for kinds in columns.values()]
        except Exception as e:  # whatever the code of a plug-in raises
            left_out[f"solver {name}"] = f"with its options at their defaults: {_said(e)}"
            continue
        lines.append(f"    {name:{width}}  " + " ".join(f"{m:{len(a)}}" for m, a in zip(marks, letters, strict=True)))
        latent += [name] if issubclass(solver.needs, LatentLikelihood) else []
    lines += [f"    {mark} {text}" for mark, text in MARKS]
    lines.append(f"    only with a latent prior, where all that take any noise run, too: {', '.join(latent)}")
    named = ", ".join(f"{letter} {name}" for letter, name in zip(letters, columns, strict=True))
    lines += [f"    {POISSON} any noise, Poisson included", f"    {named}"]
    return "\n".join([*lines, *(f"    not in the table: {name}, {why}" for name, why in left_out.items())])


def takers(of: str) -> dict[str, str]:
    """The mark of each solver that takes the operator with the spec `of`, by name.

    Raises SpecError for an unknown operator or option, and what it raises if it cannot be built on an example.
    """
    built = kind(of)
    needed = [p.name for p in list(parameters(built).values())[1:] if p.default is p.empty]
    known: dict[str, Any] = dict(EXTRA.get(parse(factors(of)[-1]).name, {})) or dict.fromkeys(needed)
    problem = _kinds(build_operator(of, built.example, None, known))
    marks = {name: _mark(cls(), problem) for name, cls in sorted(SOLVERS.items())}
    return {name: mark for name, mark in marks.items() if mark != MARKS[2][0]}


def _said(e: Exception) -> str:
    return " ".join(str(e).split()) if isinstance(e, XhatError) else f"{type(e).__name__}: {' '.join(str(e).split())}"


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
