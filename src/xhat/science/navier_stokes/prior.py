"""The prior of vorticities."""

from typing import Annotated, ClassVar

from ...priors.generated import Generated, Parts, Pictures, Pixels
from ...ranges import Seed
from ...schedule import EDM


class Vorticities(Generated):
    """Vorticities w of a forced flow for `navier_stokes:scale=25`, x = w/25: fitted to `xhat generate vorticity`.

    By default it is one Gaussian, which knows the spectrum and the forced mean flow but not the shape of a vortex.
    """

    what: ClassVar[str] = "vorticity"

    def __init__(
        self,
        components: Parts = 1,
        rank: Parts = 400,
        pictures: Pictures = 1500,
        size: Pixels = 64,
        seed: Annotated[int, Seed] = 0,
    ) -> None:
        super().__init__(components, rank, pictures, size, seed, EDM(0.01, 10.0))
