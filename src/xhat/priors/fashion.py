"""The shipped prior of pictures of clothes."""

from pathlib import Path

from .consistency import ConsistencyFolder


class Fashion(ConsistencyFolder):
    """Grey pictures of clothes, 32 × 32, in [−1, 1] with black borders (Fashion-MNIST): a denoiser and, for the solvers
    that jump, its consistency model.

    The model cards are `fashion/README.md` and `fashion/denoiser/README.md`.
    """

    source = "trained for this package on Fashion-MNIST"

    def __init__(self, dtype: str = "float32", compile: bool = False) -> None:
        super().__init__(Path(__file__).parent / "fashion", None, None, dtype, compile)
