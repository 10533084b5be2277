"""The shipped prior of natural photographs."""

from pathlib import Path

from .unet import DiffusersPrior


class Photo(DiffusersPrior):
    """Natural photographs of any size, colour or grey, [−1, 1]: the prior that ships with the package.

    Its model card is `photo/README.md`.
    """

    source = "trained for this package on BSDS500 and ImageNet photographs"

    def __init__(self, dtype: str = "float32", compile: bool = False) -> None:
        super().__init__(Path(__file__).parent / "photo", dtype, compile)
