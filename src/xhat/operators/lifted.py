"""An operator on pictures, on each frame of a video or each slice of a volume.

Videos and volumes have the shape (c, t, h, w): the frames or slices are the second axis of an image.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ShapeError, SpecError
from ..files.video import is_numbered, pictures_of
from ..registry import builds, registry_of
from ..spec import factors
from ..types import Data, Image, PerImage
from .base import CellOperator, LinearOperator, Operator, PinvOperator, ProxyOperator, SpectralOperator
from .compose import composed
from .compose import image_shape as one_image
from .inpaint import Inpaint
from .modality import VIDEO, VOLUME, Modality, fitting
from .sections import Section, Sectioned

Part = Any  # an Operator or its spec string; an annotation that said so would be built without the shape of a frame
SOURCE = "the operator of one frame"


def plane_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """(c, h, w) of a frame of a video of `shape`. Raises ShapeError if that is not (c, t, h, w)."""
    if len(shape) != 4:
        raise ShapeError(f"a video or a volume has the shape (channels, frames, height, width), not {tuple(shape)}")
    c, _, h, w = shape
    return c, h, w


class Lifted(Operator, Sectioned):
    """x ↦ A(x_f) for each frame f, images (c, t, h, w).

    Data of three axes are a video as well, (d, t, ·, ·); all others have the frames first, (t, *data). There is one
    part for all frames, or one for each. A part whose physics differs from image to image (`per_image`) has an entry
    for each frame, which all videos of a batch share, or one for each frame of each video, video by video.
    """

    def __init__(self, shape: tuple[int, ...], *parts: Operator) -> None:
        super().__init__(shape)
        frame = plane_shape(shape)
        if len(parts) not in (1, shape[1]):
            raise ShapeError(f"{len(parts)} operators for {shape[1]} frames: give one, or one for each frame")
        for i, part in enumerate(parts):
            if part.shape != frame:
                raise ShapeError(f"a frame has the shape {frame}, and the operator takes images of shape {part.shape}")
            if part.data_shape != parts[0].data_shape:
                one, other = parts[0].data_shape, part.data_shape
                raise ShapeError(f"the data of frame 0 have the shape {one}, those of frame {i} {other}")
            self.add_module(f"part{i}", part)
        if len(parts) == 1 and (bad := [n for n in parts[0].batches() if n != 1 and n % self.frames]):
            raise ShapeError(f"an operator for {bad[0]} pictures does not fit videos of {self.frames} frames")
        self.axis = 2 if len(parts[0].data_shape) == 3 else 1  # of the frames in data

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        given = options.get("operator", "denoise")
        one = given[0] if isinstance(given, list | tuple) and given else given
        if isinstance(one, Operator):
            return (one.shape[0], data_shape[1], *one.shape[1:])
        c, h, w = one_image(factors(bare(str(one))), registry_of(Operator) or {}, plane_shape(data_shape))
        return c, data_shape[1], h, w

    @property
    def parts(self) -> list[Operator]:
        """The operator of all frames, or those of each."""
        return [m for m in self._modules.values() if isinstance(m, Operator)]

    @property
    def frames(self) -> int:
        """How many frames a video has."""
        return self.shape[1]

    @property
    def detector(self) -> object:
        return self.parts[0].detector

    @property
    def support(self) -> Tensor | None:
        """That of each frame, in the place that its data have."""
        known = [part.support for part in self.parts]
        if all(s is None for s in known):
            return None
        if len(known) == 1:
            seen = known[0]
            assert seen is not None
            shared = (1, 1) if len(seen) == 1 else (-1, self.frames)
            return seen.reshape(*shared, *seen.shape[1:]).movedim(1, self.axis)
        where = next(s.device for s in known if s is not None)
        each = [torch.ones(1, dtype=torch.bool, device=where) if s is None else s for s in known]
        batch = max(len(s) for s in each)
        wide = (batch, *self.parts[0].data_shape)
        return torch.stack([s.reshape(len(s), *s.shape[1:]).expand(wide) for s in each], self.axis)

    def forward(self, x: Image) -> Data:
        return self.run(lambda A, v: A(v), x, 2, self.axis)

    def batches(self) -> list[int]:
        if len(self.parts) > 1:
            return super().batches()
        return [1 if n in (1, self.frames) else n // self.frames for n in self.parts[0].batches()]

    def take(self, index: Tensor) -> "Lifted":
        if len(self.parts) == 1 and max(self.batches(), default=1) == 1:
            return self  # all videos share the physics of their frames
        if len(self.parts) > 1:
            return super().take(index)
        return super().take((index[:, None] * self.frames + torch.arange(self.frames)).flatten())

    def section(self, begin: int, end: int) -> Section:
        shape = (self.shape[0], end - begin, *self.shape[2:])
        parts = self.parts[begin:end] if len(self.parts) > 1 else self.parts
        if len(self.parts) == 1 and (many := max(parts[0].batches(), default=1)) > 1:
            videos = torch.arange(0, many, self.frames)[:, None]
            parts = [parts[0].take((videos + torch.arange(begin, end)).flatten())]
        return Section(lift(shape, parts, self.modality), self.axis, begin, end - begin)

    def run(
        self,
        call: Callable[..., Tensor],
        v: Tensor,
        axis: int,
        out: int,
        *rest: Tensor | float,
        cells: Tensor | None = None,
    ) -> Tensor:
        """`call(part, frames, *rest)` with the frames of `v`, which are its axis `axis`, put together along `out`.

        `rest` are numbers, or tensors with one for each video, (b,); `cells` has an entry for each frame, (b, t, …).
        """
        b, parts = len(v), self.parts
        if len(parts) > 1:
            pieces = [call(A, v.select(axis, f).contiguous(), *rest) for f, A in enumerate(parts)]
            return torch.stack(pieces, out)
        (A,) = parts
        if b > 1 and self.frames > 1 and self.frames in A.batches():
            A = A.take(torch.arange(self.frames).repeat(b))
        each = [r.repeat_interleave(self.frames) if isinstance(r, Tensor) and r.ndim else r for r in rest]
        more = [] if cells is None else [cells.flatten(0, 1)]
        made = call(A, v.movedim(axis, 1).flatten(0, 1).contiguous(), *each, *more)
        return made.reshape(b, self.frames, *made.shape[1:]).movedim(1, out).contiguous()


class LiftedPinv(Lifted, PinvOperator):
    """The frames of an operator with a generalised inverse."""

    def pinv(self, y: Data) -> Image:
        return self.run(lambda A, v: A.pinv(v), y, self.axis, 2)


class LiftedCells(LiftedPinv, CellOperator):
    """The frames of an operator that rounds or clips."""

    def cells(self, y: Data, noisy: bool) -> Tensor:
        return self.run(lambda A, v: A.cells(v, noisy), y, self.axis, 1)

    def posterior_mean(self, x: Image, var: PerImage, cells: Tensor, std: PerImage) -> Image:
        each = lambda A, v, var, std, cells: A.posterior_mean(v, var, cells, std)
        return self.run(each, x, 2, 2, var, std, cells=cells)

    def project(self, x: Image, cells: Tensor) -> Image:
        return self.run(lambda A, v, cells: A.project(v, cells), x, 2, 2, cells=cells)


class LiftedCode(LiftedCells, ProxyOperator):
    """The frames of a code such as JPEG, whose derivative is taken for the identity's."""

    def code(self, x: Image) -> Data:
        return self.run(lambda A, v: A.code(v), x, 2, self.axis)

    def forward(self, x: Image) -> Data:
        return ProxyOperator.forward(self, x)


