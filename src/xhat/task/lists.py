"""Several measurements at once: a list, a data set or a batch, each restored by itself with a part of its own."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, overload, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..baselines.base import Baseline
from ..errors import DataError, SpecError, XhatError
from ..files.arrays import upright
from ..files.measurement import Measurement, Source
from ..files.pictures import PICTURES, is_picture
from ..numerics.device import pick_device
from ..operators.base import Operator
from ..priors import Prior
from .intake import Given
from .parts import Shape, as_solver, prior_for
from .restoration import Restoration
from .samplers import POINT
from .usual import FITTED, named_prior, unnamed, usual

# How an option of `xhat restore` that is no argument of `restore` is said in Python.
TYPED = {
    "steps": 'solver="lmaps:steps=20"',
    "sigma": 'noise=0.05, or noise="auto"',
    "dtype": 'prior="photo:dtype=bfloat16"',
    "compile": 'prior="photo:compile=true"',
    "out": "r.save(folder) of what is returned",
    "size": "cut=xhat.files.cut.Cut(size=64)",
    "crop": 'cut=xhat.files.cut.Cut(crop="64x64")',
    "mask": 'operator="inpaint:fill=mask.png"',
    "A": "operator=A",
    "x": "the measurement first, without a name",
}
P = ParamSpec("P")
OWN = ("operator", "noise", "reference", "value_range")  # a list of these has one for each measurement


@runtime_checkable
class Restore(Protocol[P]):
    """One measurement in, one restoration out; a list in, a list out."""

    @overload
    def __call__(self, y: list[Any] | tuple[Any, ...], *args: P.args, **options: P.kwargs) -> list[Restoration]: ...

    @overload
    def __call__(self, y: Source, *args: P.args, **options: P.kwargs) -> Restoration: ...


def listwise(one: Callable[Concatenate[Source, P], Restoration]) -> Restore[P]:
    """`one`, which restores one measurement, for several, too: each as if it were given by itself.

    The prior is built once, unless nobody named it and each measurement may want its own. The results are a list, in
    the order of the measurements.
    """
    known = signature(one)
    alone: Callable[..., Restoration] = one

    @wraps(one)
    def restore(y: Any, *args: Any, **options: Any) -> Any:
        try:
            bound = known.bind(y, *args, **options)
        except TypeError as e:
            raise TypeError(f"restore: {e}{instead(options)}") from None
        bound.apply_defaults()
        given: dict[str, Any] = bound.arguments
        items = several(y)
        if items is not None or (isinstance(y, np.ndarray | Tensor) and y.ndim == 4):
            solver = as_solver(given["solver"] or POINT)
            if unnamed(given["prior"]) and one_for_all(given["operator"], [y] if items is None else items):
                told = None if isinstance(solver, Baseline) else "the measurements"
                given["prior"] = named_prior(given["prior"], given["operator"], given["shape"], told)
            if not unnamed(given["prior"]):
                given["prior"] = prior_for(solver, given["prior"], pick_device(given["device"]))
            if items is None and stacked(y, given["operator"], given["prior"], given["shape"]):
                items = list(y)
        if items is None:
            return alone(**given)
        if given["checkpoint"] is not None:
            raise SpecError(
                "a checkpoint keeps the run of one measurement; restore them one by one, or with xhat restore"
            )
        own = {name: each(given[name], len(items), name) for name in OWN}
        return [alone(**given | {"y": item} | {k: v[i] for k, v in own.items()}) for i, item in enumerate(items)]

    return restore


def instead(options: Iterable[str]) -> str:
    """What stands in Python for those options of the command line that are no arguments of `restore`."""
    return "".join(f"; say {TYPED[name]}" for name in options if name in TYPED)


def one_for_all(operator: Any, items: Sequence[Any]) -> bool:
    """Whether the prior that nobody named is told before any of the measurements is read, and is the same for all."""
    if operator is None:
        files = [item for item in items if isinstance(item, str | Path)]
        pictures = all(Path(file).suffix.lower() in PICTURES for file in files)
        return pictures and not any(isinstance(item, Measurement) for item in items)
    return not isinstance(operator, list) and usual(operator) not in FITTED


def several(y: Any) -> list[Any] | None:
    """The measurements of a list, a tuple or a data set; of items (y, …) the first is taken.

    None if `y` is one, or nothing that can be restored.
    """
    one = (str, Path, np.ndarray, Tensor, Image.Image, Measurement, Mapping, type, bytes, bytearray)
    if isinstance(y, one) or not hasattr(y, "__getitem__"):
        return None
    if not hasattr(y, "__len__"):
        raise DataError(f"a data set needs a length; {type(y).__name__} has none")
    return [item[0] if isinstance(item := y[i], tuple) else item for i in range(len(y))]


def stacked(y: Any, given: Given, prior: Prior | str, shape: Shape | None) -> bool:
    """Whether an array of four axes is a batch of pictures: operator or prior take one of them, and not all as one."""
    if not isinstance(y, np.ndarray | Tensor) or y.ndim != 4:
        return False
    one = tuple(upright(y[0]).shape) if len(y) else ()
    if isinstance(given, Operator):
        return tuple(y.shape) != given.data_shape == one
    if not is_picture(one) or not isinstance(given, str) or (shape is not None and len(shape) != 3):
        return False
    if isinstance(prior, str):  # nobody named it, and the operator of a science
        return False
    return shape is not None or (not _checks(prior, tuple(y.shape)) and _checks(prior, one))


def _checks(prior: Prior, shape: Shape) -> bool:
    try:
        prior.check(shape)
    except XhatError:
        return False
    return True


def each(part: Any, n: int, what: str) -> Sequence[Any]:
    """A part for each of n measurements: a list has one for each, a batched operator its own, else it is for all."""
    if isinstance(part, Operator) and n > 1 and max(part.batches(), default=1) == n:
        return [part.take(torch.tensor([i])) for i in range(n)]
    many = isinstance(part, list) or (what == "reference" and isinstance(part, np.ndarray | Tensor) and part.ndim == 4)
    if not many:
        return [part] * n
    if len(part) != n:
        raise SpecError(f"{len(part)} of {what} for {n} measurements: give one for each, or one for all")
    return list(part)
