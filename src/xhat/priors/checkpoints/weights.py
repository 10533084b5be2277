"""Which of the weights in a checkpoint are used: the averaged ones, found by rules wherever they lie.

A file is a tree of dictionaries and lists. A *set* of weights is a part of it that has the names of a known layout. It
may lie at any depth, in dictionaries or behind prefixes of names. A word on the way to it (`ema`, `shadow`, `online`)
says whether it is an average over the training. An average may also be a list in the order of the raw set, or have its
names without dots.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import DataError, SpecError
from ..averages import says, words_in

Tensors = Mapping[str, Tensor]
Fits = Callable[[Tensors], bool]

COUNTERS = {
    "initted",
    "n_averaged",
    "num_updates",
    "optimization_step",
}  # what stands beside an average, and only there
WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")  # PyTorch's own, anywhere in a name
DEPTH = 12  # a tree that is deeper than this is none: a pickle may hold itself


@dataclass(frozen=True)
class Weights:
    """A set of weights: the `place` where it lies in the file, its tensors by name, whether the place says that it is
    an average (None: it says nothing), what tensors lie on the way to it, such as the table of a diffusion, and how
    many of its tensors came from the raw set.
    """

    place: tuple[str, ...]
    tensors: Tensors
    averaged: bool | None
    beside: Tensors
    borrowed: int = 0

    @property
    def name(self) -> str:
        """The place as text, by which a user can ask for this set."""
        return ".".join(self.place) or "top"


@dataclass(frozen=True)
class Loose:
    """Tensors whose place says that they are an average, but which have not the names of a known layout."""

    place: tuple[str, ...]
    tensors: Tensors | Sequence[Tensor]

    @property
    def numbers(self) -> int:
        """How many numbers the tensors hold."""
        kept = self.tensors.values() if isinstance(self.tensors, Mapping) else self.tensors
        return sum(v.numel() for v in kept)


@dataclass(frozen=True)
class Choice:
    """The set that is used: its tensors without prefixes, its name, a line about the choice if there was one to make,
    and the tensors on the way to it.
    """

    tensors: dict[str, Tensor]
    name: str
    note: str = ""
    beside: Tensors = field(default_factory=dict)


def choose(content: Any, fits: Fits, file: Path, wanted: str | None = None) -> Choice:
    """The weights in the `content` of `file`, for a layout that is told by `fits`.

    The averaged set is taken where there is one. `wanted` is the name of a set, or `averaged` or `raw`. Raises
    SpecError that names the sets if there is no such set, or if nothing says which of several is the average, and
    DataError if the file holds no tensors. Where no set fits, the largest table is returned as it is.
    """
    sets, loose = found(content, fits)
    for part in loose:
        raw = next((s for s in sets if not s.averaged and part.numbers >= size(s) / 2), None)
        if raw is None:
            continue
        named = placed(part, raw)
        if named is not None:
            left = len(raw.tensors) - len(named)
            sets.append(Weights(part.place, dict(raw.tensors) | named, True, raw.beside, left))
        elif wanted is None:
            raise SpecError(
                f"{file}: {'.'.join(part.place)} looks like averaged weights, but they do not match those of "
                f"{raw.name}. Say weights={raw.name} to use the raw ones"
            )
    if not sets:
        return Choice(largest(content, file), "top")
    sets = judged(sets)
    sets = [completed(s, sets) for s in sets]
    taken = picked(sets, file, wanted)
    return Choice(dict(taken.tensors), taken.name, note(taken, sets, file), taken.beside)


def found(content: Any, fits: Fits) -> tuple[list[Weights], list[Loose]]:
    """The sets of weights in `content`, and averages without the names of the layout."""
    sets: list[Weights] = []
    loose: list[Loose] = []
    for place, table, counted in tables(content):
        if isinstance(table, Mapping):
            sets_here, loose_here = in_table(table, fits, place, counted, {})
            sets += sets_here
            loose += loose_here
        elif says(place, counted):
            loose.append(Loose(place, table))
    return sets, loose


def tables(
    content: Any, place: tuple[str, ...] = (), counted: bool = False
) -> Iterator[tuple[tuple[str, ...], Tensors | Sequence[Tensor], bool]]:
    """Every dictionary and list of tensors in `content` with its place, and whether a counter of averages lies beside.

    The state of an optimiser is left out: its moments look like weights.
    """
    if len(place) > DEPTH:
        return
    if isinstance(content, Mapping):
        if "param_groups" in content:
            return
        counted = counted or not COUNTERS.isdisjoint(map(str, content))
        own = {unwrapped(str(k)): v for k, v in content.items() if isinstance(v, Tensor)}
        if own:
            yield place, own, counted
        for key, value in content.items():
            yield from tables(value, (*place, str(key)), counted)
    elif isinstance(content, list | tuple) and content:
        if all(isinstance(v, Tensor) for v in content):
            yield place, list(content), counted
            return
        for i, value in enumerate(content):
            yield from tables(value, (*place, str(i)), counted)


def unwrapped(name: str) -> str:
    """A tensor's name without what PyTorch's own wrappers put into it."""
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, "")
    return name


def in_table(
    table: Tensors, fits: Fits, place: tuple[str, ...], counted: bool, beside: Tensors
) -> tuple[list[Weights], list[Loose]]:
    """The sets in one dictionary of tensors, which may hold several networks behind prefixes of their names."""
    counted = counted or not COUNTERS.isdisjoint(table)
    beside = {**beside, **{name: v for name, v in table.items() if "." not in name}}
    groups = grouped(table)
    if fits(table):  # another set may lie beside it, behind a prefix that says what it is
        groups = {k: v for k, v in groups.items() if says((k,)) is not None}
    sets: list[Weights] = []
    loose: list[Loose] = []
    for prefix, inside in groups.items():
        deeper, adrift = in_table(inside, fits, (*place, prefix), counted, beside)
        sets += deeper
        loose += adrift
    taken = {f"{prefix}.{name}" for prefix, inside in groups.items() for name in inside}
    if fits(table):
        own = table if not sets else {k: v for k, v in table.items() if k not in taken}
        sets.insert(0, Weights(place, own, says(place, counted), beside))
    elif not sets and says(place, counted):
        loose = [Loose(place, table)]
    return sets, loose


def grouped(table: Tensors) -> dict[str, dict[str, Tensor]]:
    """The tensors by the first part of their names: {"net.a": v} becomes {"net": {"a": v}}."""
    groups: dict[str, dict[str, Tensor]] = {}
    for name, v in table.items():
        first, dot, rest = name.partition(".")
        if dot:
            groups.setdefault(first, {})[rest] = v
    return groups


def size(weights: Weights) -> int:
    """How many numbers a set holds."""
    return sum(v.numel() for v in weights.tensors.values())


def placed(part: Loose, raw: Weights) -> dict[str, Tensor] | None:
    """The tensors of a loose average by the names of the raw set, or None if it does not match that set."""
    if isinstance(part.tensors, Mapping) and not all(name.isdigit() for name in part.tensors):
        return by_letters(part.tensors, raw)
    kept = part.tensors.values() if isinstance(part.tensors, Mapping) else part.tensors
    return in_order(list(kept), raw.tensors)


def by_letters(average: Tensors, raw: Weights) -> dict[str, Tensor] | None:
    """An average whose names have lost their dots, as buffers of a module must, matched by letters and digits alone.

    The names may begin with the last parts of the raw set's place.
    """
    plain = {letters(name): v for name, v in average.items()}
    for k in range(len(raw.place), -1, -1):
        start = letters("".join(raw.place[k:]))
        known = {start + letters(name): name for name in raw.tensors}
        if len(known) < len(raw.tensors):
            return None
        named = {known[name]: v for name, v in plain.items() if name in known}
        if sum(v.numel() for v in named.values()) >= size(raw) / 2:
            return named if all(v.shape == raw.tensors[n].shape for n, v in named.items()) else None
    return None


def letters(name: str) -> str:
    """A name without everything but letters and digits."""
    return re.sub(r"[^0-9A-Za-z]", "", name)


def in_order(average: Sequence[Tensor], raw: Tensors) -> dict[str, Tensor] | None:
    """A list of tensors by the names of the raw set, in whose order it is.

    The list lacks what is not trained: buffers and frozen parameters. It is matched by shapes, which must leave one
    way only; None if there is none or more than one.
    """
    names, n = list(raw), len(average)
    ways = [1] + [0] * n  # in how many ways the names so far hold the first j tensors of the list
    for name in names:
        for j in range(n, 0, -1):
            if raw[name].shape == average[j - 1].shape:
                ways[j] += ways[j - 1]
    if ways[n] != 1:
        return None
    named: dict[str, Tensor] = {}
    later = iter(average)
    wanted = next(later, None)
    # The only way is also the first one, which takes each tensor as soon as its shape comes.
    for name in names:
        if wanted is not None and raw[name].shape == wanted.shape:
            named[name] = wanted
            wanted = next(later, None)
    return named


def judged(sets: list[Weights]) -> list[Weights]:
    """The sets, of which one may turn out to be the average although its place does not say so.

    It is the only one that is not said to be raw, or the last of a list, [network, optimiser, …, average], as the code
    of DDIM keeps it.
    """
    unsaid = [s for s in sets if s.averaged is None]
    if len(sets) == 1 or not unsaid or any(s.averaged for s in sets):
        return sets
    listed = len(unsaid) == len(sets) and all(s.place and s.place[0].isdigit() for s in sets)
    last = unsaid[-1]
    if len(unsaid) == 1 or (listed and same(last.tensors, sets[0].tensors)):
        return [replace(s, averaged=s is last) for s in sets]
    return sets


def completed(weights: Weights, sets: Sequence[Weights]) -> Weights:
    """An averaged set with the tensors that only the raw set of the same network has: buffers are not averaged."""
    if not weights.averaged:
        return weights
    for raw in sets:
        missing = raw.tensors.keys() - weights.tensors.keys()
        if not raw.averaged and missing and same(weights.tensors, raw.tensors):
            return replace(weights, tensors=dict(raw.tensors) | dict(weights.tensors), borrowed=len(missing))
    return weights


def same(part: Tensors, whole: Tensors) -> bool:
    """Whether all tensors of `part` are in `whole`, of the same shapes."""
    return all(name in whole and whole[name].shape == v.shape for name, v in part.items())


def picked(sets: Sequence[Weights], file: Path, wanted: str | None) -> Weights:
    """The set to use; see `choose`."""
    averages = sorted((s for s in sets if s.averaged), key=lambda s: -decay(s.name))  # stable: the first, if none tells
    if wanted is not None:
        raw = [s for s in sets if not s.averaged]
        asked = {"averaged": averages, "raw": raw}.get(wanted, [s for s in sets if s.name == wanted])
        if not asked:
            raise SpecError(f"{file} has no weights {wanted!r}; it has {', '.join(s.name for s in sets)}")
        return asked[0]
    if averages:
        return averages[0]
    unsaid = [s for s in sets if s.averaged is None] or list(sets)
    if len(unsaid) == 1 or all(equal(s.tensors, unsaid[0].tensors) for s in unsaid[1:]):
        return unsaid[0]
    raise SpecError(
        f"{file} holds several sets of weights, and nothing says which is the average: "
        f"{', '.join(s.name for s in unsaid)}. Say weights={unsaid[-1].name} or another"
    )


def equal(one: Tensors, two: Tensors) -> bool:
    """Whether two sets are the same numbers."""
    return one.keys() == two.keys() and all(v.shape == two[k].shape and torch.equal(v, two[k]) for k, v in one.items())


def decay(name: str) -> float:
    """The decay in the name of an average (`ema_0.9999`), 0 if it has none."""
    return max((float(x) for x in re.findall(r"0[.]\d+", name)), default=0.0)


def note(taken: Weights, sets: Sequence[Weights], file: Path) -> str:
    """What there is to say about the choice; empty if there was none."""
    others = [s.name for s in sets if s.place != taken.place]
    kind = {True: "averaged weights", False: "raw weights", None: "weights"}[taken.averaged]
    text = f"took the {kind} {taken.name}" if others else ""
    if others:
        text += f"; {', '.join(others)} lie{'s' if len(others) == 1 else ''} beside (weights=NAME takes another)"
    if taken.borrowed:
        text += f"; {taken.borrowed} tensors that are not averaged come from the raw weights"
    if not taken.averaged and (beside := averaged_files(file)):
        text += f"{'; ' if text else ''}these may be raw weights: averaged ones may lie in {', '.join(beside)}"
    return text


def averaged_files(file: Path) -> list[str]:
    """The files beside `file` whose names say that they hold the average of the same weights.

    `ema_0.9999_050000.pt` lies beside `model050000.pt` and `net-EMA.ckpt` beside `net.ckpt`.
    """
    own = words_in(file.stem)
    if says((file.stem,)) or not own or not file.parent.is_dir():
        return []
    step = own[-1] if own[-1].isdigit() else None
    near = (f for f in file.parent.iterdir() if f.suffix == file.suffix and f != file and says((f.stem,)))
    return sorted(f.name for f in near if step in words_in(f.stem) or set(own) <= set(words_in(f.stem)))


def largest(content: Any, file: Path) -> dict[str, Tensor]:
    """The table of a file that holds no known layout, without what all names begin with. Raises DataError if there are
    no tensors by name in the file.
    """
    named: list[Tensors] = [t for _, t, _ in tables(content) if isinstance(t, Mapping)]
    if not named:
        if not isinstance(content, Mapping):
            raise DataError(f"{file} holds a {type(content).__name__}, not a state dict")
        inside = ", ".join(map(str, list(content)[:8])) or "nothing"
        raise DataError(f"{file} holds no state dict; it holds {inside}")
    table: Tensors = max(named, key=lambda t: sum(v.numel() for v in t.values()))
    while len(table) > 1:
        groups = list(grouped(table).values())
        if len(groups) != 1 or len(groups[0]) != len(table):
            break
        table = groups[0]
    return dict(table)
