"""The prior of vorticities."""

from typing import ClassVar

from ...priors.generated import Generated
from ...schedule import EDM


class Vorticities(Generated):
    """Vorticities w of a forced flow for `navier_stokes:scale=25`, x = w/25: fitted to `xhat generate vorticity`.

    By default it is one Gaussian, which knows the spectrum and the forced mean flow but not the shape of a vortex.
    """

    what: ClassVar[str] = "vorticity"

    def __init__(
        self, components: int = 1, rank: int = 400, pictures: int = 1500, size: int = 64, seed: int = 0
    ) -> None:
        super().__init__(components, rank, pictures, size, seed, EDM(0.01, 10.0))
