"""A law, and what is said when it is broken."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class LawBroken(AssertionError):
    """A part does not obey a law of its type. The message says which law, by how much, and the usual cause."""


@dataclass(frozen=True)
class Law:
    """One law about one part: `says` states it, `cause` names the usual reason why a part breaks it."""

    part: object
    says: str
    cause: str

    def broken(self, how: str) -> LawBroken:
        """The error to raise; `how` says by how much the law is broken."""
        part = type(self.part).__name__
        return LawBroken(f"{part} breaks the law “{self.says}”: {how}. The usual cause: {self.cause}.")

    def holds(self, condition: bool | Tensor, how: str) -> None:
        """Raises LawBroken with `how` unless `condition` is true."""
        if not bool(condition):
            raise self.broken(how)

    def near(self, found: Tensor, expected: Tensor, rtol: float, atol: float, what: str = "") -> None:
        """Raises LawBroken unless |found − expected| ≤ atol + rtol |expected| for every number."""
        where = f"{what}: " if what else ""
        if found.shape != expected.shape:
            raise self.broken(f"{where}the shapes are {tuple(found.shape)} and {tuple(expected.shape)}")
        if found.dtype != expected.dtype:
            raise self.broken(f"{where}the dtypes are {found.dtype} and {expected.dtype}")
        excess = (found - expected).abs() - rtol * expected.abs()
        if not (excess <= atol).all():  # a NaN is not near anything
            off, size = float((found - expected).abs().max()), float(expected.abs().max())
            raise self.broken(
                f"{where}the largest difference is {off:.3g} where the largest number is {size:.3g}; "
                f"allowed are {atol:.1g} and {rtol:.1g} of each number"
            )

    def same(self, found: Tensor, expected: Tensor, what: str = "") -> None:
        """Raises LawBroken unless both are the same bit for bit."""
        if not torch.equal(found, expected):
            self.near(found, expected, 0.0, 0.0, what)
            raise self.broken(f"{what}: the results are not the same")

    def raises(self, error: type[Exception], call: Callable[[], object], what: str) -> Exception:
        """The `error` that `call` raises; LawBroken if it raises another one or none."""
        try:
            call()
        except error as e:
            return e
        except Exception as e:
            raise self.broken(f"{what} raised {type(e).__name__} ({e}), not {error.__name__}") from e
        raise self.broken(f"{what} raised nothing, not {error.__name__}")


def double(part: M) -> M:
    """A copy of `part`, an operator or a prior, in double precision, so that rounding hides nothing."""
    sparse = {id(b): b.clone() for b in part.buffers() if b.layout != torch.strided}  # which deepcopy cannot copy
    return copy.deepcopy(part, sparse).double()


def layouts(x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Views of batches that are not laid out as usual in memory, by name, each with the same numbers laid out so.

    `x`, (b, *), with b at least 2.
    """
    strided = torch.stack([x, x], -1)[..., 0]
    turned = x.movedim(1, -1).contiguous().movedim(-1, 1) if x.ndim > 2 else strided  # channels_last
    repeated = x[:1].expand_as(x)
    return {
        "with the channels last in memory": (turned, x),
        "with gaps in memory": (strided, x),
        "one image expanded to a batch": (repeated, repeated.contiguous()),
    }


def one_line(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())
