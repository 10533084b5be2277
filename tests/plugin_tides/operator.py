"""Gauges that stand in some columns of the map."""

from typing import ClassVar

import xhat
from xhat.types import Data, Image


class Gauges(xhat.LinearOperator):
    """y = every `every`-th column of the map."""

    source: ClassVar[str] = "written for this test"
    example: ClassVar[tuple[int, ...]] = (1, 16, 16)

    def __init__(self, shape: tuple[int, ...], every: int = 2) -> None:
        super().__init__(shape)
        self.every = every

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        """The map has `every` times as many columns as there are gauges."""
        every = options.get("every", 2)
        assert isinstance(every, int)
        return *data_shape[:-1], data_shape[-1] * every

    def forward(self, x: Image) -> Data:
        return x[..., :: self.every]
