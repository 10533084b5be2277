"""The shipped prior of head slices."""

from pathlib import Path

from .unet import DiffusersPrior


class Brain(DiffusersPrior):
    """Magnitudes of head slices by MRI, grey, 128 × 128, in [−1, 1]: with `magnitude` a prior of complex images.

    Its model card is `brain/README.md`.
    """

    source = "trained for this package on public head slices"

    def __init__(self, dtype: str = "float32", compile: bool = False) -> None:
        super().__init__(Path(__file__).parent / "brain", dtype, compile)
