"""What is known of the sea: it is calm."""

import xhat
from xhat.schedule import Level
from xhat.types import Image


class Sea(xhat.Prior):
    """Heights N(0, 1), independent."""

    source = "written for this test"

    def __init__(self) -> None:
        super().__init__()
        self.schedule = xhat.EDM(0.02, 10.0)

    def forward(self, x: Image, t: Level) -> Image:
        return x / t.alpha / (1 + t.ratio**2)
