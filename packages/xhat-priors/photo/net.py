"""The network of the photograph prior: a residual U-Net without normalisation, and the denoiser around it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIGMA_DATA = 0.5
"""The standard deviation of a photograph's pixels in [-1, 1] units, as EDM's preconditioning assumes it."""


class Block(nn.Module):
    """x + second(relu(first(x) + bias(noise level))), two 3x3 convolutions of `channels` channels.

    There is no normalisation, so that a pixel's answer does not depend on the size of the picture. The second
    convolution starts at zero: a new block is the identity.
    """

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.level = nn.Linear(embedding, channels)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """Features (b, channels, h, w) under the embedded noise level `e`, (b, embedding) or (1, embedding)."""
        bias = self.level(e)
        if len(bias) == 1:
            # One level for all images: the convolution adds the bias itself, which saves a pass over the features.
            h = F.conv2d(x, self.first.weight, self.first.bias + bias[0], padding=1)
        else:
            h = self.first(x) + bias[:, :, None, None]
        # In place where autograd allows it: the passes over fine features cost as much as their convolutions.
        return self.second(h.relu_()).add_(x)


class ResidualUNet(nn.Module):
    """F(x, c_noise) of EDM's preconditioning for RGB images, (b, 3, h, w) to the same, any size.

    The image is taken as 2x2 blocks of pixels with 12 channels. Level i of the U-Net has `widths[i]` channels and
    1 / 2^(i + 1) of the image's resolution, with `blocks[i]` residual blocks on the way down and as many on the way
    up (the last level has only one way). What comes up is added to what went down. The noise level reaches each block
    as a bias, through a small network of `embedding` units on `frequencies` sines and cosines of c_noise.

    Sides that are no multiples of `multiple` are mirrored at the bottom and right edges up to one, and cut back.
    """

    def __init__(
        self,
        widths: Sequence[int] = (64, 128, 256),
        blocks: Sequence[int] = (2, 2, 3),
        embedding: int = 128,
        frequencies: int = 32,
    ) -> None:
        super().__init__()
        if len(widths) != len(blocks):
            raise ValueError(f"{len(widths)} widths and {len(blocks)} numbers of blocks: one of each a level")
        self.config = {
            "widths": list(widths),
            "blocks": list(blocks),
            "embedding": embedding,
            "frequencies": frequencies,
        }
        self.multiple = 2 ** len(widths)

        def rows(n: int) -> nn.ModuleList:
            return nn.ModuleList(
                nn.ModuleList(Block(c, embedding) for _ in range(k))
                for c, k in zip(widths[:n], blocks[:n], strict=True)
            )

        pairs = list(pairwise(widths))
        self.enter = nn.Conv2d(12, widths[0], 3, padding=1)
        self.embed = nn.Sequential(
            nn.Linear(2 * frequencies, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.down = rows(len(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairs)
        self.up = rows(len(widths) - 1)
        self.leave = nn.Conv2d(widths[0], 12, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ResidualUNet":
        """The network, untrained, whose `config` this is: the keyword arguments of the class."""
        return cls(**config)

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        """(b, 3, h, w) at `c_noise` = ln(sigma) / 4, of shape (b,), or (1,) for one level of all images."""
        h, w = x.shape[-2:]
        e = self.embedded(c_noise).to(x.dtype)
        x = F.pixel_unshuffle(mirrored(x, self.multiple), 2).contiguous(memory_format=torch.channels_last)
        return F.pixel_shuffle(self.features(x, e), 2)[..., :h, :w]

    def embedded(self, c_noise: Tensor) -> Tensor:
        """The noise level as (b, embedding); the angles are float32, whatever the network runs in."""
        n = self.config["frequencies"]
        angles = torch.exp(torch.linspace(0, 5, n, device=c_noise.device)) * c_noise.float()[:, None]
        waves = torch.cat([angles.sin(), angles.cos()], 1)
        out: Tensor = self.embed(waves.to(self.embed[0].weight.dtype))
        return out

    def features(self, x: Tensor, e: Tensor) -> Tensor:
        """The U-Net itself on 2x2 blocks, (b, 12, h / 2, w / 2) to the same."""
        x = self.enter(x)
        skips = []
        for i, row in enumerate(self.down):
            for block in row:
                x = block(x, e)
            if i < len(self.shrink):
                skips.append(x)
                x = self.shrink[i](x)
        for i in reversed(range(len(self.grow))):
            x = self.grow[i](x).add_(skips[i])
            for block in self.up[i]:
                x = block(x, e)
        out: Tensor = self.leave(x)
        return out


def denoise(net: nn.Module, u: Tensor, sigma: Tensor) -> Tensor:
    """D(u, sigma) = E[x0 | u = x0 + sigma n] of images (b, 3, h, w) in [-1, 1], `sigma` (b,) or (1,).

    D = c_skip u + c_out F(c_in u, ln(sigma) / 4) with c_skip = d^2 / (sigma^2 + d^2), c_in = 1 / sqrt(sigma^2 + d^2)
    and c_out = sigma d c_in, d = SIGMA_DATA (Karras et al., 2022, arXiv:2206.00364). Computed in u's dtype; the network
    runs in its own.
    """
    s = sigma.view(-1, 1, 1, 1)
    q = torch.sqrt(s * s + SIGMA_DATA**2)
    own = next(net.parameters()).dtype
    out = net((u / q).to(own), sigma.log() / 4).to(u.dtype)
    return SIGMA_DATA**2 / (q * q) * u + s * SIGMA_DATA / q * out


def mirrored(x: Tensor, multiple: int) -> Tensor:
    """Mirrored at the bottom and right edges until both sides are multiples of `multiple`, images of any size."""
    for dim in (-2, -1):
        n = x.shape[dim]
        if extra := -n % multiple:
            # An image smaller than the extra is mirrored to and fro, which F.pad refuses.
            i = torch.arange(n + extra, device=x.device) % max(1, 2 * (n - 1))
            x = x.index_select(dim, torch.minimum(i, 2 * (n - 1) - i) if n > 1 else torch.zeros_like(i))
    return x


def inherit(net: ResidualUNet, weights: dict[str, Tensor]) -> None:
    """Fill `net` from the weights of another shape, so that it starts as nearly the same function.

    Where the other is narrower, the new channels are read with zero weights and written as initialised; blocks that
    the other lacks stay the identity; of blocks that it has too many of, the first ones are taken. Levels are
    matched from the finest.
    """
    with torch.no_grad():
        for name, own in net.state_dict().items():
            old = weights.get(name)
            if old is None:
                continue
            if own.dim() == 4:
                transposed = name.startswith("grow")
                read = own.transpose(0, 1) if transposed else own
                old = old.transpose(0, 1) if transposed else old
                read[:, old.shape[1] :] = 0
                read[: old.shape[0], : old.shape[1]] = old
            else:
                own[tuple(slice(n) for n in old.shape)] = old


def gigaflops(net: ResidualUNet, side: int = 256) -> float:
    """10^9 floating-point operations of one call on an image of `side` x `side` pixels, a multiply-add being two."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 3, side, side), torch.zeros(1))
    return counter.get_total_flops() / 1e9


def psnr(estimate: Tensor, truth: Tensor) -> Tensor:
    """PSNR in dB of each image, (b,), of images in [-1, 1]; the estimate is clipped to that range."""
    error = (estimate.clamp(-1, 1) - truth).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / error.clamp_min(1e-12))
