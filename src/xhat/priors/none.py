"""The prior of the classical methods, which use none."""

from ..errors import MismatchError
from ..schedule import EDM, Level
from ..types import Image
from .base import Prior


class NoPrior(Prior):
    """A prior that knows nothing, for the classical methods, which never call it.

    A solver that does call it gets a MismatchError.
    """

    closed_form = True
    source = "no images"

    def __init__(self) -> None:
        super().__init__()
        self.schedule = EDM()

    def forward(self, x: Image, t: Level) -> Image:
        raise MismatchError(
            "this solver asks a prior, and the prior is none; `xhat list baselines` shows those that do not"
        )
