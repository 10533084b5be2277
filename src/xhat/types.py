"""Shared array types. `b` is the batch, `*image` the shape of one signal, `*data` that of one measurement."""

from jaxtyping import Float, Inexact
from torch import Tensor

Image = Float[Tensor, "b *image"]
Data = Inexact[Tensor, "b *data"]
PerImage = Float[Tensor, "b"]
