"""The U-Net of DDPM (Ho et al., 2020, appendix B; arXiv:2006.11239), module names as in the PyTorch checkpoints.

It is the network of the code of DDIM, SDEdit, DDRM and DDNM. Before the U-Net of ADM was made from it, it had one head
of attention, told time by a sum and changed resolution by convolutions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .karras_net import sinusoids


@dataclass(frozen=True)
class DDPMConfig:
    """Everything that determines the network; the widths are `channel_mult` × `model_channels`, one for each level."""

    in_channels: int
    out_channels: int
    model_channels: int
    channel_mult: tuple[int, ...]
    num_res_blocks: int
    attention_levels: tuple[int, ...]  # level l works at 1/2ˡ of the resolution
    resample_conv: bool = True  # resolution changes in a convolution, not by averages and repetition alone
    shortcut_conv: bool = False  # skips that change the width are 3 × 3 convolutions, not 1 × 1


class DDPMUNet(nn.Module):
    """The network: x (b, in, h, w), time (b,) -> (b, out, h, w); h, w multiples of 2^(levels − 1)."""

    def __init__(self, c: DDPMConfig) -> None:
        super().__init__()
        self.model_channels, self.num_res_blocks, emb = c.model_channels, c.num_res_blocks, 4 * c.model_channels
        self.temb = Time(c.model_channels, emb)
        self.conv_in = nn.Conv2d(c.in_channels, c.model_channels, 3, padding=1)
        widths = [m * c.model_channels for m in c.channel_mult]

        def stage(width: int, inputs: list[int], level: int) -> Stage:
            blocks = [Block(n, width, emb, c.shortcut_conv) for n in inputs]
            return Stage(blocks, [Attention(width) for _ in inputs if level in c.attention_levels])

        self.down, skips, before = nn.ModuleList(), [c.model_channels], c.model_channels
        for level, width in enumerate(widths):
            made = stage(width, [before, *[width] * (c.num_res_blocks - 1)], level)
            skips += [width] * c.num_res_blocks
            if level < len(widths) - 1:
                made.downsample = Downsample(width, c.resample_conv)
                skips.append(width)
            self.down.append(made)
            before = width

        self.mid = Middle(before, emb, c.shortcut_conv)

        up = []
        for level, width in reversed(list(enumerate(widths))):
            made = stage(width, [n + skips.pop() for n in (before, *[width] * c.num_res_blocks)], level)
            if level:
                made.upsample = Upsample(width, c.resample_conv)
            up.append(made)
            before = width
        self.up = nn.ModuleList(reversed(up))
        self.norm_out, self.conv_out = norm(before), nn.Conv2d(before, c.out_channels, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor, label: None = None) -> Tensor:
        """The network's output for images `x` at the times `time`; shapes as above. It knows no classes."""
        emb = self.temb(time, x.dtype)
        h = self.conv_in(x)
        skips = [h]
        for stage in self.down:
            assert isinstance(stage, Stage)
            for i in range(len(stage.block)):
                h = stage(i, h, emb)
                skips.append(h)
            if stage.downsample is not None:
                h = stage.downsample(h)
                skips.append(h)
        h = self.mid(h, emb)
        for stage in reversed(self.up):
            assert isinstance(stage, Stage)
            for i in range(len(stage.block)):
                h = stage(i, torch.cat([h, skips.pop()], 1), emb)
            h = h if stage.upsample is None else stage.upsample(h)
        return self.conv_out(F.silu(self.norm_out(h)))  # type: ignore[no-any-return]


class Time(nn.Module):
    """The embedding of time: sines, then cosines, and two layers."""

    def __init__(self, width: int, emb: int) -> None:
        super().__init__()
        self.width = width
        self.dense = nn.ModuleList([nn.Linear(width, emb), nn.Linear(emb, emb)])

    def forward(self, time: Tensor, dtype: torch.dtype) -> Tensor:
        """(b,) -> (b, emb) in `dtype`."""
        cosines, sines = sinusoids(time, self.width, endpoint=True).chunk(2, 1)
        code = torch.cat([sines, cosines], 1).to(dtype)
        return self.dense[1](F.silu(self.dense[0](code)))  # type: ignore[no-any-return]


class Stage(nn.Module):
    """The blocks of one level, each followed by attention if the level has it, and its change of resolution."""

    def __init__(self, blocks: list["Block"], attention: list["Attention"]) -> None:
        super().__init__()
        self.block, self.attn = nn.ModuleList(blocks), nn.ModuleList(attention)
        self.downsample: nn.Module | None = None
        self.upsample: nn.Module | None = None

    def forward(self, i: int, x: Tensor, emb: Tensor) -> Tensor:
        """`x` after block `i` and its attention."""
        x = self.block[i](x, emb)
        return self.attn[i](x) if len(self.attn) else x


class Middle(nn.Module):
    """Two blocks with attention between them, at the lowest resolution."""

    def __init__(self, width: int, emb: int, shortcut_conv: bool) -> None:
        super().__init__()
        self.block_1, self.attn_1 = Block(width, width, emb, shortcut_conv), Attention(width)
        self.block_2 = Block(width, width, emb, shortcut_conv)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """`x` (b, width, h, w) after the three; `emb` (b, emb) is the embedding of time."""
        return self.block_2(self.attn_1(self.block_1(x, emb)), emb)  # type: ignore[no-any-return]


class Block(nn.Module):
    """Two convolutions beside a skip; time is added between them."""

    def __init__(self, into: int, out: int, emb: int, shortcut_conv: bool) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(into), nn.Conv2d(into, out, 3, padding=1)
        self.temb_proj = nn.Linear(emb, out)
        self.norm2, self.conv2 = norm(out), nn.Conv2d(out, out, 3, padding=1)
        wide, point = into != out and shortcut_conv, into != out and not shortcut_conv
        self.conv_shortcut = nn.Conv2d(into, out, 3, padding=1) if wide else nn.Identity()
        self.nin_shortcut = nn.Conv2d(into, out, 1) if point else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """(b, into, h, w) -> (b, out, h, w); `emb` (b, emb) is the embedding of time."""
        h = self.conv1(F.silu(self.norm1(x))) + self.temb_proj(F.silu(emb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return self.nin_shortcut(self.conv_shortcut(x)) + h  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Self-attention of one head over all pixels, beside a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = norm(width)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """`x` (b, width, h, w) plus its attention, of the same shape."""
        z = self.norm(x)
        q, k, v = (part(z).flatten(2).mT.contiguous()[:, None] for part in (self.q, self.k, self.v))
        seen = F.scaled_dot_product_attention(q, k, v)[:, 0].mT
        return x + self.proj_out(seen.reshape(x.shape))  # type: ignore[no-any-return]


class Downsample(nn.Module):
    """Half the resolution: a strided convolution that has zeros at the right and at the bottom only, or averages."""

    def __init__(self, width: int, conv: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2) if conv else None

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) -> (b, width, h/2, w/2)."""
        return F.avg_pool2d(x, 2) if self.conv is None else self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Twice the resolution: each pixel repeated, then a convolution if there is one."""

    def __init__(self, width: int, conv: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1) if conv else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) -> (b, width, 2h, 2w)."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))  # type: ignore[no-any-return]


def norm(width: int) -> nn.GroupNorm:
    """The group normalisation of DDPM: 32 groups, ε = 10⁻⁶."""
    return nn.GroupNorm(32, width, eps=1e-6)
