"""Measurements of a known image: y = A(x) + noise."""

from collections.abc import Callable

from torch import Tensor

from ..files.measurement import Measurement, Source
from ..files.readers.load import load_reference
from ..noise import NOISES, Noise
from ..operators.base import Operator
from .parts import as_noise, as_operator, image_for, name_of
from .run import measured


def simulate(
    x: Source, operator: str | Operator | Callable[[Tensor], Tensor], noise: str | Noise, seed: int = 0
) -> Measurement:
    """One measurement of the image `x`, a path, array, PIL image or tensor; `restore` takes it as it is."""
    truth = image_for(operator, load_reference(x))
    A, model = as_operator(operator, tuple(truth.shape)), as_noise(noise)
    model = model.bind(A)
    return Measurement(
        y=measured(A, model, truth[None], [seed])[0],
        image_shape=A.shape,
        operator=operator if isinstance(operator, str) else None,
        noise=name_of(model, NOISES) if type(model) in NOISES.values() else None,
        seed=seed,
        origin=f"a measurement simulated with {name_of(operator)}",
    )
