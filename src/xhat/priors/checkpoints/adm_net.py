"""The ADM U-Net (Dhariwal & Nichol, 2021, sections 3 and A; arXiv:2105.05233), module names as in its checkpoints.

diffusers' UNet2DModel covers only a part of what was released: it has no fixed number of heads over growing widths, and
no class embedding together with the old order of heads. This one network therefore stands for all of it.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class ADMConfig:
    """Everything that determines the network; the widths are `channel_mult` × `model_channels`, one for each level."""

    in_channels: int
    out_channels: int
    model_channels: int
    channel_mult: tuple[float | int, ...]
    num_res_blocks: int
    attention_levels: tuple[int, ...]  # level l works at 1/2ˡ of the resolution
    num_classes: int
    heads: int | None  # the number of heads at every level, or None if `head_channels` gives their width
    head_channels: int | None
    scale_shift: bool  # time enters as a scale and a shift of the second norm, not as a sum before it
    resblock_updown: bool  # resolution changes inside a residual block, not in a strided convolution

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels of each level, from the highest resolution to the lowest."""
        return tuple(int(m * self.model_channels) for m in self.channel_mult)

    def heads_of(self, width: int) -> int:
        """The number of attention heads in a layer of `width` channels."""
        return self.heads if self.heads is not None else width // (self.head_channels or width)


