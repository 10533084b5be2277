"""The prior of velocities."""

from typing import Annotated, ClassVar

from ...priors.generated import Generated, Parts, Pictures, Pixels
from ...ranges import Seed
from ...schedule import EDM


class VelocityModels(Generated):
    """Velocities of the ground for `fwi`, x = (v − 3)/1.5 in km/s: a mixture fitted to `xhat generate velocity`."""

    what: ClassVar[str] = "velocity"

    def __init__(
        self,
        components: Parts = 20,
        rank: Parts = 100,
        pictures: Pictures = 8000,
        size: Pixels = 64,
        seed: Annotated[int, Seed] = 0,
    ) -> None:
        super().__init__(components, rank, pictures, size, seed, EDM(0.01, 10.0))
