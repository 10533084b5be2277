"""The shipped prior of colour faces."""

from pathlib import Path

from .consistency import ConsistencyFolder


class Faces(ConsistencyFolder):
    """Colour faces, 64 × 64, in [−1, 1] (LFWcrop): a denoiser and its consistency model, rough, after 45 and 16 minutes
    of training on one core.

    The model cards are `faces/README.md` and `faces/denoiser/README.md`.
    """

    source = "trained for this package on LFWcrop"

    def __init__(self, dtype: str = "float32", compile: bool = False) -> None:
        super().__init__(Path(__file__).parent / "faces", None, None, dtype, compile)
