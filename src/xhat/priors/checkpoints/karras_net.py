"""The two U-Nets of EDM: DDPM++/NCSN++ ("SongUNet") and ADM ("DhariwalUNet"), names as in its checkpoints.

Written from table 7 and appendix F of Karras et al., 2022 (arXiv:2206.00364), Song et al., 2021 (arXiv:2011.13456,
appendix H) and the tensors' names and shapes. Dropout and augmentation labels belong to training and are left out.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class KarrasConfig:
    """Everything that determines the network. `song` chooses DDPM++/NCSN++, otherwise it is ADM."""

    song: bool
    resolution: int
    channels: int
    out_channels: int
    model_channels: int
    channel_mult: tuple[int, ...]
    num_blocks: int
    attention: tuple[int, ...]  # the resolutions, in pixels, whose blocks have attention
    emb_channels: int
    noise_channels: int
    label_dim: int = 0
    fourier: bool = False  # the noise level as random Fourier features (NCSN++), else as sinusoids
    encoder: str = "standard"  # or "residual" (NCSN++) or "skip": a pyramid of the image beside the encoder
    decoder: str = "standard"  # or "skip": a pyramid of the output
    taps: int = 2  # length of the resampling filter, [1, 1] or [1, 3, 3, 1]; its values are in the file


class KarrasUNet(nn.Module):
    """The network: x (b, channels, r, r), noise (b,), label (b, label_dim) or None -> (b, out_channels, r, r)."""

    def __init__(self, c: KarrasConfig) -> None:
        super().__init__()
        self.song = c.song
        if c.fourier:
            self.map_noise = Fourier(c.noise_channels)
        self.noise_channels = c.noise_channels
        if c.label_dim:
            self.map_label = nn.Linear(c.label_dim, c.noise_channels if c.song else c.emb_channels, bias=c.song)
        self.map_layer0 = nn.Linear(c.noise_channels, c.emb_channels)
        self.map_layer1 = nn.Linear(c.emb_channels, c.emb_channels)

        block = blocks(c)
        levels = [(c.resolution >> i, c.model_channels * m) for i, m in enumerate(c.channel_mult)]
        self.enc, self.dec = nn.ModuleDict(), nn.ModuleDict()
        width = c.model_channels if c.song else levels[0][1]
        skips, pyramid = [], c.channels
        for i, (r, out) in enumerate(levels):
            if i == 0:
                self.enc[f"{r}x{r}_conv"] = Conv(c.channels, width, 3)
            else:
                self.enc[f"{r}x{r}_down"] = block(width, width, change="down")
                if c.encoder == "skip":
                    self.enc[f"{r}x{r}_aux_down"] = Conv(pyramid, pyramid, 0, "down", c.taps)
                    self.enc[f"{r}x{r}_aux_skip"] = Conv(pyramid, width, 1)
                if c.encoder == "residual":
                    self.enc[f"{r}x{r}_aux_residual"] = Conv(pyramid, width, 3, "down", c.taps, filter_last=True)
                    pyramid = width
            skips.append(width)
            for j in range(c.num_blocks):
                self.enc[f"{r}x{r}_block{j}"] = block(width, out, r in c.attention)
                width = out
                skips.append(width)

        for i, (r, out) in reversed(list(enumerate(levels))):
            if i == len(levels) - 1:
                self.dec[f"{r}x{r}_in0"] = block(width, width, True)
                self.dec[f"{r}x{r}_in1"] = block(width, width)
            else:
                self.dec[f"{r}x{r}_up"] = block(width, width, change="up")
            for j in range(c.num_blocks + 1):
                attend = r in c.attention and (not c.song or j == c.num_blocks)
                self.dec[f"{r}x{r}_block{j}"] = block(width + skips.pop(), out, attend)
                width = out
            if c.song and (c.decoder == "skip" or i == 0):
                if i < len(levels) - 1 and c.decoder == "skip":
                    self.dec[f"{r}x{r}_aux_up"] = Conv(c.out_channels, c.out_channels, 0, "up", c.taps)
                self.dec[f"{r}x{r}_aux_norm"] = norm(width, 1e-6)
                self.dec[f"{r}x{r}_aux_conv"] = Conv(width, c.out_channels, 3)
        if not c.song:
            self.out_norm = norm(width, 1e-5)
            self.out_conv = Conv(width, c.out_channels, 3)

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        """The network's output for images `x` at noise levels `noise`; shapes as above."""
        emb = self.embed(noise, label, x.dtype)
        skips: list[Tensor] = []
        pyramid = x
        for name, part in self.enc.items():
            if "aux_down" in name:
                pyramid = part(pyramid)
            elif "aux_skip" in name:
                x = skips[-1] = x + part(pyramid)
            elif "aux_residual" in name:
                x = skips[-1] = pyramid = (x + part(pyramid)) * math.sqrt(0.5)
            else:
                x = part(x, emb) if isinstance(part, Block) else part(x)
                skips.append(x)
        out: Tensor | None = None
        for name, part in self.dec.items():
            if "aux_up" in name:
                out = part(out)
            elif "aux_norm" in name:
                normed = part(x)
            elif "aux_conv" in name:
                raw = part(F.silu(normed))
                out = raw if out is None else out + raw
            else:
                x = part(torch.cat([x, skips.pop()], 1) if "block" in name else x, emb)
        return self.out_conv(F.silu(self.out_norm(x))) if out is None else out

    def embed(self, noise: Tensor, label: Tensor | None, dtype: torch.dtype) -> Tensor:
        """The noise level and the class as one vector, (b, emb_channels)."""
        if "map_noise" in self._modules:
            emb = self.map_noise(noise.float())
        else:
            emb = sinusoids(noise, self.noise_channels, endpoint=self.song)
        if self.song:
            emb = emb.unflatten(1, (2, -1)).flip(1).flatten(1)  # sines first
            if label is not None:
                emb = emb + self.map_label(label.to(dtype) * math.sqrt(label.shape[1]))
            return F.silu(self.map_layer1(F.silu(self.map_layer0(emb.to(dtype)))))
        emb = self.map_layer1(F.silu(self.map_layer0(emb.to(dtype))))
        return F.silu(emb if label is None else emb + self.map_label(label.to(dtype)))


