"""Refusals that many operators share."""

from collections.abc import Sequence

from ..errors import ShapeError, SpecError

Number = float | int  # a spec string's "2" is an int, and the type checker of the tests knows no int that is a float


def planes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(c, h, w), or ShapeError."""
    if len(shape) != 3:
        raise ShapeError(f"this operator takes images of shape (channels, height, width), not {tuple(shape)}")
    c, h, w = shape
    return c, h, w


def one_of(option: str, value: str, known: Sequence[str]) -> str:
    """`value`, or SpecError naming the known ones."""
    if value not in known:
        raise SpecError(f"{option} must be one of {', '.join(known)}, not {value!r}")
    return value


def positive(**options: Number) -> None:
    """SpecError for an option that is not a positive number."""
    for name, value in options.items():
        if not value > 0:
            raise SpecError(f"{name} must be positive, not {value}")


def seeds_of(seed: int | Sequence[int]) -> list[int]:
    """One seed shared by the batch, or one for each image."""
    seeds = [seed] if isinstance(seed, int) else list(seed)
    if not seeds:
        raise SpecError("seed must be a number or a list with one number for each image, not an empty list")
    return seeds
