"""The geometry of a scattering experiment, its two factors, and their singular value decomposition."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError, ShapeError, SpecError
from ...files.cache import cached
from ...notes import note

Points = Tensor | np.ndarray
Places = tuple[tuple[float, float], ...]  # (x, y) in metres


@dataclass(frozen=True)
class Geometry:
    """h × w pixels, and transmitters and receivers around them; lengths in metres, `side` is the width of the image."""

    h: int
    w: int
    transmitters: Places
    receivers: Places
    wavelength: float
    side: float


def positions(name: str, given: int | Points, radius: float) -> Places:
    """Places (n, 2) in metres; a number stands for that many on the benchmark's circle of `radius`.

    Their angles are linspace(0°, 359°), so that 359° is included. `name` is used in errors. Raises SpecError,
    ShapeError or DataError if they are not valid.
    """
    if isinstance(given, int):
        angle = torch.linspace(0, 359, given, dtype=torch.float64).deg2rad()
        points = radius * torch.stack([angle.cos(), angle.sin()], 1)
    else:
        points = torch.as_tensor(given, dtype=torch.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ShapeError(f"scattering: {name} are a number or points (n, 2), not of shape {tuple(points.shape)}")
    if not torch.isfinite(points).all():
        raise DataError(f"scattering: the positions of the {name} hold NaN or infinity")
    return tuple((float(x), float(y)) for x, y in points)


def factors(geometry: Geometry) -> tuple[Tensor, Tensor]:
    """u_t(p) and k² d²/2 g(|p − r_r|), complex (transmitters, pixels) and (receivers, pixels) in double precision."""
    g = geometry
    d, k = g.side / g.w, 2 * math.pi / g.wavelength
    y, x = torch.meshgrid((torch.arange(g.h) - g.h // 2) * d, (torch.arange(g.w) - g.w // 2) * d, indexing="ij")
    pixels = torch.stack([x, y], -1).reshape(-1, 2).double()
    return hankel(g.transmitters, pixels, k), hankel(g.receivers, pixels, k) * ((k * d) ** 2 / 2)


def hankel(places: Places, pixels: Tensor, k: float) -> Tensor:
    """g = i/4 H₀⁽¹⁾(k r) = (−Y₀ + i J₀)/4 from every place (n, 2) to every pixel (m, 2): complex (n, m).

    Raises SpecError if a place is on a pixel.
    """
    points = torch.tensor(places, dtype=torch.float64)
    kr = k * torch.cdist(points, pixels, compute_mode="donot_use_mm_for_euclid_dist")
    if not (kr > 0).all():
        raise SpecError("scattering: a transmitter or receiver stands on a pixel, where its field is infinite")
    return torch.complex(-torch.special.bessel_y0(kr), torch.special.bessel_j0(kr)) / 4


@dataclass(frozen=True)
class Decomposition:
    """A = U diag(s) Vᵀ with the r singular values above the cutoff, for n pixels; U acts on compressed receivers."""

    s: Tensor  # (1, r + n): the singular values in decreasing order, then zeros
    V: Tensor  # (n, r)
    U: Tensor  # (2 transmitters k, r): real parts above imaginary ones
    Q: Tensor  # (receivers, k, 2): unitary, as pairs; the fields at the receivers are its range


@lru_cache(maxsize=2)
def decomposition(geometry: Geometry, cutoff: float, dtype: torch.dtype, device: torch.device) -> Decomposition:
    """The decomposition from memory, from disk, or computed, which takes minutes for hundreds of receivers.

    Singular values below `cutoff` times the largest are dropped.
    """
    key = ";".join([repr(geometry), f"{cutoff:g}", str(dtype), "1"])
    parts = cached("scattering", key, lambda: {k: v.to(dtype) for k, v in decompose(geometry, cutoff).items()})
    s = torch.cat([parts["s"], parts["s"].new_zeros(len(parts["V"]))])[None]
    return Decomposition(*(v.to(device) for v in (s, parts["V"], parts["U"], parts["Q"])))


def decompose(geometry: Geometry, cutoff: float) -> dict[str, Tensor]:
    """s, V, U and Q in double precision, from the eigenvalues of A Aᵀ.

    Hundreds of receivers around a small image see fewer independent fields than there are receivers. With the k left
    singular vectors Q of G above 1e-7, G = Q (Q* G), so that A Aᵀ has only 2 k rows per transmitter.
    """
    u, G = factors(geometry)
    gram, vectors = torch.linalg.eigh(G @ G.mH)
    Q = vectors[:, gram > 1e-14 * gram[-1]]
    rows = (u.conj()[:, None] * (Q.mH @ G)).flatten(0, 1)
    if len(rows) > 1000:
        note(
            "decomposing a scattering operator of %d x %d, once for this geometry: %s",
            2 * len(rows), rows.shape[1], "minutes" if len(rows) > 2000 else "seconds",
        )  # fmt: skip
    A = torch.cat([rows.real, rows.imag])
    values, left = torch.linalg.eigh(A @ A.T)
    kept = values > cutoff**2 * values[-1]
    s, U = values[kept].flip(0).sqrt(), left[:, kept].flip(1)
    V = (A.T @ U) / s
    # The columns of V are orthogonal up to rounding · (s₀/s)² only. So those of small s are made orthogonal to the
    # others, and then among themselves by one Newton-Schulz step, which squares their error.
    small = int((s > 1e-2 * s[0]).sum())
    head, tail = V[:, :small], V[:, small:]
    tail = tail - head @ (head.T @ tail)
    V = torch.cat([head, 1.5 * tail - 0.5 * tail @ (tail.T @ tail)], 1)
    return {"s": s, "V": V, "U": U, "Q": torch.view_as_real(Q.resolve_conj())}
