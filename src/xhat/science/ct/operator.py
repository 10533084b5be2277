"""The operator of computed tomography."""

import logging
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.fft import irfft2, rfft2

from ...errors import DataError, ShapeError, SpecError
from ...files.numbers import array_of
from ...files.room import fits, text_of
from ...numerics.build_dtype import built
from ...numerics.linalg import bcast, cg, dot
from ...operators.base import AffineOperator, DampedOperator, Operator, in_double, iterative
from ...operators.checks import Number, one_of, planes
from ...ranges import Range
from ...registry import builds
from ...types import Data, Image
from .consistency import doubts
from .geometry import BEAMS, DIRECTIONS, PARALLEL, Geometry, spread
from .modality import attenuations
from .rays import apply, joseph, sparse, transposed
from .turns import Turns, turnable

PAPERS = "Kak & Slaney, 1988; Joseph, IEEE Trans. Med. Imaging 1, 1982"
Length = Range(above=0, most=1e6)
Place = Range(-1e6, 1e6)
Degrees = Range(-1e6, 1e6)
Angles = Annotated[int, Range(1, 10_000)] | Sequence[Annotated[Number, Degrees]] | Tensor | np.ndarray
FLOOR = 1e-2  # of the largest number in the spectrum of a preconditioner
CONVENTIONS = ("xhat", "astra", "skimage")
PER_MM = {"mm": 1.0, "cm": 0.1}  # what one of a unit of attenuation is per mm


class Tomograph(Operator):
    """What the operators of tomography share: images (c, h, w), data (c, angles, detectors), a geometry."""

    geometry: Geometry  # in the unit of the data
    transposed: bool = False  # whether recordings are (detectors, angles)
    mask: Tensor | None = None  # (angles, detectors): which readings were measured; None: all
    assumed: str = ""  # what was taken for granted of the scanner, to be said of a recording
    light: Tensor | None = None  # (detectors,): the light of each cell, relative to the usual one; None: 1

    @property
    def detector(self) -> Tensor:
        """The light of each cell, relative to the usual one, (detectors,)."""
        return torch.ones(self.geometry.detectors) if self.light is None else self.light

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        raise ShapeError("ct: the data do not tell the shape of the image; give it")

    def intake(self, y: Tensor) -> Data:
        """A recording without an axis of channels, (b, angles, detectors), as data; scikit-image's is transposed.

        What speaks against the geometry is said (`consistency.doubts`). Raises ShapeError for a recording that is
        transposed by mistake.
        """
        size = len(self.geometry.angles), self.geometry.detectors
        if y.ndim == 3:
            if self.assumed:
                once(self.assumed)
            y = y.mT if self.transposed else y
            if tuple(y.shape[1:]) == size[::-1] != size:
                raise ShapeError(
                    f"ct: the recording is (detectors, angles) = {size[::-1]}; transpose it to (angles, detectors)"
                )
            y = y[:, None]
        if tuple(y.shape[1:]) == (1, *size) and bool(torch.isfinite(y).all()):
            for note in doubts(self.geometry, y[0, 0], self.mask):
                once(note)
        return y


class RaySum(Tomograph, DampedOperator):
    """Weighted sums along rays, solved by conjugate gradient to the error that is asked for."""

    cg_steps: ClassVar[int] = 2000  # few views under a weak prior are nearly singular: 500 were not always enough
    # The preconditioner fits the middle of the image only, and so says nothing of the error.
    told_by_gains: ClassVar[bool] = True