class LiftedLinear(LiftedPinv, LinearOperator):
    """The frames of a linear operator; each linear system is solved as the operator of its frame solves it."""

    def __init__(self, shape: tuple[int, ...], *parts: Operator) -> None:
        super().__init__(shape, *parts)
        for name in ("floor", "cutoff"):  # what the parts damp or leave out
            vars(self)[name] = max(float(getattr(part, name, 0.0)) for part in parts)

    def adjoint(self, y: Data) -> Image:
        return self.run(lambda A, v: A.adjoint(v), y, self.axis, 2)

    def normal_solve(self, b: Image, rho: Tensor | float) -> Image:
        return self.run(lambda A, v, rho: A.normal_solve(v, rho), b, 2, 2, rho)

    def ridge(self, y: Data, rho: Tensor | float, close: Tensor | float = 0.0) -> Image:
        return self.run(lambda A, v, rho, close: A.ridge(v, rho, close), y, self.axis, 2, rho, close)


class LiftedSpectral(LiftedLinear, SpectralOperator):
    """The frames of an operator with a cheap singular value decomposition; spectral coordinates are (t, *spectral)."""

    @property
    def part(self) -> SpectralOperator:
        """The operator of all frames."""
        (A,) = self.parts
        assert isinstance(A, SpectralOperator)
        return A

    @property
    def s(self) -> Tensor:  # type: ignore[override]
        """The singular values of all frames, (1 or b, 1 or t, *spectral)."""
        s = self.part.s
        return s[:, None] if len(s) == 1 else s.reshape(-1, self.frames, *s.shape[1:])

    def forward(self, x: Image) -> Data:
        return Lifted.forward(self, x)

    def Vt(self, x: Image) -> Tensor:
        return self.run(lambda A, v: A.Vt(v), x, 2, 1)

    def V(self, z: Tensor) -> Image:
        return self.run(lambda A, v: A.V(v), z, 1, 2)

    def Ut(self, y: Data) -> Tensor:
        return self.run(lambda A, v: A.Ut(v), y, self.axis, 1)

    def U(self, z: Tensor) -> Data:
        return self.run(lambda A, v: A.U(v), z, 1, self.axis)


