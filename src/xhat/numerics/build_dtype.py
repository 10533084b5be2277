"""The number format in which operators and priors are built: the one place that reads torch's global default."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def built(value: Tensor) -> Tensor:
    """`value`, usually computed in float64, in the format of what is being built, torch's default dtype.

    A part follows torch's rule for modules: it is made in the default dtype, float32 unless the program says otherwise,
    and `part.double()` widens numbers that were rounded already. For exact work build it inside `double_by_default`.
    """
    return value.to(torch.get_default_dtype())


@contextmanager
def double_by_default() -> Iterator[None]:
    """Within, tensors and parts that are made without a dtype are in double precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
