"""What an array of radio telescopes recorded: visibilities with their baselines, times and thermal noise."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...errors import DataError

Array = np.ndarray
MICROARCSECOND = np.pi / 180 / 3600e6  # in radians
INTRASITE = 0.1e9  # in wavelengths; shorter baselines join neighbours, which see all of a source's extended flux


@dataclass(frozen=True, eq=False)
class Observation:
    """n visibilities of one source at one frequency. Stations are numbered in the order of their table.

    Raises DataError if the columns do not fit together or hold NaN, infinity or noise that is not positive.
    """

    u: Array  # (n,) baseline in wavelengths, towards east
    v: Array  # (n,) towards north
    vis: Array  # (n,) complex Stokes I in Jy, ∫ I exp(2πi (u X + v Y)) with X towards east
    sigma: Array  # (n,) thermal noise of the real part and of the imaginary part, Jy
    time: Array  # (n,) UTC hours since 0h of `mjd`
    first: Array  # (n,) station i of V_ij
    second: Array  # (n,) station j
    stations: tuple[str, ...]
    source: str = "unknown"
    ra: float = 0.0  # degrees
    dec: float = 0.0
    frequency: float = 230e9  # Hz
    mjd: int = 0
    origin: str = "the observation"

    def __post_init__(self) -> None:
        arrays = (self.u, self.v, self.vis, self.sigma, self.time, self.first, self.second)
        if len(self.u) == 0 or any(a.shape != self.u.shape for a in arrays):
            raise DataError(f"{self.origin}: holds no visibilities, or columns of different lengths")
        if not all(np.isfinite(a).all() for a in arrays) or not (self.sigma > 0).all():
            raise DataError(f"{self.origin}: holds NaN, infinity or a noise that is not positive")
        if min(self.first.min(), self.second.min()) < 0 or max(self.first.max(), self.second.max()) >= len(
            self.stations
        ):
            raise DataError(f"{self.origin}: names a station that is not among its {len(self.stations)}")

    @property
    def length(self) -> Array:
        """|(u, v)| in wavelengths, (n,)."""
        found: Array = np.hypot(self.u, self.v)
        return found

    def take(self, index: Array) -> "Observation":
        """The visibilities `index`, which is an array of numbers or a mask."""
        names = ("u", "v", "vis", "sigma", "time", "first", "second")
        return replace(self, **{name: getattr(self, name)[index] for name in names})

    def averaged(self, seconds: float, gap: float = 120.0) -> "Observation":
        """Coherent averages with weights 1/σ² over up to `seconds` of a scan, for each baseline.

        A scan ends when nothing is recorded for more than `gap` seconds; the parts of a scan are equally long.
        """
        if seconds <= 0:
            return self
        stamps = np.unique(self.time)
        scan = np.concatenate([[0], np.cumsum(np.diff(stamps) * 3600 > max(gap, 0))])
        bins, made = np.zeros(len(stamps), dtype=np.int64), 0
        for s in range(scan[-1] + 1):
            inside = np.flatnonzero(scan == s)
            t = stamps[inside] - stamps[inside[0]]
            parts = max(1, int(np.ceil(t[-1] * 3600 / seconds - 1e-6)))
            bins[inside] = made + np.minimum((t / max(t[-1], 1e-12) * parts).astype(int), parts - 1)
            made += parts
        mean_time = np.bincount(bins, stamps) / np.maximum(np.bincount(bins), 1)
        mine = bins[np.searchsorted(stamps, self.time)]
        swap = self.first > self.second  # one direction for each pair
        turned = replace(
            self,
            u=np.where(swap, -self.u, self.u),
            v=np.where(swap, -self.v, self.v),
            vis=np.where(swap, self.vis.conj(), self.vis),
            first=np.minimum(self.first, self.second),
            second=np.maximum(self.first, self.second),
        )
        keys = np.stack([mine, turned.first, turned.second], 1)
        unique, group = np.unique(keys, axis=0, return_inverse=True)
        group = group.reshape(-1)
        w = 1 / self.sigma**2
        total = np.bincount(group, w)

        def mean(a: Array) -> Array:
            return np.bincount(group, w * a) / total

        return replace(
            turned,
            u=mean(turned.u),
            v=mean(turned.v),
            vis=mean(turned.vis.real) + 1j * mean(turned.vis.imag),
            sigma=1 / np.sqrt(total),
            time=mean_time[unique[:, 0]],
            first=unique[:, 1],
            second=unique[:, 2],
        )

    def compacted(self, flux: float, error: float = 0.0, below: float = INTRASITE) -> "Observation":
        """Intra-site visibilities scaled so that their median amplitude is `flux`, that of the compact source in Jy.

        Baselines shorter than `below` wavelengths also see emission that is far too large for the image, such as a jet.
        As in the EHT's imaging of M87 (Paper IV, section 6.2.1). `error` is that of the flux, as a fraction of it; it
        is added to their noise in quadrature.
        """
        short = self.length < below
        if not short.any():
            return self
        factor = np.where(short, flux / np.median(np.abs(self.vis[short])), 1.0)
        more = np.where(short, error * flux, 0.0)
        return replace(self, vis=self.vis * factor, sigma=np.hypot(self.sigma * factor, more))

    def softened(self, fraction: float) -> "Observation":
        """The noise with `fraction` |V| added in quadrature, σ² + (fraction |V|)², for errors that do not close."""
        return replace(self, sigma=np.sqrt(self.sigma**2 + (fraction * np.abs(self.vis)) ** 2))

    def with_flux(self, flux: float, error: float) -> "Observation":
        """The observation with the total flux as one more datum: a visibility of a station with itself, at u = v = 0.

        `flux` and its `error` are in Jy.
        """
        more = {"u": 0.0, "v": 0.0, "vis": flux + 0j, "sigma": error, "time": self.time[0], "first": 0, "second": 0}
        longer: dict[str, Any] = {k: np.append(getattr(self, k), value) for k, value in more.items()}
        return replace(self, **longer)

    def beam(self) -> tuple[float, float, float]:
        """The full width at half maximum of the Gaussian that fits the centre of the dirty beam.

        Major and minor axis in radians, and the position angle of the major axis from north through east in degrees,
        with natural weights 1/σ². The beam is Σ w cos 2π(u X + v Y)/Σ w ≈ 1 − ½ pᵀ C⁻¹ p with C⁻¹ = 4π² ⟨(u, v)(u,
        v)ᵀ⟩.
        """
        w = 1 / self.sigma**2
        uv = np.stack([self.u, self.v])
        values, axes = np.linalg.eigh(4 * np.pi**2 * (w * uv) @ uv.T / w.sum())
        wide, narrow = np.sqrt(8 * np.log(2) / values)
        return float(wide), float(narrow), float(np.degrees(np.arctan2(axes[0, 0], axes[1, 0])) % 180)
