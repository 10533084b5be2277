"""Computed tomography of volumes, slice by slice."""

from typing import Annotated, Any, ClassVar

from ...errors import ShapeError
from ...operators.checks import Number
from ...operators.lifted import LiftedLinear, plane_shape
from ...operators.modality import VOLUME, fitting
from ...ranges import Range
from .operator import ct


class HelicalCT(LiftedLinear):
    """Computed tomography of a volume (1, slices, h, w) by a scanner that turns while the table moves.

    Slice s is seen in `angles` views over `arc` degrees from s · `turn` on, where `turn` is by how much the scanner has
    turned when the next slice is reached; data (1, slices, angles, detectors). So with a limited arc each slice lacks
    other directions, which its neighbours have. The other options are those of `ct`.
    """

    name: ClassVar[str] = "helical_ct"
    source: ClassVar[str] = "Kalender et al., 1990, doi:10.1148/radiology.176.1.2353088"
    example: ClassVar[tuple[int, ...]] = (1, 4, 64, 64)

    def __init__(
        self,
        shape: tuple[int, ...],
        angles: Annotated[int, Range(1, 10_000)] = 30,
        arc: Annotated[Number, Range(above=0, most=360)] | None = None,
        turn: Annotated[Number, Range(-1e4, 1e4)] = 90.0,
        detectors: Annotated[int, Range(1, 100_000)] | None = None,
        geometry: str = "parallel",
        distance: Annotated[Number, Range(above=0, most=1e6)] | None = None,
    ) -> None:
        frame, count = plane_shape(shape), shape[1]
        starts = [s * float(turn) % 360 for s in range(count)]
        options: dict[str, Any] = {"arc": arc, "detectors": detectors, "geometry": geometry, "distance": distance}
        super().__init__(shape, *(ct(frame, angles, start=start, **options) for start in starts))
        self.modality = fitting(VOLUME, self.shape)

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        raise ShapeError("helical_ct: the data do not tell the shape of the volume; give it")