class ADMUNet(nn.Module):
    """The network: x (b, in, h, w), time (b,), label (b,) or None -> (b, out, h, w); h, w multiples of 2^(levels −
    1).
    """

    def __init__(self, c: ADMConfig) -> None:
        super().__init__()
        self.model_channels, emb = c.model_channels, 4 * c.model_channels
        self.time_embed = nn.Sequential(nn.Linear(c.model_channels, emb), nn.SiLU(), nn.Linear(emb, emb))
        if c.num_classes:
            # Made from a tensor, because nn.Embedding's own initialisation takes seconds on the meta device.
            self.label_emb = nn.Embedding.from_pretrained(torch.empty(c.num_classes, emb))  # type: ignore[no-untyped-call]

        def block(into: int, width: int, attend: bool) -> Stage:
            stage = Stage([ResBlock(into, width, emb, c.scale_shift)])
            return stage.extend([Attention(width, c.heads_of(width))]) if attend else stage

        def resampled(width: int, factor: float) -> nn.Module:
            if c.resblock_updown:
                return ResBlock(width, width, emb, c.scale_shift, factor)
            return StridedConv(width) if factor < 1 else UpsampledConv(width)

        widths = c.widths
        skips = [widths[0]]
        self.input_blocks = nn.ModuleList([Stage([nn.Conv2d(c.in_channels, widths[0], 3, padding=1)])])
        for level, width in enumerate(widths):
            for _ in range(c.num_res_blocks):
                self.input_blocks.append(block(skips[-1], width, level in c.attention_levels))
                skips.append(width)
            if level < len(widths) - 1:
                self.input_blocks.append(Stage([resampled(width, 0.5)]))
                skips.append(width)

        deepest = widths[-1]
        middle = [ResBlock(deepest, deepest, emb, c.scale_shift) for _ in range(2)]
        self.middle_block = Stage([middle[0], Attention(deepest, c.heads_of(deepest)), middle[1]])

        self.output_blocks, into = nn.ModuleList(), deepest
        for level, width in reversed(list(enumerate(widths))):
            for i in range(c.num_res_blocks + 1):
                stage = block(into + skips.pop(), width, level in c.attention_levels)
                into = width
                if level and i == c.num_res_blocks:
                    stage.append(resampled(width, 2.0))
                self.output_blocks.append(stage)
        self.out = nn.Sequential(norm(into), nn.SiLU(), nn.Conv2d(into, c.out_channels, 3, padding=1))

    def forward(self, x: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        """The network's output for images `x` at the times `time`; shapes as above."""
        emb = self.time_embed(sinusoids(time, self.model_channels).to(x.dtype))
        if label is not None:
            emb = emb + self.label_emb(label)
        skips = []
        for stage in self.input_blocks:
            x = stage(x, emb)
            skips.append(x)
        x = self.middle_block(x, emb)
        for stage in self.output_blocks:
            x = stage(torch.cat([x, skips.pop()], 1), emb)
        return self.out(x)  # type: ignore[no-any-return]


class Stage(nn.ModuleList):
    """A sequence of parts, of which the residual blocks are also given the time embedding."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """`x` (b, c, h, w) after all parts; `emb` (b, emb) is the embedding of time and class."""
        for part in self:
            x = part(x, emb) if isinstance(part, ResBlock) else part(x)
        return x


class ResBlock(nn.Module):
    """Two convolutions beside a skip; `factor` 0.5 or 2 changes the resolution of both after the first activation."""

    def __init__(self, into: int, out: int, emb: int, scale_shift: bool, factor: float = 1.0) -> None:
        super().__init__()
        self.scale_shift, self.factor = scale_shift, factor
        self.in_layers = nn.Sequential(norm(into), nn.SiLU(), nn.Conv2d(into, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb, 2 * out if scale_shift else out))
        # the identity stands where training had its dropout
        self.out_layers = nn.Sequential(norm(out), nn.SiLU(), nn.Identity(), nn.Conv2d(out, out, 3, padding=1))
        self.skip_connection = nn.Identity() if into == out else nn.Conv2d(into, out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """The block's output for `x` (b, into, h, w): (b, out, factor h, factor w); `emb` (b, emb) enters between the
        convolutions.
        """
        h = self.in_layers[2](rescale(self.in_layers[:2](x), self.factor))
        told = self.emb_layers(emb)[:, :, None, None]
        if self.scale_shift:
            scale, shift = told.chunk(2, 1)
            h = torch.addcmul(shift, self.out_layers[0](h), 1 + scale)
            h = self.out_layers[1:](h)
        else:
            h = self.out_layers(h + told)
        return self.skip_connection(rescale(x, self.factor)) + h  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Self-attention over all pixels; the rows of `qkv` are (q, k, v) × heads × channels, see `packed`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = norm(width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`x` (b, width, h, w) plus its attention, of the same shape."""
        z = self.qkv(self.norm(x).flatten(2)).unflatten(1, (3, self.heads, -1)).transpose(-1, -2)
        q, k, v = (part.contiguous() for part in z.unbind(1))  # (b, heads, pixels, channels)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).flatten(1, 2)
        return x + self.proj_out(seen).view_as(x)  # type: ignore[no-any-return]


class StridedConv(nn.Module):
    """A 3 × 3 convolution that halves the resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) -> (b, width, h/2, w/2)."""
        return self.op(x)  # type: ignore[no-any-return]


class UpsampledConv(nn.Module):
    """A 3 × 3 convolution after doubling the resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) -> (b, width, 2h, 2w)."""
        return self.conv(rescale(x, 2.0))  # type: ignore[no-any-return]


def norm(width: int) -> nn.GroupNorm:
    """The group normalisation of ADM, with its 32 groups."""
    return nn.GroupNorm(32, width)


def rescale(x: Tensor, factor: float) -> Tensor:
    """`x` (b, c, h, w) at another resolution: 0.5 averages 2 × 2 blocks, 2 repeats each pixel four times, 1 changes
    nothing.
    """
    if factor == 1:
        return x
    return F.avg_pool2d(x, 2) if factor < 1 else F.interpolate(x, scale_factor=2.0, mode="nearest")


def sinusoids(time: Tensor, width: int) -> Tensor:
    """Cosines, then sines, of time · 10000^(−i/n), i = 0 … n − 1, n = width/2; (b,) -> (b, width)."""
    half = width // 2
    rate = torch.exp(-math.log(10000.0) / half * torch.arange(half, dtype=torch.float32, device=time.device))
    angle = time[:, None].float() * rate
    return torch.cat([angle.cos(), angle.sin()], 1)


def packed(rows: Tensor, heads: int) -> Tensor:
    """Reorders the rows of `qkv` from heads × (q, k, v) × channels, as in the first ADM releases, to (q, k, v) × heads
    × channels.
    """
    return rows.reshape(heads, 3, -1, *rows.shape[1:]).transpose(0, 1).flatten(0, 2)
