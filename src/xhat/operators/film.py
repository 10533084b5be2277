"""What cameras and time do to film: fields, coded exposures, scratches."""

from typing import Annotated, ClassVar

import torch
from torch import Generator, Tensor

from ..errors import ShapeError
from ..numerics.build_dtype import built
from ..ranges import Portion, Range, Seed
from ..types import Data, Image
from .base import SpectralOperator
from .checks import Number
from .lifted import plane_shape
from .masked import Masked
from .modality import VIDEO, fitting
from .sections import Section, Sectioned, restricted
from .temporal import plane_count


class Film(SpectralOperator):
    """What operators on videos (c, t, h, w) of this file share."""

    example: ClassVar[tuple[int, ...]] = (3, 4, 64, 64)
    one_basis: ClassVar[bool] = True

    s: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape)
        plane_shape(shape)
        self.modality = fitting(VIDEO, self.shape)

    def keep(self, s: Tensor) -> None:
        """Registers the singular values `s`, (1, 1, t, h, w) or less."""
        self.register_buffer("s", built(s))


class Interlace(Film, Sectioned):
    """Interlaced video: of two frames, the first gives the even rows of a picture and the second the odd ones.

    Images (c, 2 t, h, w), data (c, t, h, w). Raises ShapeError for an odd number of frames.
    """

    source: ClassVar[str] = "ITU-R BT.601"

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape)
        if shape[1] % 2:
            raise ShapeError(f"interlaced pictures are made of two frames each, and there are {shape[1]}")
        frame, row = torch.arange(shape[1])[:, None], torch.arange(shape[2])
        self.keep((frame % 2 == row % 2)[None, None, :, :, None])

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        c, h, w = plane_shape(data_shape)
        return c, 2 * data_shape[1], h, w

    @property
    def grain(self) -> int:
        return 2

    def section(self, begin: int, end: int) -> Section:
        shape = (self.shape[0], end - begin, *self.shape[2:])
        return Section(restricted(self, shape, s=self.s[:, :, begin:end]), 2, begin // 2, (end - begin) // 2)

    def Vt(self, x: Image) -> Tensor:
        return x

    def V(self, z: Tensor) -> Image:
        return z

    def Ut(self, y: Data) -> Tensor:
        return self.s * y.repeat_interleave(2, 2)

    def U(self, z: Tensor) -> Data:
        z = self.s * z
        return z[:, :, 0::2] + z[:, :, 1::2]


class Scratches(Film, Masked, Sectioned):
    """y_f = m_f ⊙ x_f: each frame has `count` vertical scratches of `width` pixels at places of its own, where y is 0.

    A scratch moves by up to two pixels from frame to frame, as on film that runs through a projector, and a tenth of
    them begin anew. The places are drawn with `seed`. Masks that were painted are `frames:operator=(inpaint:…)`.
    """

    source: ClassVar[str] = "line scratches: Kokaram, 1998"

    def __init__(
        self,
        shape: tuple[int, ...],
        count: Annotated[int, Range(1, 1000)] = 3,
        width: Annotated[int, Range(1, 100)] = 1,
        seed: Annotated[int, Seed] = 0,
    ) -> None:
        super().__init__(shape)
        c, h, w = plane_shape(shape)
        if count * width >= w:
            raise ShapeError(f"{count} scratches of {width} pixels leave nothing of a picture {w} pixels wide")
        g = Generator().manual_seed(seed)
        place = torch.randint(w, (count,), generator=g)
        mask = torch.ones(shape[1], w, dtype=torch.bool)
        for f in range(shape[1]):
            for i in range(width):
                mask[f, (place + i) % w] = False
            moved = place + torch.randint(-2, 3, (count,), generator=g)
            anew = torch.rand(count, generator=g) < 0.1
            place = torch.where(anew, torch.randint(w, (count,), generator=g), moved) % w
        self.keep(mask[None, None, :, None, :].expand(1, 1, -1, h, -1).contiguous())

    def section(self, begin: int, end: int) -> Section:
        shape = (self.shape[0], end - begin, *self.shape[2:])
        return Section(restricted(self, shape, s=self.s[:, :, begin:end]), 2, begin, end - begin)


class Snapshot(Film):
    """Spatio-temporal compressed sensing: one picture of all frames, y = Σ_f m_f ⊙ x_f/√t, m_f random masks of 0 and 1.

    A pixel is open in a share `keep` of the frames, at least in one; data (c, 1, h, w). For each pixel V is the
    reflection that takes the direction of its t numbers m_f to the first axis.
    """

    source: ClassVar[str] = "CACTI: Llull et al., 2013, doi:10.1364/OE.21.010526"

    axis: Tensor  # v of the reflection I − 2 v vᵀ, (1, 1, t, h, w)

    def __init__(
        self, shape: tuple[int, ...], keep: Annotated[Number, Portion] = 0.5, seed: Annotated[int, Seed] = 0
    ) -> None:
        super().__init__(shape)
        _, h, w = plane_shape(shape)
        t, g = plane_count(shape), Generator().manual_seed(seed)
        m = (torch.rand(t, h, w, generator=g) < keep).double()
        m[torch.randint(t, (), generator=g)] += m.sum(0) == 0
        size = m.square().sum(0).sqrt()
        v = m / size
        v[0] -= 1
        length = v.square().sum(0).sqrt()
        self.register_buffer("axis", built((v / length.clamp_min(1e-12))[None, None]))
        s = torch.zeros(t, h, w, dtype=torch.float64)
        s[0] = size / t**0.5
        self.keep(s[None, None])

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        raise ShapeError("snapshot: one picture does not tell how many frames it is of; give the shape of the video")

    def Vt(self, x: Image) -> Tensor:
        return x - 2 * self.axis * (self.axis * x).sum(2, keepdim=True)

    def V(self, z: Tensor) -> Image:
        return self.Vt(z)

    def Ut(self, y: Data) -> Tensor:
        return torch.cat([y, y.new_zeros(*y.shape[:2], self.shape[1] - 1, *y.shape[3:])], 2)

    def U(self, z: Tensor) -> Data:
        return z[:, :, :1].contiguous()
