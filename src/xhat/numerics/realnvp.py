"""RealNVP (Dinh et al., 2017) with one set of weights for each image, flat: (b, n_weights). arXiv:1605.08803

x_i ← x_i exp(s_i) + t_i where the layer's mask is 0,   (s, t) = MLP(mask ⊙ x);   at the end x ← e^a ⊙ x + c
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ..rng import Rng
from ..types import PerImage

Weights = Float[Tensor, "b weights"]
Points = Float[Tensor, "b k n"]
LogDet = Float[Tensor, "b k"]


@dataclass(frozen=True)
class RealNVP:
    """A normalising flow on vectors of size `n`; a layer has about 3 n `hidden` weights, so it suits small images
    only.
    """

    n: int
    layers: int
    hidden: int

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """The shapes of the weight matrices and biases, in the order in which the flat weights hold them."""
        first, second = (self.n, self.hidden), (self.hidden, 2 * self.n)
        return [first, (1, self.hidden), second, (1, 2 * self.n)] * self.layers + [(1, self.n)] * 2

    def start(self, like: PerImage, rng: Rng) -> Weights:
        """The weights of the identity, (b, n_weights), for a batch as long as `like`.

        The first matrix of each layer is random, everything else is 0.
        """
        parts = []
        for k, size in enumerate(self.sizes[:-2]):
            part = like.new_zeros(len(like), math.prod(size))
            parts.append(rng.randn_like(part) / self.n**0.5 if k % 4 == 0 else part)
        return torch.cat([*parts, like.new_zeros(len(like), 2 * self.n)], 1)

    def push(self, weights: Weights, z: Points) -> tuple[Points, LogDet]:
        """x = G(z), (b, k, n), and log |det ∂G/∂z|, (b, k), for k points `z` (b, k, n) per image."""
        sizes = self.sizes
        flat = torch.split(weights, [math.prod(size) for size in sizes], 1)
        parts = [w.reshape(-1, *size) for w, size in zip(flat, sizes, strict=True)]
        x, logdet = z, z.new_zeros(z.shape[:2])
        for layer in range(self.layers):
            W1, b1, W2, b2 = parts[4 * layer : 4 * layer + 4]
            mask = self.mask(layer).to(z)
            s, t = (torch.relu((mask * x) @ W1 + b1) @ W2 + b2).chunk(2, -1)
            # Soft limit of the scale to e^±2, so that no layer can overflow.
            s = (1 - mask) * 2 * torch.tanh(s / 2)
            x, logdet = x * s.exp() + (1 - mask) * t, logdet + s.sum(2)
        a, c = parts[-2:]
        return x * a.exp() + c, logdet + a.sum(2)

    def mask(self, layer: int) -> Tensor:
        """True for half of the `n` entries, chosen at random but always the same; the next layer has the other half."""
        order = torch.randperm(self.n, generator=Generator().manual_seed(layer // 2))
        return (order < self.n // 2) == (layer % 2 == 0)
