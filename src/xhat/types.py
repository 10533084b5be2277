"""Shared array types. `b` is the batch, `*image` the shape of one image, `*data` the shape of one measurement.

`*latent` is the shape of what an autoencoder makes of one image. For a solver, a latent is an image.
"""

from jaxtyping import Float, Inexact
from torch import Tensor

Image = Float[Tensor, "b *image"]
Latents = Float[Tensor, "b *latent"]
Data = Inexact[Tensor, "b *data"]
PerImage = Float[Tensor, "b"]
