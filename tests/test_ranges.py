"""Options out of range are refused, whichever part they belong to; see `xhat.ranges`."""

import copy
import math
import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, get_args

import pytest

from operator_cases import sky
from xhat.baselines import BASELINES
from xhat.bench.images import IMAGES
from xhat.cli.listing import listing
from xhat.errors import SpecError
from xhat.exact.problems import PROBLEMS
from xhat.noise import NOISES
from xhat.operators import OPERATORS
from xhat.priors import PRIORS
from xhat.ranges import (
    Fraction,
    NonNegative,
    Positive,
    Range,
    bare,
    finite,
    fits,
    is_a,
    marks,
    name_of,
    parameters,
    wanted,
)
from xhat.schedule import SCHEDULES
from xhat.solvers import LMAPS, SOLVERS
from xhat.solvers.base import Estimator
from xhat.spec import build
from xhat.train.recipe import TABLES

REGISTRIES: dict[str, Mapping[str, Any]] = {
    "solver": SOLVERS,
    "baseline": BASELINES,
    "operator": OPERATORS,
    "noise": NOISES,
    "prior": PRIORS,
    "schedule": SCHEDULES,
    "images": IMAGES,
    "problem": PROBLEMS,
    "table of a recipe": TABLES,
}

FLOATS = (0.0, -1.0, -1e300, math.nan, math.inf, -math.inf, 1e300, 10**400)
WHOLES = (0, -1, 0.5, math.nan, math.inf, -(10**9), 2**62, 10**400)

# What a part needs to be built, and what would take long in its default.
NEEDED: dict[str, dict[str, Any]] = {
    "black_hole": {"observation": sky()},
    "black_hole_array": {"interval": 7200},
    "velocity": {"components": 1, "rank": 2, "pictures": 6, "size": 8},
    "vorticity": {"components": 1, "rank": 2, "pictures": 6, "size": 8},
    "blackhole": {"components": 1, "rank": 2, "pictures": 6, "size": 8},
    "generated": {"what": "velocity"},
    "mixture": {"d": 2, "m": 1},
    "scattering": {"solve": "cg", "side": 0.02, "receivers": 7, "transmitters": 5},
}
# Priors whose files these tests do not have: only refusals are tried, which come before a file is read.
FILED = {*PRIORS} - {"powerlaw", "magnitude", "velocity", "vorticity", "blackhole"}
COMPANY: dict[tuple[str, str], dict[str, Any]] = {  # options that have to come with another
    ("lmaps", "k1"): {"k2": 1.0},
    ("lmaps", "k2"): {"k1": 1.0},
}


def numeric(hint: Any) -> Iterator[Any]:
    """The parts of an annotation that take numbers."""
    if bare(hint) in (int, float, int | float):
        yield hint
    else:
        for choice in get_args(hint):
            yield from numeric(choice)


OPTIONS = [
    pytest.param(kind, name, key, id=f"{kind} {name}: {key}")
    for kind, registry in REGISTRIES.items()
    for name, part in registry.items()
    for key, p in parameters(part).items()
    if [*numeric(p.annotation)] and key != "shape"
]


@pytest.mark.parametrize(("kind", "name", "key"), OPTIONS)
def test_a_number_is_in_its_range_or_refused(kind, name, key):
    """Zero, negative, NaN, infinite and huge values of every option: refused in one line, or the part is built."""
    part = REGISTRIES[kind][name]
    hint = parameters(part)[key].annotation
    shape = (part.example,) if kind == "operator" else ()
    assert all(marks(choice) for choice in numeric(hint)), f"{name}: {key} declares no range"
    whole = all(bare(choice) is int for choice in numeric(hint))
    for v in WHOLES if whole else FLOATS:
        if fits(v, hint, is_a):
            assert finite(v)
            if not (kind == "prior" and name in FILED):
                part(*shape, **NEEDED.get(name, {}) | {key: v} | COMPANY.get((name, key), {}))
        else:
            refused(part, key, v, hint)
            said = "1" + 400 * "0" if v == 10**400 else repr(v)
            with pytest.raises(SpecError, match=rf"^{re.escape(name)}: {key} must be "):
                build(f"{name}:{key}={said}", REGISTRIES[kind], *shape)