class Block(nn.Module):
    """Two convolutions beside a skip, then attention; `change` "up" or "down" changes the resolution in the first
    one.
    """

    def __init__(
        self, into: int, out: int, emb: int, heads: int, change: str, taps: int, song: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.heads, self.adaptive, self.gain = heads, not song, math.sqrt(0.5) if song else 1.0
        eps = 1e-6 if song else 1e-5
        self.norm0, self.norm1 = norm(into, eps), norm(out, eps)
        self.conv0, self.conv1 = Conv(into, out, 3, change, taps), Conv(out, out, 3)
        self.affine = nn.Linear(emb, 2 * out if self.adaptive else out)
        if into != out or change:
            self.skip = Conv(into, out, 1 if song or into != out else 0, change, taps)
        if heads:
            self.norm2 = norm(out, eps)
            self.qkv, self.proj = Conv(out, 3 * out, 1), Conv(out, out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """The block's output for `x` (b, into, h, w): (b, out, …); `emb` (b, emb) enters between the convolutions."""
        h = self.conv0(F.silu(self.norm0(x)))
        told = self.affine(emb)[:, :, None, None]
        if self.adaptive:
            scale, shift = told.chunk(2, 1)
            h = torch.addcmul(shift, self.norm1(h), 1 + scale)
        else:
            h = self.norm1(h + told)
        x = self.skip(x) if "skip" in self._modules else x
        x = (x + self.conv1(F.silu(h))) * self.gain
        return (x + self.attend(x)) * self.gain if self.heads else x

    def attend(self, x: Tensor) -> Tensor:
        """Self-attention over all pixels of `x` (b, out, h, w), without the skip."""
        z = self.qkv(self.norm2(x)).flatten(2).unflatten(1, (self.heads, -1, 3)).transpose(2, 4)
        q, k, v = (part.contiguous() for part in z.unbind(3))  # (b, heads, pixels, channels)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2)
        return self.proj(seen.reshape(x.shape))  # type: ignore[no-any-return]


def blocks(c: KarrasConfig) -> Callable[..., Block]:
    """A function block(into, out, attend, change) that makes blocks with what all of one network share."""

    def block(into: int, out: int, attend: bool = False, change: str = "") -> Block:
        heads = (1 if c.song else out // 64) if attend else 0
        return Block(into, out, c.emb_channels, heads, change, c.taps, c.song)

    return block


class Conv(nn.Module):
    """A convolution, with a fixed filter that halves or doubles the resolution before it (with `filter_last`, after
    it).

    `kernel` 0 is the filter alone. At the border the filter meets zeros.
    """

    resample_filter: Tensor

    def __init__(
        self, into: int, out: int, kernel: int, change: str = "", taps: int = 2, filter_last: bool = False
    ) -> None:
        super().__init__()
        self.change, self.filter_last = change, filter_last
        if kernel:
            self.weight = nn.Parameter(torch.empty(out, into, kernel, kernel))
            self.bias = nn.Parameter(torch.empty(out))
        if change:
            self.register_buffer("resample_filter", torch.empty(1, 1, taps, taps))

    def forward(self, x: Tensor) -> Tensor:
        """(b, into, h, w) -> (b, out, …), with half or twice the sides if `change` says so."""
        if "weight" not in self._parameters:
            return self.resample(x)
        reach = self.weight.shape[-1] // 2
        if self.filter_last:
            spread = (self.resample_filter.shape[-1] - 1) // 2
            return self.resample(F.conv2d(x, self.weight, padding=reach + spread), 0) + self.bias[:, None, None]
        return F.conv2d(self.resample(x) if self.change else x, self.weight, self.bias, padding=reach)

    def resample(self, x: Tensor, padding: int | None = None) -> Tensor:
        """`x` (b, c, h, w) at half or twice the resolution; `padding` pixels at each side, half the filter if it is
        left out.
        """
        c = x.shape[1]
        f = self.resample_filter.to(x.dtype).expand(c, -1, -1, -1)
        padding = (f.shape[-1] - 1) // 2 if padding is None else padding
        if self.change == "up":
            return F.conv_transpose2d(x, 4 * f, stride=2, padding=padding, groups=c)
        return F.conv2d(x, f, stride=2, padding=padding, groups=c)


class Fourier(nn.Module):
    """Cosines, then sines, of 2π f σ', with random frequencies f that the checkpoint carries."""

    freqs: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.empty(width // 2))

    def forward(self, noise: Tensor) -> Tensor:
        """(b,) -> (b, width)."""
        angle = noise[:, None] * (2 * math.pi * self.freqs.float())
        return torch.cat([angle.cos(), angle.sin()], 1)


def norm(width: int, eps: float) -> nn.GroupNorm:
    """EDM's group normalisation: 32 groups, or fewer if the groups would have less than 4 channels."""
    return nn.GroupNorm(min(32, width // 4), width, eps=eps)


def sinusoids(noise: Tensor, width: int, endpoint: bool) -> Tensor:
    """Cosines, then sines, of noise · 10000^(−i/n), i = 0 … width/2 − 1; n = width/2, less one with `endpoint`."""
    half = width // 2
    i = torch.arange(half, dtype=torch.float32, device=noise.device)
    angle = noise[:, None].float() * (1 / 10000.0) ** (i / (half - endpoint))
    return torch.cat([angle.cos(), angle.sin()], 1)
