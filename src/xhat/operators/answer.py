"""What the writers of files and figures are given of a restoration: plain tensors."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Answer(Protocol):
    """n images of one measurement with their scores, all on the CPU. A `Restoration` is one."""

    @property
    def images(self) -> Tensor:
        """The samples, (n, *image)."""

    @property
    def first(self) -> Tensor:
        """The first of them, (*image)."""

    @property
    def mean(self) -> Tensor:
        """The mean of the samples, (*image)."""

    @property
    def posterior_std(self) -> Tensor | None:
        """The posterior's standard deviation at each pixel, (*image); None where the images do not tell it."""

    @property
    def y(self) -> Tensor:
        """The measurement, (*data)."""

    @property
    def residual(self) -> Tensor:
        """The root mean square of y − A(x) for each image, (n,)."""

    @property
    def expected(self) -> Tensor:
        """What the noise model expects of it, (n,)."""

    def verdict(self, i: int = 0) -> str:
        """Whether image `i` explains its measurement, in words."""

    @property
    def metrics(self) -> Mapping[str, Tensor]:
        """The scores by name, (n,); those of the mean are called `mean_…` and have shape (1,)."""

    @property
    def reference(self) -> Tensor | None:
        """The true image, (*image), if it is known."""
