"""The shipped prior of cell nuclei."""

from pathlib import Path

from .unet import DiffusersPrior


class Nuclei(DiffusersPrior):
    """Fluorescence micrographs of cell nuclei, grey, 128 × 128, in [−1, 1] (Data Science Bowl 2018): small and short.

    Its model card is `nuclei/README.md`.
    """

    source = "trained for this package on the Data Science Bowl 2018"

    def __init__(self, dtype: str = "float32", compile: bool = False) -> None:
        super().__init__(Path(__file__).parent / "nuclei", dtype, compile)
