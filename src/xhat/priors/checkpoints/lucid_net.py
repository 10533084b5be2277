"""The U-Net of denoising-diffusion-pytorch (lucidrains), module names as in its checkpoints.

Written from the names and shapes of its tensors and from the formulas: DDPM's network (Ho et al., 2020,
arXiv:2006.11239) with RMS normalisation over channels (Zhang & Sennrich, 2019, arXiv:1910.07467), linear attention
(Shen et al., 2018, arXiv:1812.01243) at all but the marked levels, and keys and values of memory that are learned.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

THETA = 10_000.0  # the slowest wave of the code of time turns once in 2π times so many steps


@dataclass(frozen=True)
class Heads:
    """Attention of one level: its heads, the numbers of each, those of its memory, and whether all pixels see all."""

    heads: int
    width: int
    memory: int
    full: bool


@dataclass(frozen=True)
class LucidConfig:
    """Everything that determines the network; level l works at 1/2ˡ of the resolution."""

    channels: int
    out_channels: int
    first: int  # width behind the first convolution
    widths: tuple[int, ...]  # behind each level
    code: int  # numbers of the code of time
    embedding: int
    levels: tuple[Heads, ...]  # down
    middle: Heads
    levels_up: tuple[Heads, ...]  # from the lowest level up
    conditioned: bool = False  # takes its own last estimate beside the image; it is given 0, which it was trained for
    learned_code: bool = False


class LucidUNet(nn.Module):
    """The network: x (b, channels, h, w), time (b,) -> (b, out, h, w); h, w multiples of 2^(levels − 1)."""

    def __init__(self, c: LucidConfig) -> None:
        super().__init__()
        self.conditioned = c.conditioned
        self.init_conv = nn.Conv2d(c.channels * (2 if c.conditioned else 1), c.first, 7, padding=3)
        code: nn.Module = Waves(c.code) if c.learned_code else Code(c.code)
        told = c.code + 1 if c.learned_code else c.code
        emb = c.embedding
        self.time_mlp = nn.Sequential(code, nn.Linear(told, emb), nn.GELU(), nn.Linear(emb, emb))
        widths, last = (c.first, *c.widths), len(c.widths) - 1
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for i, heads in enumerate(c.levels):
            into, out = widths[i], widths[i + 1]
            change: nn.Module = nn.Conv2d(into, out, 3, padding=1) if i == last else Halved(into, out)
            self.downs.append(level(into, into, into, emb, heads, change))
        lowest = widths[-1]
        self.mid_block1 = Block(lowest, lowest, emb)
        self.mid_attn = Attention(lowest, c.middle)
        self.mid_block2 = Block(lowest, lowest, emb)
        for i, heads in zip(range(last, -1, -1), c.levels_up, strict=True):
            into, out = widths[i], widths[i + 1]
            change = Doubled(out, into) if i else nn.Conv2d(out, into, 3, padding=1)
            self.ups.append(level(out + into, out + into, out, emb, heads, change))
        self.final_res_block = Block(2 * c.first, c.first, emb)
        self.final_conv = nn.Conv2d(c.first, c.out_channels, 1)

    def forward(self, x: Tensor, time: Tensor, label: None = None) -> Tensor:
        """The network's output for images `x` at the times `time`; shapes as above. It knows no classes."""
        h = self.init_conv(torch.cat([torch.zeros_like(x), x], 1) if self.conditioned else x)
        first, emb, skips = h, self.time_mlp(time), []
        emb = emb.to(h.dtype)
        for stage in self.downs:
            assert isinstance(stage, nn.ModuleList)
            one, two, attention, change = stage
            h = one(h, emb)
            skips.append(h)
            h = two(h, emb)
            h = h + attention(h)
            skips.append(h)
            h = change(h)
        h = self.mid_block1(h, emb)
        h = self.mid_block2(h + self.mid_attn(h), emb)
        for stage in self.ups:
            assert isinstance(stage, nn.ModuleList)
            one, two, attention, change = stage
            h = one(torch.cat([h, skips.pop()], 1), emb)
            h = two(torch.cat([h, skips.pop()], 1), emb)
            h = change(h + attention(h))
        return self.final_conv(self.final_res_block(torch.cat([h, first], 1), emb))  # type: ignore[no-any-return]


