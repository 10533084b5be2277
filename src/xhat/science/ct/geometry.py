"""How the rays of a scan of one slice run: the one description of angles, detector, source and axis of rotation."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ...errors import SpecError
from ...operators.checks import one_of
from ...ranges import Checked, Finite, NonNegative, Positive, Range

BEAMS = ("parallel", "fan", "curved")
DIRECTIONS = ("counterclockwise", "clockwise")
PARALLEL = 1e9  # the distance of a source that is infinitely far away, in the units of the others


@dataclass(frozen=True, kw_only=True)
class Geometry(Checked):
    """The rays of a scan; all lengths are in one unit, such as mm, and angles in degrees.

    x points to the right and y upwards, from the middle of the image. At angle θ the rays run in the direction a =
    (−sin θ, cos θ) and the cells of the detector are counted along e = (cos θ, sin θ), so that view 0 sums columns. θ
    turns counter-clockwise about `axis`, as a source and a detector do that turn around an object at rest; if the
    object itself is turned counter-clockwise, `direction` is clockwise. Cell i of n lies at s = (i − (n − 1)/2) `pitch`
    + `offset` along e, opposite the axis for s = 0. `shift` moves source and detector together along e, as if the axis
    had been mounted beside the central ray; for parallel rays it is the same as `offset`.

    The source of a `fan` is `distance` from the axis and its flat detector `detector_distance` behind the axis; cells
    of a `curved` detector lie on the circle about the source, `pitch` apart along it.
    """

    angles: tuple[Annotated[float, Finite], ...]
    detectors: Annotated[int, Range(1, 100_000)]
    pitch: Annotated[float, Positive]
    beam: str = "parallel"
    direction: str = "counterclockwise"
    offset: Annotated[float, Finite] = 0.0
    shift: Annotated[float, Finite] = 0.0
    axis: tuple[Annotated[float, Finite], ...] = (0.0, 0.0)
    distance: Annotated[float, Positive] = PARALLEL
    detector_distance: Annotated[float, NonNegative] = 0.0

    def __post_init__(self) -> None:
        one_of("geometry", self.beam, BEAMS)
        one_of("direction", self.direction, DIRECTIONS)
        if not self.angles:
            raise SpecError("a scan has at least one angle")
        if len(self.axis) != 2:
            raise SpecError(f"axis is a point (x, y), not {len(self.axis)} numbers")
        if self.beam == "curved" and (self.detectors - 1) * self.pitch >= math.pi * self.length:
            raise SpecError(
                f"a curved detector of {self.detectors} cells {self.pitch:g} apart spans half a circle or more at "
                f"{self.length:g} from the source"
            )

    @property
    def diverges(self) -> bool:
        """Whether the rays leave a point."""
        return self.beam != "parallel"

    @property
    def length(self) -> float:
        """From the source to the detector."""
        return self.distance + self.detector_distance

    @property
    def magnification(self) -> float:
        """How much larger the detector sees what lies at the axis: 1 for parallel rays."""
        return self.length / self.distance if self.diverges else 1.0

    def views(self) -> Tensor:
        """The angles θ in radians, counter-clockwise, (angles,), in float64."""
        sign = 1 if self.direction == "counterclockwise" else -1
        return sign * torch.tensor(self.angles, dtype=torch.float64).deg2rad()

    def cells(self) -> Tensor:
        """The places s of the cells along the detector, (detectors,), in float64."""
        return (torch.arange(self.detectors, dtype=torch.float64) - (self.detectors - 1) / 2) * self.pitch + self.offset

    def rays(self) -> tuple[Tensor, Tensor]:
        """A point of each ray and its unit direction, both (angles · detectors, 2), in float64."""
        theta, s = self.views()[:, None], self.cells()[None]
        across = torch.stack([theta.cos(), theta.sin()], -1)
        along = torch.stack([-theta.sin(), theta.cos()], -1)
        start = torch.tensor(self.axis, dtype=torch.float64) + self.shift * across
        if not self.diverges:
            points = start + s[..., None] * across
            return points.reshape(-1, 2), along.expand_as(points).reshape(-1, 2)
        turned = s / self.length if self.beam == "curved" else (s / self.length).atan()
        d = turned.sin()[..., None] * across + turned.cos()[..., None] * along
        source = (start - self.distance * along).expand_as(d)
        # the point nearest to the axis, so that no digits are lost on a source far away
        return (source + self.distance * turned.cos()[..., None] * d).reshape(-1, 2), d.reshape(-1, 2)

    def weights(self) -> Tensor:
        """The angle in radians that each view stands for, (angles,), in float64: half of the gaps to its neighbours.

        Views of parallel rays repeat after 180 degrees, those of a fan after 360. A gap that is much larger than the
        others was not measured, and belongs to nobody.
        """
        turn = 2 * math.pi if self.diverges else math.pi
        theta, order = self.views().remainder(turn).sort()
        if len(theta) == 1:
            return torch.full_like(theta, turn)
        gaps = torch.cat([theta.diff(), theta[:1] + turn - theta[-1:]])
        usual = float(gaps[gaps > 1e-9].median())  # views may be repeated
        gaps = torch.where(gaps > 3 * usual, usual, gaps)
        out = torch.empty_like(theta)
        out[order] = (gaps + gaps.roll(1)) / 2
        return out


def spread(count: int, arc: float, start: float = 0.0) -> tuple[float, ...]:
    """`count` angles in degrees over `arc`, evenly spaced from `start`, without the last one."""
    return tuple(start + i * arc / count for i in range(count))
