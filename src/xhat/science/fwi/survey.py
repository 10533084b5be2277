"""Where the sources and receivers of a seismic line are, in metres, and when a direct wave has passed."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import ShapeError, SpecError
from ...operators.checks import Number

AFLOAT = 1e-6  # metres, by which a place may lie beyond the image for rounding


@dataclass(frozen=True)
class Survey:
    """`sources` (s, 2) and `receivers` (r, 2), or (s, r, 2) if each source has its own: x and depth in metres."""

    sources: Tensor
    receivers: Tensor

    def within(self, width: float, deep: float) -> "Survey":
        """The same survey. Raises SpecError if a place lies outside x from 0 to `width` and depths to `deep` metres."""
        for name, at in (("source", self.sources), ("receiver", self.receivers)):
            x, depth = at.reshape(-1, 2).T
            if not bool(torch.isfinite(at).all()):
                raise SpecError(f"fwi: a {name} has no place: x or depth is NaN or infinite")
            if float(depth.max()) > deep + AFLOAT:
                raise SpecError(
                    f"fwi: {name}_depth must be at most {deep:g} m, the depth of the image, not {float(depth.max()):g}"
                )
            if float(depth.min()) <= 0:
                raise SpecError(
                    f"fwi: {name}_depth must be above 0, the free surface, where nothing moves, not "
                    f"{float(depth.min()):g}"
                )
            if float(x.min()) < -AFLOAT or float(x.max()) > width + AFLOAT:
                raise SpecError(
                    f"fwi: {name}s lie at x from {float(x.min()):g} to {float(x.max()):g} m, the image from 0 to "
                    f"{width:g} m; give a larger shape or dx"
                )
        return self

    def passed(self, speed: float, pulse: float) -> Tensor:
        """When a direct wave of `speed` km/s, `pulse` ms long, has left each receiver, in ms: (s, 1, r)."""
        apart = self.sources[:, None] - self.receivers
        return (apart.square().sum(-1).sqrt() / speed + pulse)[:, None]


def spread(sources: int, receivers: int, first: float, width: float, depths: tuple[Number, Number]) -> Survey:
    """`sources` sources at x from `first` to `width` metres and `receivers` receivers from 0 to `width`, evenly, at the
    two `depths`.
    """
    x = torch.linspace(first, width, sources).double(), torch.linspace(0, width, receivers).double()
    return Survey(*(torch.stack([v, torch.full_like(v, float(d))], -1) for v, d in zip(x, depths, strict=True)))


def placed(sources: Tensor, receivers: Tensor) -> Survey:
    """The survey of a file. Raises ShapeError if these are no places (s, 2) and (r, 2) or (s, r, 2)."""
    s, r = (torch.as_tensor(v).double() for v in (sources, receivers))
    if (
        s.ndim != 2
        or r.ndim not in (2, 3)
        or s.shape[-1] != 2
        or r.shape[-1] != 2
        or (r.ndim == 3 and len(r) != len(s))
    ):
        raise ShapeError(
            "fwi: source_places are (sources, 2) and receiver_places (receivers, 2) or (sources, receivers, 2), x and "
            f"depth in metres, not {tuple(s.shape)} and {tuple(r.shape)}"
        )
    return Survey(s, r)
