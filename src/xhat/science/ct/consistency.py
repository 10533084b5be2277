"""Whether a sinogram can be what its geometry says: conditions that every object's line integrals fulfil."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .gaps import filled
from .geometry import Geometry

VIEWS = 8  # fewer tell nothing
MASS = 0.03  # how much the total of a view may differ from the others', relative
CLEAR = 5.0  # standard errors by which an axis beside the middle is told
CELLS = 0.25  # of a cell: so far beside is nothing to speak of
ANGLES = 1.0  # cells by which the centres of mass may miss their sinusoid
WIDTHS = 0.03  # how much the mean square width of a view may miss its wave, relative
SURE = 4.0  # standard deviations of the noise that are no doubt
BETTER = 0.6  # opposite rays that agree so much better in another geometry speak for it
Notes = list[str]


def doubts(g: Geometry, y: Tensor, seen: Tensor | None = None) -> Notes:
    """What speaks against the geometry of line integrals `y` (angles, detectors), one line each; empty if nothing does.

    `seen` says which readings were measured. A parallel beam: the moments of Helgason and Ludwig (1980, 1966). The
    total of a view is the same for all, its centre of mass runs along a cos θ + b sin θ, where (a, b) is that of the
    object, and its mean square width along a + b cos 2θ + c sin 2θ. A fan: rays that are measured twice, once from each
    end, have the same integral.
    """
    found = radians(g)
    if len(g.angles) < VIEWS or g.detectors < VIEWS:
        return found
    y = whole(y.double(), seen)
    return found + (opposite(g, y) if g.diverges else moments(g, y))


def radians(g: Geometry) -> Notes:
    """A note if the angles look as if they were in radians."""
    theta = torch.tensor(g.angles, dtype=torch.float64)
    span = float(theta.max() - theta.min())
    if len(theta) < VIEWS or not 0.9 * math.pi * (1 - 1 / len(theta)) < span <= 2 * math.pi + 0.01:
        return []
    return [f"its {len(theta)} angles span {span:.3g} degrees: are they in radians? angles are in degrees"]


def whole(y: Tensor, seen: Tensor | None) -> Tensor:
    """The readings with those that were not measured filled from their neighbours in the view."""
    return y if seen is None or bool(seen.all()) else filled(y[None, None], seen)[0, 0]


def moments(g: Geometry, y: Tensor) -> Notes:
    """What the totals and the centres of mass of parallel views say."""
    mass, theta, cells = y.sum(1), g.views(), g.cells() + g.shift
    usual = float(mass.median())
    if usual <= 0.2 * float(y.abs().sum(1).median()):
        return []  # no attenuation: integrals of numbers of both signs have no centre of mass
    notes = []
    noise = 1.4826 * float((y[:, 1:-1] - (y[:, :-2] + y[:, 2:]) / 2).abs().median()) / 1.5**0.5  # of a reading
    noise = SURE * noise / usual
    uneven = float((mass / usual - 1).abs().quantile(0.9))
    if uneven > max(MASS, noise * g.detectors**0.5):
        notes.append(
            f"the total attenuation of a view varies by {100 * uneven:.0f} % from view to view, and should not: does "
            "the object stick out of the detector, does the beam drift, or are these no line integrals?"
        )
    centre = (y @ cells) / mass
    basis = torch.stack([theta.cos(), theta.sin(), torch.ones_like(theta)], 1)
    if float(torch.linalg.cond(basis)) > 20:
        return notes  # a small arc does not tell a shift from an object beside the axis
    fit = torch.linalg.lstsq(basis, centre[:, None]).solution[:, 0]
    rest = float((centre - basis @ fit).square().mean().sqrt())
    if rest > max(ANGLES * g.pitch, noise * float(cells.square().sum()) ** 0.5):
        notes.append(
            f"the centres of mass of the views miss every sinusoid by {rest / g.pitch:.1f} cells: the angles are in "
            "another order, direction or unit (degrees), or the object moved"
        )
        return notes
    square = (cells - centre[:, None]).square()
    width = (y * square).sum(1) / mass
    waves = torch.stack([torch.ones_like(theta), (2 * theta).cos(), (2 * theta).sin()], 1)
    off = float((width - waves @ torch.linalg.lstsq(waves, width[:, None]).solution[:, 0]).square().mean().sqrt())
    if uneven <= MASS and off > max(WIDTHS * float(width.mean()), noise * float(square.square().sum(1).mean()) ** 0.5):
        notes.append(
            f"the widths of the views miss every a + b cos 2θ + c sin 2θ by {100 * off / float(width.mean()):.0f} %: "
            "the angles are in another order or unit (degrees), or the object moved"
        )
        return notes
    error = rest * math.sqrt(float(torch.linalg.inv(basis.T @ basis)[2, 2]))
    beside = float(fit[2])
    if abs(beside) > max(CELLS * g.pitch, CLEAR * error) and uneven <= MASS:
        place = (g.detectors - 1) / 2 + (beside - g.offset - g.shift) / g.pitch
        notes.append(
            f"the axis of rotation falls {abs(beside) / g.pitch:.2f} cells beside where the geometry has it, on cell "
            f"{place:.2f} of 0 to {g.detectors - 1}: offset={g.offset - beside:.4g}"
        )
    return notes


@dataclass(frozen=True)
class Guess:
    """Another geometry that the data may be of, and what it is called."""

    geometry: Geometry
    name: str


def opposite(g: Geometry, y: Tensor) -> Notes:
    """What the rays of a fan that were measured from both ends say; nothing unless the views go all around."""
    theta = g.views().remainder(2 * math.pi).sort().values
    if g.shift or float(torch.cat([theta.diff(), theta[:1] + 2 * math.pi - theta[-1:]]).max()) > math.radians(6):
        return []
    given = mismatch(g, y)
    if given < 0.02:
        return []
    guesses = [Guess(replace(g, direction="clockwise" if g.direction == "counterclockwise" else "counterclockwise"),
                     "the other direction of rotation")]  # fmt: skip
    guesses += [
        Guess(replace(g, offset=g.offset + k * g.pitch), f"offset={g.offset + k * g.pitch:.4g}")
        for k in (*range(-20, 0), *range(1, 21))
    ]
    guesses += [
        Guess(replace(g, distance=g.distance * f), f"distance={g.distance * f:.4g}") for f in (0.5, 0.7, 1.4, 2.0)
    ]
    best, name = min((mismatch(v.geometry, y), v.name) for v in guesses)
    if best < BETTER * given:
        return [
            f"rays measured from both ends differ by {100 * given:.0f} %, and by {100 * best:.0f} % with {name}: the "
            "geometry may be wrong"
        ]
    if given > 0.2:
        return [
            f"rays measured from both ends differ by {100 * given:.0f} %: look at distance, detector_distance, pitch, "
            "offset, direction and at the unit of the angles (degrees)"
        ]
    return []


def mismatch(g: Geometry, y: Tensor) -> float:
    """How much the readings of the rays of a fan differ from those of the same rays from the other end, relative.

    The ray at angle γ of view θ is that at −γ of view θ + 180° − 2 γ.
    """
    theta, order = g.views().remainder(2 * math.pi).sort()
    y = y[order]
    s = g.cells()
    gamma = s / g.length if g.beam == "curved" else (s / g.length).atan()
    back = -gamma * g.length if g.beam == "curved" else -s
    cell = (back - float(s[0])) / g.pitch
    view = (theta[:, None] + math.pi - 2 * gamma).remainder(2 * math.pi)
    low = (torch.searchsorted(theta, view, right=True) - 1) % len(theta)
    high = (low + 1) % len(theta)
    gap = (theta[high] - theta[low]).remainder(2 * math.pi).clamp_min(1e-12)
    part = (view - theta[low]).remainder(2 * math.pi) / gap
    left = cell.floor().long().clamp(0, g.detectors - 2).expand_as(low)
    side = (cell - left).expand_as(part)
    other = (1 - part) * ((1 - side) * y[low, left] + side * y[low, left + 1])
    other = other + part * ((1 - side) * y[high, left] + side * y[high, left + 1])
    inside = ((cell >= 0) & (cell <= g.detectors - 1)).expand_as(y)
    size = y[inside].square().sum()
    return float(((y - other)[inside].square().sum() / size.clamp_min(1e-30)).sqrt())