def refused(part: Any, key: str, v: Any, hint: Any) -> None:
    """The line names part, option, range and value."""
    with pytest.raises(SpecError) as e:
        part(**{key: v})
    line = str(e.value)
    asked = wanted(hint) if finite(v) else wanted(hint).replace("a number", "a finite number", 1)
    assert line.startswith(f"{name_of(part)}: {key} must be {asked}, not ")
    assert repr(v)[:100] in line
    assert "\n" not in line
    assert len(line) < 300


@pytest.mark.parametrize("kind", REGISTRIES)
def test_the_defaults_are_in_range(kind):
    for name, part in REGISTRIES[kind].items():
        for key, p in parameters(part).items():
            if p.default is not p.empty and [*numeric(p.annotation)]:
                assert fits(p.default, p.annotation, is_a), f"{name}: {key}={p.default}"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Range(), "a number"),
        (Positive, "a number above 0"),
        (NonNegative, "a number of at least 0"),
        (Fraction, "a number from 0 to 1"),
        (Range(above=0, most=1), "a number above 0 and at most 1"),
        (Range(least=0, below=1), "a number of at least 0 and below 1"),
        (Range(1, 1_000_000), "a number from 1 to 1,000,000"),
    ],
)
def test_a_range_says_itself_in_words(given, words):
    assert wanted(Annotated[float, given]) == words
    assert wanted(Annotated[int, given] | None) == f"{words.replace('a number', 'a whole number')}, or none"


def test_bounds_are_in_or_out():
    for v, inside in ((0, False), (1, True), (0.5, True), (1.5, False), (math.nan, False), (10**400, False)):
        assert (v in Range(above=0, most=1)) == inside
        assert (v in Range(least=1, below=2)) == (v in (1, 1.5))


def test_a_class_of_ones_own_is_checked_and_keeps_what_it_inherits():
    seen = []

    @dataclass(frozen=True)
    class Mine(Estimator[Any]):
        steps: int = 7  # keeps the range of Solver.steps
        zeta: float = 0.5  # and of Estimator.zeta
        k: Annotated[float, Positive] = 1.0
        free: float = 0.0  # without a range: any finite number
        weights: tuple[Annotated[float, NonNegative], ...] = field(default=(1.0,))

        def __post_init__(self) -> None:
            seen.append(self.k)

        def estimate(self, *_: Any) -> Any: ...

    assert Mine(k=2.0, free=-1e300, weights=(0.0, 3.0)).k == seen[-1] == 2.0
    for wrong in ({"steps": 0}, {"zeta": 1.1}, {"k": 0.0}, {"free": math.nan}, {"weights": (1.0, -1.0)}, {"k": "a"}):
        with pytest.raises(SpecError, match=f"^mine: {next(iter(wrong))} must be "):
            Mine(**wrong)
    with pytest.raises(SpecError, match=r"mine: steps must be a whole number from 1 to 1,000,000, not -3"):
        Mine(-3)
    with pytest.raises(TypeError, match="no_such"):
        Mine(no_such=1)


def test_the_listing_of_a_part_says_its_ranges():
    shown = listing("solvers", "lmaps")
    assert "k: a number above 0, or none\n" in shown
    assert "k1: a number of at least 0, or none\n" in shown
    assert "std: a number from 0.001 to 10,000\n" in listing("operators", "gaussian_blur")


def test_a_part_is_copied_pickled_and_changed_as_before():
    one = LMAPS(k=2.0)
    assert copy.deepcopy(one) == copy.copy(one) == pickle.loads(pickle.dumps(one)) == one
    assert replace(one, k=3.0).k == 3.0
    with pytest.raises(SpecError, match="lmaps: k must be a number above 0, or none, not -1"):
        replace(one, k=-1.0)
