"""A residual U-Net without normalisation: the network of the priors that are trained here.

Without normalisation a pixel's answer does not depend on the size of the picture, and nearly all of the time goes into
convolutions. The network works on 2x2 blocks of pixels.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from ..errors import SpecError
from ..numerics.convolution import conv_add, conv_relu


class Block(nn.Module):
    """x + second(relu((1 + scale) first(x) + bias)): two 3x3 convolutions of `channels` channels.

    The noise level sets scale and bias, one of each a channel. The second convolution starts at zero, so a new block is
    the identity, and so does the scale.
    """

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.level = nn.Linear(embedding, 2 * channels)
        silence(self.second.weight, self.second.bias, self.level.weight[channels:], self.level.bias[channels:])

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """Features (b, channels, h, w) under the embedded noise level `e`, (b, embedding), or one for all."""
        bias, scale = self.level(e).chunk(2, 1)
        scale = 1 + scale
        if len(e) == 1:
            # One level for all images: the convolution itself scales and adds, which saves a pass over the features.
            weight = self.first.weight * scale[0, :, None, None, None]
            h = conv_relu(x, weight, self.first.bias * scale[0] + bias[0])
        else:
            h = torch.addcmul(bias[:, :, None, None], self.first(x), scale[:, :, None, None]).relu_()
        return conv_add(h, self.second.weight, self.second.bias, x)


class ResidualUNet(nn.Module):
    """F(x, time) for images of `channels` channels, (b, channels, h, w) to the same.

    Level i has `widths[i]` channels and 1/2^(i + 1) of the image's resolution, with `blocks[i]` residual blocks on the
    way down and as many on the way up; the last level has only one way. What comes up is added to what went down. The
    noise level reaches each block through a small network of `embedding` units on `frequencies` sines and cosines of
    the time, which is ln(σ)/4 in EDM's preconditioning. The sides of an image must be multiples of `multiple`. A new
    network returns 0. Raises SpecError if the numbers of widths and blocks differ, or one of them is not positive.
    """

    def __init__(
        self,
        channels: int = 3,
        widths: Sequence[int] = (96, 128, 256),
        blocks: Sequence[int] = (2, 1, 2),
        embedding: int = 128,
        frequencies: int = 32,
    ) -> None:
        super().__init__()
        if len(widths) != len(blocks) or min((channels, embedding, frequencies, *widths, *blocks), default=0) < 1:
            raise SpecError(
                f"widths {list(widths)} and blocks {list(blocks)}: one of each is needed a level, from 1 on"
            )
        self.config: dict[str, Any] = {
            "channels": channels,
            "widths": list(widths),
            "blocks": list(blocks),
            "embedding": embedding,
            "frequencies": frequencies,
        }
        self.multiple = 2 ** len(widths)
        pairs = list(pairwise(widths))

        def rows(levels: int) -> nn.ModuleList:
            sizes = list(zip(widths, blocks, strict=True))[:levels]
            return nn.ModuleList(nn.ModuleList(Block(c, embedding) for _ in range(n)) for c, n in sizes)

        self.enter = nn.Conv2d(4 * channels, widths[0], 3, padding=1)
        self.embed = nn.Sequential(
            nn.Linear(2 * frequencies, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.down = rows(len(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairs)
        self.up = rows(len(widths) - 1)
        self.leave = nn.Conv2d(widths[0], 4 * channels, 3, padding=1)
        silence(self.leave.weight, self.leave.bias)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.enter.weight.device

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """F for images `x` (b, channels, h, w) at the times (b,), or at one time (1,) of all images."""
        e = self.embedded(time).to(x.dtype)
        z = pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)
        return pixel_shuffle(self.features(z, e), 2)

    def embedded(self, time: Tensor) -> Tensor:
        """The noise level as (b, embedding); the angles are float32, whatever the network runs in."""
        n = self.config["frequencies"]
        angles = torch.exp(torch.linspace(0, 5, n, device=time.device)) * time.float()[:, None]
        waves = torch.cat([angles.sin(), angles.cos()], 1)
        out: Tensor = self.embed(waves.to(self.enter.weight.dtype))
        return out

    def features(self, x: Tensor, e: Tensor) -> Tensor:
        """The U-Net itself on 2x2 blocks of pixels, (b, 4 channels, h/2, w/2) to the same."""
        x = self.enter(x)
        skips = []
        for i, row in enumerate(self.down):
            x = through(row, x, e)
            if i < len(self.shrink):
                skips.append(x)
                x = self.shrink[i](x)
        for i in reversed(range(len(self.grow))):
            x = self.grow[i](x).add_(skips[i])
            x = through(self.up[i], x, e)
        out: Tensor = self.leave(x)
        return out


def through(row: nn.Module, x: Tensor, e: Tensor) -> Tensor:
    """The features `x`, (b, c, h, w), after all blocks of a `row`, given the embedding `e` of the noise, (b, width)."""
    for block in row.children():
        x = block(x, e)
    return x


def silence(*weights: Tensor | None) -> None:
    """Sets weights to zero."""
    with torch.no_grad():
        for w in weights:
            if w is not None:
                w.zero_()
