"""Refusals that many operators share."""

from collections.abc import Sequence

from ..errors import ShapeError, SpecError

Number = float | int  # "2" in a spec string is an int, which the tests' run-time type checker refuses as a float


def planes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(c, h, w) of an image of `shape`. Raises ShapeError if it does not have three axes."""
    if len(shape) != 3:
        raise ShapeError(f"this operator takes images of shape (channels, height, width), not {tuple(shape)}")
    c, h, w = shape
    return c, h, w


def one_of(option: str, value: str, known: Sequence[str]) -> str:
    """`value`, if it is among `known`. Raises SpecError that names the known ones if not."""
    if value not in known:
        raise SpecError(f"{option} must be one of {', '.join(known)}, not {value!r}")
    return value


def seeds_of(seed: int | Sequence[int]) -> list[int]:
    """A list of one seed shared by the batch, or of one for each image. Raises SpecError for an empty list."""
    seeds = [seed] if isinstance(seed, int) else list(seed)
    if not seeds:
        raise SpecError("seed must be a number or a list with one number for each image, not an empty list")
    return seeds