KINDS: tuple[tuple[tuple[type[Operator], ...], type[Lifted]], ...] = (
    ((LinearOperator,), LiftedLinear),
    ((CellOperator, ProxyOperator), LiftedCode),
    ((CellOperator,), LiftedCells),
    ((PinvOperator,), LiftedPinv),
    ((), Lifted),
)


def lift(shape: tuple[int, ...], operator: Part | Sequence[Part], modality: Modality) -> Lifted:
    """The operator of frames as one of whole images of `shape`, (c, t, h, w): as specific as the parts allow.

    `operator` is an `Operator` or a spec string, or a list with one for each frame. Raises ShapeError or SpecError if
    they do not fit the frames.
    """
    frame = plane_shape(shape)
    each = one_for_each(operator, shape[1]) if isinstance(operator, str) else None
    given: list[Part] = [*each] if each else list(operator) if isinstance(operator, list | tuple) else [operator]
    parts = [made(one, frame) for one in given]
    if not parts:
        raise SpecError("frames: the list of operators is empty")
    if each and all(type(p) is Inpaint for p in parts):  # one mask for each frame is one operator, which solves faster
        parts = [Inpaint(frame, mask=torch.cat([p.s for p in parts if isinstance(p, Inpaint)]))]
    if len(parts) == 1 and isinstance(parts[0], SpectralOperator):
        A: Lifted = LiftedSpectral(shape, *parts)
    else:
        usable = KINDS if len(parts) == 1 else [row for row in KINDS if CellOperator not in row[0]]
        kinds, cls = next(row for row in usable if all(isinstance(p, k) for k in row[0] for p in parts))
        A = cls(shape, *parts)
    A.modality = fitting(modality, A.shape)
    return A


def one_for_each(text: str, count: int) -> list[str] | None:
    """The spec of an operator that names numbered pictures, `masks/%04d.png`, as one for each of `count` frames.

    None if it names none. The pictures are taken in the order of their numbers. Raises DataError if there are none or
    one is missing, and ShapeError if there are more or fewer than frames.
    """
    names = {value for value in re.split(r"[=,:@()'\"\[\]\s]+", text) if is_numbered(value)}
    if not names:
        return None
    files = {name: [str(p) for p in pictures_of(Path(name))] for name in names}
    for name, found in files.items():
        if len(found) != count:
            raise ShapeError(f"{name}: {len(found)} pictures for {count} frames")
    out = []
    for f in range(count):
        one = text
        for name, found in files.items():
            one = one.replace(name, found[f])
        out.append(one)
    return out


def made(given: Part, frame: tuple[int, ...]) -> Operator:
    """The operator of a frame of shape `frame` that a spec string names, or `given` itself if it is one."""
    if isinstance(given, Operator):
        return given
    if not isinstance(given, str):
        raise SpecError(f"frames: an operator is a spec string or an Operator, not {type(given).__name__}")
    return composed(factors(bare(given)), registry_of(Operator) or {}, frame)


def bare(text: str) -> str:
    """A spec string without the brackets around it."""
    text = text.strip()
    return text[1:-1] if text[:1] + text[-1:] == "()" else text


@builds(Lifted, source=SOURCE, example=(3, 4, 64, 64))
def frames(shape: tuple[int, ...], operator: Part = "denoise") -> Lifted:
    """y_f = A(x_f) for each frame f of a video (c, t, h, w).

    `operator` is the spec of A, with brackets if it has options or is composed, as in
    `frames:operator=(gaussian_blur:std=2)`; or a list of
    such texts in quotes, one for each frame. Numbered pictures, as in `frames:operator=(inpaint:fill=masks/%04d.png)`,
    are one for each frame, too. In Python it may be an `Operator` or a list of them. An operator built for
    as many pictures as there are frames, such as `inpaint` with a list of seeds, has its own physics in each frame.
    """
    return lift(shape, operator, VIDEO)


@builds(Lifted, source="the operator of one slice", example=(1, 4, 64, 64))
def slices(shape: tuple[int, ...], operator: Part = "denoise") -> Lifted:
    """y_s = A(x_s) for each slice s of a volume (1, slices, h, w); `operator` is given as for `frames`."""
    return lift(shape, operator, VOLUME)
