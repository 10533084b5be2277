from pathlib import Path

from .unet import DiffusersPrior


class Faces(DiffusersPrior):
    """Colour faces, 64 × 64, in [−1, 1] (LFWcrop): rough, after 45 minutes of training on one core.

    Its model card is `faces/README.md`.
    """

    source = "trained for this package on LFWcrop"

    def __init__(self, dtype: str = "float32", compile: bool = False) -> None:
        super().__init__(Path(__file__).parent / "faces", dtype, compile)
