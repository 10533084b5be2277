"""The linear transform inside JPEG: colours, subsampling and block cosines, with closed-form solves per MCU.

A JPEG file holds z = T x, rounded to multiples of the table's steps. T takes an image to Y, Cb and Cr, averages the two
chroma planes over groups of pixels and transforms blocks of 8x8 pixels. Blocks of all three planes that cover the same
pixels form a minimum coded unit (MCU, ITU-T T.81), and T is the same for every MCU. Pixels are in units of 127.5, so
that steps and coefficients are those of the file. A side that is no multiple of the MCU is continued by its last
pixels, as libjpeg does.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from .jpeg_simplified import YCBCR, dct

# JFIF 1.02: the exact matrix, of which YCBCR has four digits
JFIF = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
FACTORS = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2), "4:4:0": (1, 2)}  # pixels across and down for one chroma
CHUNK = 512  # MCUs whose systems are in memory at once


@dataclass(frozen=True)
class Codec:
    """T for images of `height` x `width` pixels with `channels` 3 or 1, and what belongs to it.

    `across` x `down` pixels share one chroma pixel. `picks` takes the first of them instead of their mean, and repeats
    it on decoding: the simplified codec. Coefficients are (b, mcu, n) with n = 64 (across · down + 2) for colour: the
    luma blocks first, then Cb, then Cr.
    """

    height: int
    width: int
    channels: int = 3
    across: int = 2
    down: int = 2
    picks: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """How many MCUs there are, down and across."""
        return -(-self.height // (8 * self.down)), -(-self.width // (8 * self.across))

    @property
    def luma(self) -> int:
        """How many luma coefficients an MCU has."""
        return 64 * self.down * self.across

    @cached_property
    def matrix(self) -> Tensor:
        """From RGB to Y, Cb, Cr, (3, 3); for grey images from grey to Y, (1, 1)."""
        return torch.tensor(YCBCR if self.picks else JFIF, dtype=torch.float64) if self.channels == 3 else torch.eye(1)

    @cached_property
    def gram(self) -> Tensor:
        """The covariances of Y, Cb and Cr at one pixel if R, G and B are white with variance 1."""
        return self.matrix @ self.matrix.T

    @cached_property
    def coupling(self) -> Tensor:
        """K, (luma, 64): the inner products of the luma and chroma rows of T within an MCU, colours left out."""
        eye = torch.eye(64, dtype=torch.float64).reshape(64, 1, 8, 8)
        C = dct()
        one = Codec(8 * self.down, 8 * self.across, 1, self.across, self.down, self.picks)
        return one.blocks(self.spread_adjoint(C.T @ eye @ C)).reshape(64, self.luma).T

    @property
    def share(self) -> float:
        """The sum of the squared weights with which pixels enter a chroma pixel."""
        return 1.0 if self.picks else 1 / (self.down * self.across)

    # --- parts of T and back ---------------------------------------------------------------------

    def padded(self, x: Tensor) -> Tensor:
        """Images (b, c, height, width) continued by their last pixels to whole MCUs."""
        p, q = self.size
        pad = [0, 8 * self.across * q - x.shape[-1], 0, 8 * self.down * p - x.shape[-2]]
        return F.pad(x, pad, mode="replicate")

    def cropped(self, x: Tensor) -> Tensor:
        """Planes or images of whole MCUs without what `padded` added, (b, c, height, width)."""
        return x[..., : self.height, : self.width]

    def lower(self, plane: Tensor) -> Tensor:
        """Chroma planes (…, h, w) at the resolution of the file, (…, h / down, w / across)."""
        return plane[..., :: self.down, :: self.across] if self.picks else F.avg_pool2d(plane, (self.down, self.across))

    def spread_adjoint(self, plane: Tensor) -> Tensor:
        """The adjoint of `lower`: planes (…, h / down, w / across) become (…, h, w)."""
        if self.picks:
            out = plane.new_zeros(*plane.shape[:-2], self.down * plane.shape[-2], self.across * plane.shape[-1])
            out[..., :: self.down, :: self.across] = plane
            return out
        return self.repeated(plane) * self.share

    def repeated(self, plane: Tensor) -> Tensor:
        """A right inverse of `lower`: every chroma pixel repeated."""
        return plane.repeat_interleave(self.down, -2).repeat_interleave(self.across, -1)

    def smooth(self, plane: Tensor) -> Tensor:
        """Chroma as the decoder shows it at full resolution: libjpeg interpolates linearly between pixel centres."""
        if self.picks or plane.shape[-1] <= 2:
            return self.repeated(plane)
        scale = (float(self.down), float(self.across))
        return F.interpolate(plane, scale_factor=scale, mode="bilinear", align_corners=False)

    def blocks(self, luma: Tensor) -> Tensor:
        """Luma planes (b, 1, h, w) of whole MCUs as coefficients (b, mcu, luma)."""
        p, q = self.size
        x = luma.reshape(-1, p, self.down, 8, q, self.across, 8).permute(0, 1, 4, 2, 5, 3, 6)
        C = dct().to(x)
        return (C @ x @ C.T).reshape(len(luma), p * q, self.luma)

    def unblocks(self, z: Tensor) -> Tensor:
        """The inverse of `blocks`: luma planes (b, 1, h, w) of whole MCUs."""
        p, q = self.size
        C = dct().to(z)
        x = C.T @ z.reshape(-1, p, q, self.down, self.across, 8, 8) @ C
        return x.permute(0, 1, 3, 5, 2, 4, 6).reshape(len(z), 1, 8 * self.down * p, 8 * self.across * q)

    @cached_property
    def small(self) -> "Codec":
        """The same MCUs as one block each: for planes of chroma at the file's resolution."""
        p, q = self.size
        return Codec(8 * p, 8 * q, 1, 1, 1)

    def coefficients(self, luma: Tensor, chroma: Tensor) -> Tensor:
        """Planes of whole MCUs, chroma (b, 2, h, w) at the file's resolution, as coefficients."""
        parts = [self.blocks(luma), *(self.small.blocks(chroma[:, i : i + 1]) for i in range(chroma.shape[1]))]
        return torch.cat(parts, -1)

    def planes(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `coefficients`."""
        luma = self.unblocks(z[..., : self.luma])
        if self.channels == 1:
            return luma, luma[:, 1:]
        starts = (self.luma, self.luma + 64)
        return luma, torch.cat([self.small.unblocks(z[..., i : i + 64]) for i in starts], 1)

    def colours(self, x: Tensor) -> Tensor:
        """Images (b, 3, h, w) of R, G and B as Y, Cb and Cr of the same shape; grey images stay as they are."""
        out: Tensor = torch.einsum("ij,bjhw->bihw", self.matrix.to(x), x)
        return out

    # --- T, its adjoint, its inverses -------------------------------------------------------------

    def analyse(self, x: Tensor) -> Tensor:
        """The coefficients T x of images (b, c, h, w) in [−1, 1], before they are divided by the steps and rounded."""
        ycc = self.colours(self.padded(x))
        return self.coefficients(ycc[:, :1], self.lower(ycc[:, 1:]) if self.channels == 3 else ycc[:, 1:])

    def adjoint(self, z: Tensor) -> Tensor:
        """Tᵀ z on whole MCUs, cropped."""
        luma, chroma = self.planes(z)
        ycc = torch.cat([luma, self.spread_adjoint(chroma)], 1) if self.channels == 3 else luma
        return self.cropped(torch.einsum("ij,bihw->bjhw", self.matrix.to(z), ycc))

    def synthesise(self, z: Tensor) -> Tensor:
        """A right inverse of T, T synthesise(z) = z on whole MCUs: chroma is repeated."""
        luma, chroma = self.planes(z)
        return self.cropped(self.rgb(luma, self.repeated(chroma)) if self.channels == 3 else luma)

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The image of the file's coefficients z as a decoder makes it before it is rounded and clipped, and the
        planes, luma and chroma, of z before they are clipped to 8 bits.
        """
        luma, chroma = self.planes(z - self.zero().to(z))
        if self.channels == 1:
            return self.cropped(eight_bits(luma)), luma, chroma
        shown = chroma[..., : -(-self.height // self.down), : -(-self.width // self.across)]
        return self.rgb(self.cropped(eight_bits(luma)), self.cropped(self.smooth(eight_bits(shown)))), luma, chroma

    def rgb(self, luma: Tensor, chroma: Tensor) -> Tensor:
        """The colours of planes at full resolution."""
        ycc = torch.cat([luma, chroma], 1)
        out: Tensor = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(self.matrix).to(ycc), ycc)
        return out

    def ridge(self, z: Tensor, v: Tensor) -> Tensor:
        """(T Tᵀ + diag v)⁻¹ z per MCU, z and v > 0 of the same shape (b, mcu, n).

        The luma rows of T are orthogonal to each other, so luma is eliminated and a system of the 128 chroma numbers
        is left (Schur complement).
        """
        flat, wide = z.reshape(-1, z.shape[-1]), v.expand_as(z).reshape(-1, z.shape[-1])
        parts = [self._ridge(flat[i : i + CHUNK], wide[i : i + CHUNK]) for i in range(0, len(flat), CHUNK)]
        return torch.cat(parts).reshape(z.shape)

    def _ridge(self, z: Tensor, v: Tensor) -> Tensor:
        g, K, n = self.gram.tolist(), self.coupling.to(z), self.luma
        weight: Tensor = 1 / (g[0][0] + v[:, :n])
        if self.channels == 1:
            return weight * z
        y, cb, cr = z[:, :n], z[:, n : n + 64], z[:, n + 64 :]
        a, b = g[0][1:]
        shared = (weight * y) @ K
        right = torch.cat([cb - a * shared, cr - b * shared], 1)
        if n == 64 and not self.picks:  # 4:4:4, where K = I: a 2 x 2 system for each frequency
            p, q = (g[i][i] + v[:, 64 * i : 64 * i + 64] - g[0][i] ** 2 * weight for i in (1, 2))
            o = g[1][2] - a * b * weight
            first, second = right[:, :64], right[:, 64:]
            chroma = torch.cat([q * first - o * second, p * second - o * first], 1) / (p * q - o**2).repeat(1, 2)
        else:
            M = K.T @ (weight[:, :, None] * K)
            S = torch.diag_embed(v[:, n:])
            for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
                block = S[:, 64 * i : 64 * i + 64, 64 * j : 64 * j + 64]
                block -= g[0][1 + i] * g[0][1 + j] * M
                block.diagonal(dim1=1, dim2=2).add_(g[1 + i][1 + j] * self.share)
            chroma = torch.cholesky_solve(right[..., None], torch.linalg.cholesky(S))[..., 0]
        mixed = a * chroma[:, :64] + b * chroma[:, 64:]
        return torch.cat([weight * (y - mixed @ K.T), chroma], 1)

    @cached_property
    def squares(self) -> Tensor:
        """The squared length of each row of T, (n,)."""
        g = self.gram.diagonal().clone()
        g[1:] *= self.share
        return torch.cat([g[:1].expand(self.luma), *(v.expand(64) for v in g[1:])])

    def steps(self, tables: Tensor) -> Tensor:
        """The steps of each coefficient, (n,), from tables (2, 8, 8) of luma and chroma."""
        luma, chroma = tables.reshape(2, 64)
        return torch.cat([luma.repeat(self.luma // 64), chroma.repeat(self.channels - 1)])

    def zero(self) -> Tensor:
        """What the transform of a black-to-white image in [−127.5, 127.5] misses of the file's, (n,): luma is from
        −128 to 127.
        """
        out = torch.zeros(self.luma + 64 * (self.channels - 1), dtype=torch.float64)
        out[: self.luma : 64] = -4.0  # −0.5 at each of 64 pixels, orthonormal
        return out

    # --- from a decoded picture back to the file's numbers ------------------------------------------

    def exact(self, y: Tensor, steps: Tensor, rounds: int = 12) -> Tensor:
        """The coefficients, multiples of `steps` (n,), of the file that a decoder shows as `y` (b, c, h, w).

        The decoder smooths chroma, clips colours and crops the last blocks. What it hides is filled in from the
        coefficients found so far, until they stay.
        """
        hidden = self.padded(torch.ones_like(y[:1, :1]))
        hidden[..., : self.height, : self.width] = 0
        zero, seen = self.zero().to(y), y
        found = old_luma = old_chroma = None
        for _ in range(rounds):
            ycc = self.colours(seen)
            luma, chroma = self.padded(ycc[:, :1]), ycc[:, 1:]
            if self.channels == 3:
                sharp = self.sharp(chroma)
                p, q = self.size
                chroma = F.pad(sharp, [0, 8 * q - sharp.shape[-1], 0, 8 * p - sharp.shape[-2]], mode="replicate")
                if old_chroma is not None:
                    old_chroma[..., : sharp.shape[-2], : sharp.shape[-1]] = sharp
                    chroma = old_chroma
            if old_luma is not None:
                clipped = (old_luma != eight_bits(old_luma)) & ((luma - eight_bits(old_luma)).abs() < 1.5)
                luma = torch.where(clipped | (hidden > 0), old_luma, luma)
            new = ((self.coefficients(luma, chroma) + zero) / steps).round() * steps
            if found is not None and torch.equal(new, found):
                break
            found = new
            shown, old_luma, old_chroma = self.decode(found)
            clipped = (y.abs() > 127.25) & (shown.abs() > 127.5) & (shown * y > 0)
            seen = torch.where(clipped, shown, y)
        assert found is not None
        return found

    def sharp(self, plane: Tensor, rounds: int = 30) -> Tensor:
        """Chroma at the file's resolution whose `smooth` is `plane`, (b, 2, height, width), or as near as `rounds`
        steps of Richardson's iteration come; its error shrinks by 3/4 or more in each.
        """
        extra = [0, -plane.shape[-1] % self.across, 0, -plane.shape[-2] % self.down]
        out = self.lower(F.pad(plane, extra, mode="replicate"))
        if self.picks or (self.down, self.across) == (1, 1):
            return out
        for _ in range(rounds):
            out = out + self.lower(F.pad(plane - self.cropped(self.smooth(out)), extra, mode="replicate"))
        return out


def eight_bits(plane: Tensor) -> Tensor:
    """Samples of a plane, of any shape, clipped to what 8 bits hold, ±127.5 around the middle grey."""
    return plane.clamp(-127.5, 127.5)