def level(one: int, two: int, out: int, emb: int, heads: Heads, change: nn.Module) -> nn.ModuleList:
    """Two blocks, which take `one` and `two` channels and give `out`, attention, and the change of resolution."""
    return nn.ModuleList([Block(one, out, emb), Block(two, out, emb), Attention(out, heads), change])


class Code(nn.Module):
    """Sines, then cosines, of the time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, time: Tensor) -> Tensor:
        """(b,) -> (b, width), float32."""
        half = self.width // 2
        rates = torch.exp(-math.log(THETA) / (half - 1) * torch.arange(half, device=time.device))
        waves = time.float()[:, None] * rates
        return torch.cat([waves.sin(), waves.cos()], 1)


class Waves(nn.Module):
    """The time, then sines and cosines of it at rates that were learned or drawn."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.empty(width // 2))

    def forward(self, time: Tensor) -> Tensor:
        """(b,) -> (b, width + 1), float32."""
        t = time.float()[:, None]
        waves = 2 * math.pi * t * self.weights.float()
        return torch.cat([t, waves.sin(), waves.cos()], 1)


class RMSNorm(nn.Module):
    """Each pixel divided by the root mean square of its channels, times `g`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.empty(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w), as it is shaped."""
        out: Tensor = F.normalize(x, dim=1) * self.g * x.shape[1] ** 0.5
        return out


class Half(nn.Module):
    """A convolution, normalisation, scale and shift by time if it has them, and SiLU."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.proj, self.norm = nn.Conv2d(into, out, 3, padding=1), RMSNorm(out)

    def forward(self, x: Tensor, turned: tuple[Tensor, ...] | None = None) -> Tensor:
        """(b, into, h, w) -> (b, out, h, w); `turned` are scale − 1 and shift, (b, out, 1, 1)."""
        h = self.norm(self.proj(x))
        return F.silu(h if turned is None else h * (1 + turned[0]) + turned[1])


class Block(nn.Module):
    """Two halves beside a skip; the first one hears the time."""

    def __init__(self, into: int, out: int, emb: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(emb, 2 * out))
        self.block1, self.block2 = Half(into, out), Half(out, out)
        self.res_conv = nn.Conv2d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """(b, into, h, w) -> (b, out, h, w); `emb` (b, emb) is the embedding of time."""
        turned = self.mlp(emb)[:, :, None, None].chunk(2, 1)
        return self.block2(self.block1(x, turned)) + self.res_conv(x)  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Attention over all pixels: of all to all, or linear, by softmax over the numbers of a query and over the places
    of a key. Its memory are keys and values that belong to no pixel.
    """

    def __init__(self, width: int, c: Heads) -> None:
        super().__init__()
        self.c, inner = c, c.heads * c.width
        self.norm, self.to_qkv = RMSNorm(width), nn.Conv2d(width, 3 * inner, 1, bias=False)
        shape = (c.memory, c.width) if c.full else (c.width, c.memory)
        self.mem_kv = nn.Parameter(torch.empty(2, c.heads, *shape))
        out = nn.Conv2d(inner, width, 1)
        self.to_out = out if c.full else nn.Sequential(out, RMSNorm(width))

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w), as it is shaped."""
        b, _, h, w = x.shape
        q, k, v = self.to_qkv(self.norm(x)).reshape(b, 3, self.c.heads, self.c.width, h * w).unbind(1)
        memory = self.mem_kv.mT if self.c.full else self.mem_kv  # (2, heads, width, memory)
        k, v = (torch.cat([m.expand(b, *m.shape), part], -1) for m, part in zip(memory, (k, v), strict=True))
        if self.c.full:
            seen = F.scaled_dot_product_attention(q.mT, k.mT, v.mT).mT
        else:
            context = k.softmax(-1) @ v.mT  # (b, heads, width of keys, width of values)
            seen = context.mT @ (q.softmax(-2) * self.c.width**-0.5)
        return self.to_out(seen.reshape(b, -1, h, w))  # type: ignore[no-any-return]


class Halved(nn.Sequential):
    """Half the resolution: the four pixels of a square become channels, which a point-wise convolution mixes."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__(nn.PixelUnshuffle(2), nn.Conv2d(4 * into, out, 1))


class Doubled(nn.Sequential):
    """Twice the resolution: each pixel repeated, then a convolution."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__(nn.Upsample(scale_factor=2.0, mode="nearest"), nn.Conv2d(into, out, 3, padding=1))
