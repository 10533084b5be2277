"""JPEG compression, by libjpeg or as diffusion papers simplify it."""

from collections.abc import Sequence
from io import BytesIO
from typing import ClassVar

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from ..errors import ShapeError, SpecError
from ..types import Data, Image
from .base import ProxyOperator
from .checks import one_of, planes
from .jpeg_simplified import simplified


class JPEG(ProxyOperator):
    """y = dec(enc(x)) at `quality` 1 to 100, one for all images or one for each.

    `codec` libjpeg is the real one, through Pillow: x is clipped to [−1, 1] and rounded to 8 bits, and chroma is
    subsampled by `subsampling`. `codec` simplified is the one with which diffusion papers measure: no clipping, no
    rounding of pixels, every second chroma pixel kept; 3 channels only. Raises SpecError or ShapeError for options that
    are not valid.
    """

    per_image: ClassVar[tuple[str, ...]] = ("quality",)
    source: ClassVar[str] = "ITU-T T.81; simplified: DDRM-JPEG, arXiv 2209.11888"

    quality: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        quality: int | Sequence[int] = 5,
        codec: str = "libjpeg",
        subsampling: str = "4:2:0",
    ) -> None:
        super().__init__(shape)
        self.codec = one_of("codec", codec, ("libjpeg", "simplified"))
        self.subsampling = one_of("subsampling", subsampling, ("4:4:4", "4:2:2", "4:2:0"))
        if codec == "simplified" and subsampling != "4:2:0":
            raise SpecError("the simplified codec has subsampling 4:2:0 only")
        c, *_ = planes(shape)
        if c != 3 and not (c == 1 and codec == "libjpeg"):
            raise ShapeError(f"jpeg takes colour images (grey ones too with codec=libjpeg), not {c} channels")
        each = [quality] if isinstance(quality, int) else list(quality)
        if not each or not all(1 <= q <= 100 for q in each):
            raise SpecError(f"quality must be from 1 to 100, not {quality}")
        self.register_buffer("quality", torch.tensor(each))

    def code(self, x: Image) -> Data:
        quality = self.quality.expand(len(x)).tolist()
        if self.codec == "simplified":
            return torch.cat([simplified(image[None], q) for image, q in zip(x, quality, strict=True)])
        return torch.stack([self.libjpeg(image, q) for image, q in zip(x, quality, strict=True)])

    def libjpeg(self, image: Tensor, quality: int) -> Tensor:
        """One image (c, h, w) after encoding to and decoding from a JPEG file in memory."""
        pixels = ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
        file = BytesIO()
        Pillow.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(
            file, "JPEG", quality=quality, subsampling=self.subsampling
        )
        decoded = torch.from_numpy(np.array(Pillow.open(file))).to(image)
        return decoded.reshape(*pixels.shape).permute(2, 0, 1) / 127.5 - 1
