"""The prior of pictures of black holes."""

from typing import Annotated, ClassVar

from ...priors.generated import Generated, Parts, Pictures, Pixels
from ...ranges import Seed
from ...schedule import EDM


class BlackHolePictures(Generated):
    """Pictures of black holes, and of blobs and discs, grey in [−1, 1]: a mixture fitted to `xhat generate blackhole`.

    One component is a plain Gaussian prior, which knows how large and how smooth a picture is but nothing about rings.
    """

    what: ClassVar[str] = "blackhole"

    def __init__(
        self,
        components: Parts = 40,
        rank: Parts = 80,
        pictures: Pictures = 8000,
        size: Pixels = 64,
        seed: Annotated[int, Seed] = 0,
    ) -> None:
        super().__init__(components, rank, pictures, size, seed, EDM(0.01, 20.0))
