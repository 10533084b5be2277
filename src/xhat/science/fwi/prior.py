"""The prior of velocities."""

from typing import ClassVar

from ...priors.generated import Generated
from ...schedule import EDM


class VelocityModels(Generated):
    """Velocities of the ground for `fwi`, x = (v − 3)/1.5 in km/s: a mixture fitted to `xhat generate velocity`."""

    what: ClassVar[str] = "velocity"

    def __init__(
        self, components: int = 20, rank: int = 100, pictures: int = 8000, size: int = 64, seed: int = 0
    ) -> None:
        super().__init__(components, rank, pictures, size, seed, EDM(0.01, 10.0))