class CT(RaySum):
    """Line integrals of each channel along the rays of a `geometry`, times `unit`, through square pixels of width
    `pixel`, both lengths in one unit.

    Joseph's interpolation, an exact transpose, and conjugate gradient. With few parallel views all around it runs on
    the data, preconditioned with the mean of A Aᵀ over turns (`Turns`), else on the image, preconditioned with the
    spectrum of AᵀA in the middle. `seen` (angles, detectors) says which cells measured something; all by default.
    Raises SpecError for a source inside the image and for rays that all miss it.
    """

    source: ClassVar[str] = PAPERS

    M: Tensor
    Mt: Tensor
    spectrum: Tensor
    crossing: Tensor  # which rays cross the image
    seen: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        geometry: Geometry,
        pixel: Annotated[float, Length],
        unit: Annotated[float, Length] = 1.0,
        seen: Tensor | None = None,
    ) -> None:
        super().__init__(shape)
        _, h, w = planes(shape)
        self.geometry, self.pixel, self.unit = geometry, pixel, unit
        radius = math.hypot(h, w) / 2 * pixel
        if geometry.diverges and geometry.distance <= radius + math.hypot(*geometry.axis) + abs(geometry.shift):
            raise SpecError(
                f"distance must exceed {radius:.3g}, the radius of the image, not {geometry.distance:.3g}: "
                "the source stays outside it"
            )
        angles, count = len(geometry.angles), geometry.detectors
        # two entries for each row or column that a ray crosses, in both matrices, and as many again while they are made
        fits(120 * angles * count * max(h, w), f"a matrix of {angles} x {count} rays through {h} x {w} pixels")
        points, directions = geometry.rays()
        row, pixels, weight = joseph(points / (w * pixel), directions, h, w)
        if not len(row):
            raise SpecError("no ray crosses the image: look at the pitch, the offset and the size of a pixel")
        entries = row, pixels, weight * (w * pixel * unit)
        size = (angles * count, h * w)
        # Not part of the state, because they follow from the options.
        self.register_buffer("M", built(sparse(*entries, *size)), persistent=False)
        self.register_buffer("Mt", built(transposed(*entries, *size)), persistent=False)
        self.register_buffer("spectrum", self.middle())
        if seen is not None and tuple(seen.shape) != (angles, count):
            raise ShapeError(f"ct: seen has shape {tuple(seen.shape)}, the data {(angles, count)}")
        self.register_buffer("crossing", (self.M.crow_indices().diff() > 0).reshape(1, 1, angles, count))
        self.register_buffer("seen", self.crossing if seen is None else self.crossing & seen.bool())
        self.gaps = seen is not None  # rays that miss the image need no mask: their rows are empty
        self.turning = not self.gaps and turnable(geometry, h, w, len(row))
        # Lists, because what they hold is no part of this module: the copy in double precision, and what `turns` made.
        self.wide: list[CT] = []
        self.turned: list[Turns] = []

    def double_copy(self) -> "CT":
        """The operator in double precision, made once: a run solves many systems."""
        if self.M.dtype == torch.float64:
            return self
        if not self.wide or self.wide[0].M.device != self.M.device:
            self.wide = [super().double_copy()]
            self.wide[0].turned = []
        return self.wide[0]

    @property
    def turns(self) -> Turns:
        """A Aᵀ averaged over turns, made once."""
        if not self.turned or self.turned[0].device != self.M.device:
            g, (h, w) = self.geometry, self.shape[-2:]
            self.turned = [Turns(self.M, self.Mt, len(g.angles), g.detectors, h == w, g.angles[0] == 0)]
        return self.turned[0]

    @property
    def support(self) -> Tensor:
        """The rays that cross the image and were measured."""
        return self.seen

    def forward(self, x: Image) -> Data:
        y = apply(x.reshape(-1, x.shape[-2] * x.shape[-1]), self.M, self.Mt)
        y = y.reshape(*x.shape[:2], *self.seen.shape[2:])
        return y * self.seen if self.gaps else y

    def adjoint(self, y: Data) -> Image:
        y = y * self.seen if self.gaps else y
        x = apply(y.reshape(-1, self.seen.numel()), self.Mt, self.M)
        return x.reshape(len(y), *self.shape)

    @iterative
    def ridge(self, y: Data, rho: Tensor | float, close: Tensor | float = 0.0) -> Image:
        """Aᵀ (A Aᵀ + ρ I)⁻¹ y where turns help.

        If e is the error of the solution w on the data, the error of the image Aᵀ w is at most √(eᵀ (A Aᵀ + ρ I) e),
        and the residual r tells that number well: √(rᵀ (K + ρ I)⁻¹ r), with K the mean over turns.
        """
        if not self.turning:
            return super().ridge(y, rho, close)
        A, wide = in_double(self, y * self.seen)
        pixels = math.prod(self.shape)
        w = cg(
            lambda v: A(A.adjoint(v)) + bcast(rho, v) * v,
            wide,
            self.cg_steps,
            self.cg_tol,
            precondition=lambda r: A.turns(r, rho) * A.seen,
            close=close,
            error=lambda r, z: (dot(r, z) / pixels).sqrt(),
        )
        return A.adjoint(w).to(y.dtype)

    def precondition(self, r: Image, rho: Tensor | float) -> Image:
        out: Tensor = irfft2(rfft2(r) / (self.spectrum + bcast(rho, r)), s=self.shape[-2:])
        return out

    def middle(self) -> Tensor:
        """The spectrum of AᵀA at a pixel in the middle, about 1/|frequency|: (h, w//2 + 1), positive."""
        h, w = self.shape[-2:]
        x = torch.zeros(1, h * w, dtype=self.M.dtype)
        x[0, h // 2 * w + w // 2] = 1
        size: Tensor = rfft2(apply(apply(x, self.M, self.Mt), self.Mt, self.M).reshape(h, w)).abs()
        # A floor, so that dividing by the spectrum stays bounded. It is 0 between the spokes of few views, but only in
        # the middle; of 0.001, 0.01, 0.03 and 0.1 this one needed the fewest steps for 32 views and for 120 degrees.
        return size.clamp_min(FLOOR * float(size.max()))


class Attenuation(Tomograph, AffineOperator):
    """Line integrals of an attenuation μ = `white` (x + 1)/2: black is 0, and white `white` per `per` (mm or cm)."""

    source: ClassVar[str] = PAPERS
    linear: CT

    def __init__(
        self,
        shape: tuple[int, ...],
        geometry: Geometry,
        pixel: Annotated[float, Length],
        white: Annotated[float, Range(above=0, most=1e9)],
        per: str = "mm",
        seen: Tensor | None = None,
    ) -> None:
        super().__init__(shape)
        one_of("per", per, tuple(PER_MM))
        self.geometry, self.white, self.per = geometry, white, per
        self.linear = CT(shape, geometry, pixel, white * PER_MM[per] / 2, seen)
        if self.shape[0] == 1:
            self.modality = self.linear.modality = attenuations(white, per, pixel, self.shape, geometry)


@builds(Tomograph, source=PAPERS)
def ct(
    shape: tuple[int, ...],
    angles: Angles = 60,
    theta: str | Path | None = None,
    arc: Annotated[Number, Range(above=0, most=360)] | None = None,
    detectors: Annotated[int, Range(1, 100_000)] | None = None,
    geometry: str = "parallel",
    distance: Annotated[Number, Length] | None = None,
    detector_distance: Annotated[Number, Range(0, 1e6)] = 0.0,
    pitch: Annotated[Number, Length] | None = None,
    offset: Annotated[Number, Place] = 0.0,
    shift: Annotated[Number, Place] = 0.0,
    axis: Sequence[Annotated[Number, Place]] | None = None,
    direction: str = "counterclockwise",
    start: Annotated[Number, Range(-360, 360)] = 0.0,
    pixel: Annotated[Number, Length] | None = None,
    white: Annotated[Number, Range(above=0, most=1e9)] | None = None,
    per: str = "mm",
    convention: str = "xhat",
    seen: Tensor | None = None,
    flux: Tensor | None = None,
) -> Tomograph:
    """Computed tomography: integrals along the rays of a slice, data (c, angles, detectors).

    With `pixel`, the width of a pixel in mm, all lengths are in mm; without it in image widths. `angles` is how many
    views there are over `arc` degrees (180, for a fan 360) from `start`, without the last angle, or a list of all in
    degrees; `theta` is a file of such a list, .npy or text. Few views make a sparse problem, a small arc is
    limited-angle tomography. `geometry` is parallel, fan (a flat detector) or curved (a detector on a circle about the
    source); `distance` is that from source to axis, 2 image widths by default, and `detector_distance` that from axis
    to detector, where cells are `pitch` apart. By default they cover the image. `offset` moves the detector, `shift`
    detector and source, and `axis` (x, y) the axis of rotation in the image; `direction` is that of source and detector
    about the object: see `Geometry`.

    Without `white` the integrals are those of x itself, in [−1, 1]. With it they are those of an attenuation from 0
    (black) to `white` per mm or, with `per`, cm: the −log of a transmission. `convention` = astra takes lengths in
    pixels and cells one pixel apart, skimage also the axis at pixel n//2 and recordings (detectors, angles), as
    `radon`. `seen` (angles, detectors) is False for readings that are to be left out, and `flux` (detectors,) the
    light of each cell for the noise `transmission`, relative to the usual one. Raises SpecError for a geometry that
    cannot be.
    """
    _, h, w = planes(shape)
    one_of("convention", convention, CONVENTIONS)
    one_of("direction", direction, DIRECTIONS)
    fan = one_of("geometry", geometry, BEAMS) != "parallel"
    counted = convention != "xhat"
    if counted and pixel is not None:
        raise SpecError(f"convention={convention} counts lengths in pixels; leave pixel out")
    width = 1.0 if counted else float(pixel) if pixel is not None else 1 / w
    if theta is not None:
        angles = numbers_in(Path(theta))
    views = angles_of(angles, arc, start, 360.0 if fan else 180.0)
    far = float(distance) if distance is not None else 2 * w * width
    place = (0.0, 0.0) if axis is None else tuple(map(float, axis))
    if convention == "skimage":
        if fan or h != w:
            raise SpecError("convention=skimage is that of radon: parallel rays through a square image")
        detectors = w if detectors is None else detectors
        place = (place[0] + (w // 2 - (w - 1) / 2), place[1] - (h // 2 - (h - 1) / 2))
        offset = offset + (detectors - 1) / 2 - detectors // 2
    reach = math.hypot(h, w) / 2 * width
    if fan and far <= reach:
        raise SpecError(f"distance must exceed {reach:.3g}, the radius of the image, not {far:g}")
    count = 2 * math.ceil(math.hypot(h, w) / 2) + 1 if detectors is None else detectors
    assumed = ""
    if pitch is None:
        grown = (far + detector_distance) / far if fan else 1.0
        edge = math.asin(reach / far) if fan else 0.0
        wide = {"parallel": reach, "fan": far * math.tan(edge), "curved": far * edge}[geometry] * grown
        pitch = 1.0 if counted else 2 * wide / max(1, count - 1)
        if detectors is not None and not counted:
            assumed = (
                f"no pitch was given, so the {count} cells are taken to cover the image's diagonal, "
                f"{pitch / width:.3g} pixels apart; if they do not, give pitch"
            )
    made = Geometry(
        angles=views,
        detectors=count,
        pitch=float(pitch),
        beam=geometry,
        direction=direction,
        offset=float(offset),
        shift=float(shift),
        axis=place,
        distance=far if fan else PARALLEL,
        detector_distance=float(detector_distance) if fan else 0.0,
    )
    if not fan and (distance is not None or detector_distance):
        raise SpecError("parallel rays have no distance; a source has one: geometry=fan or curved")
    A = CT(shape, made, width, seen=seen) if white is None else Attenuation(shape, made, width, float(white), per, seen)
    if flux is not None and tuple(flux.shape) != (count,):
        raise ShapeError(f"ct: flux has shape {tuple(flux.shape)}, the detector {count} cells")
    A.assumed = assumed
    A.transposed, A.mask, A.light = convention == "skimage", None if seen is None else seen.bool(), flux
    return A


@lru_cache
def once(note: str) -> None:
    """Says a line to the user, and not again."""
    logging.getLogger("xhat").warning("xhat: ct: %s", note)


def angles_of(given: Angles, arc: Number | None, start: Number, full: float) -> tuple[float, ...]:
    """The angles in degrees: counted over `arc` (`full` by default) from `start`, or as a list says them.

    Raises SpecError for options that contradict each other.
    """
    if isinstance(given, int):
        return spread(given, float(arc if arc is not None else full), float(start))
    if arc is not None or start:
        raise SpecError("arc and start are for a number of angles; a list says them all")
    listed = np.asarray(given)
    if listed.ndim != 1 or not 0 < len(listed) <= 100_000 or listed.dtype.kind not in "biuf":
        raise SpecError(f"angles are a number of views or a list of degrees, not of shape {listed.shape}")
    if not np.isfinite(listed).all():
        raise SpecError("angles hold NaN or infinity")
    return tuple(map(float, listed))


def numbers_in(path: Path) -> np.ndarray:
    """The numbers of a .npy file, or of a text file with one or several a line. Raises DataError if there are none."""
    if path.suffix.lower() == ".npy":
        return array_of(path).reshape(-1)
    try:
        return np.array([float(word) for word in text_of(path).replace(",", " ").split()])
    except (OSError, UnicodeDecodeError, ValueError) as e:
        raise DataError(f"{path}: is no list of angles in degrees ({e})") from e
