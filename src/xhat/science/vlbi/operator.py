"""The operator of radio interferometry for a recorded observation."""

import math
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from ...errors import ShapeError
from ...numerics.build_dtype import built
from ...operators.base import AffineOperator, LinearOperator
from ...operators.checks import Number
from ...operators.modality import GREY, Modality
from ...ranges import Range
from ...types import Data, Image
from .closure import Closures, closures
from .observation import INTRASITE, MICROARCSECOND, Observation
from .reader import read_observation
from .sky import Sky


class BlackHole(AffineOperator):
    """V_j = P(u_j) P(v_j) Σ_p I_p exp(2πi (u_j X_p + v_j Y_p)): what an array of radio telescopes sees of the sky.

    I = `white` (x + 1)/2 in Jy/pixel on h × w pixels of side d = `fov`/w microarcseconds, with X growing to the left
    (east) and Y upwards (north) from the centre; P(u) = sinc²(π u d) is a triangular pixel. Data (n, 2) are the real
    and the imaginary part in Jy of each visibility of `observation`, a uvfits file or a table as text, after averages
    over up to `average` seconds of a scan. `compact`, in Jy, rescales intra-site baselines, which see extended flux
    that no image of this field holds, and adds `compact_error` times its value to their noise. `systematic` adds that
    fraction of |V| to the noise. `flux` adds the total flux in Jy as a datum, with an error of `flux_error`. The noise
    is `vlbi`. Where the user names no operator, these options are taken from the observation (`estimate.described`).
    FITS images and the figure are scaled to `flux` or, if that is not given, to `compact` or, failing both, to the
    median amplitude of intra-site baselines. Raises ShapeError, SpecError or DataError if an option or the file is not
    valid.
    """

    name: ClassVar[str] = "black_hole"
    source: ClassVar[str] = "EHT Paper IV, doi 10.3847/2041-8213/ab0e85; InverseBench, arXiv 2503.11043"
    example: ClassVar[tuple[int, ...]] = (1, 8, 8)
    modality: Modality = GREY  # the sky's own, once the observation is known

    def __init__(
        self,
        shape: tuple[int, ...],
        observation: str | Path | Observation,
        fov: Annotated[Number, Range(above=0, most=1e9)] = 128.0,
        white: Annotated[Number, Range(above=0, most=1e6)] = 1.0,
        average: Annotated[Number, Range(0, 1e6)] = 600.0,
        compact: Annotated[Number, Range(above=0, most=1e6)] | None = None,
        compact_error: Annotated[Number, Range(0, 10)] = 0.0,
        systematic: Annotated[Number, Range(0, 10)] = 0.0,
        flux: Annotated[Number, Range(above=0, most=1e6)] | None = None,
        flux_error: Annotated[Number, Range(above=0, most=1e6)] = 0.05,
    ) -> None:
        super().__init__(shape)
        if len(shape) != 3 or shape[0] != 1:
            raise ShapeError(f"black_hole: an image of the sky has shape (1, height, width), not {tuple(shape)}")
        found = observation if isinstance(observation, Observation) else read_observation(observation)
        found = found.averaged(float(average))
        beam = found.beam()  # of what was recorded, whatever is added to the noise below
        found = found if compact is None else found.compacted(float(compact), float(compact_error))
        found = found.softened(float(systematic)) if systematic else found
        total = total_of(found, compact if flux is None else flux)
        self.observation = found if flux is None else found.with_flux(float(flux), float(flux_error))
        self.closures: Closures = closures(self.observation)
        self.pixel = fov / shape[2] * MICROARCSECOND  # radians
        self.modality = Sky(observation=self.observation, beam=beam, pixel=self.pixel, white=float(white), total=total)
        self.least = -1.0  # no flux
        self.linear = Visibilities(self.shape, self.observation.u, self.observation.v, self.pixel, white / 2)

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        """The image shape of the benchmark, because the data do not tell it."""
        return (1, 64, 64)

    @property
    def detector(self) -> Closures:
        """What the noise model `vlbi` must know of the array."""
        return self.closures

    def intake(self, y: Tensor) -> Data:
        """Recorded complex visibilities (b, raw) of the observation as pairs, after averaging and the other options."""
        if not y.is_complex():
            return y
        vis = torch.from_numpy(self.observation.vis).to(y.dtype)
        return torch.view_as_real(vis).expand(len(y), -1, -1)


def total_of(observation: Observation, known: Number | None) -> float | None:
    """The total flux in Jy: `known` if it is given, otherwise the median amplitude between neighbours, if there are
    any.
    """
    if known is not None:
        return float(known)
    short = observation.length < INTRASITE
    return float(np.median(np.abs(observation.vis[short]))) if short.any() else None


class Visibilities(LinearOperator):
    """The part of `BlackHole` that is linear in x. The sum separates into a factor over columns and one over rows."""

    columns: Tensor  # (2 n, w): P(u) cos 2πuX above P(u) sin 2πuX
    rows: Tensor  # (2, h, n): the same for v and Y, times Jy per unit of x

    def __init__(self, shape: tuple[int, ...], u: np.ndarray, v: np.ndarray, pixel: float, scale: float) -> None:
        super().__init__(shape)
        _, h, w = shape
        columns, rows = factor(u, w, pixel), scale * factor(v, h, pixel)
        self.register_buffer("columns", built(columns.flatten(0, 1)).contiguous())
        self.register_buffer("rows", built(rows.transpose(1, 2)).contiguous())

    def forward(self, x: Image) -> Data:
        c, s = (x[:, 0] @ self.columns.T).chunk(2, -1)  # (b, h, n)
        C, S = self.rows
        return torch.stack([(c * C - s * S).sum(1), (c * S + s * C).sum(1)], -1)


def factor(u: np.ndarray, n: int, pixel: float) -> Tensor:
    """sinc²(π u d) exp(2πi u X) for the `n` pixel centres X in decreasing order: (2, len(u), n), real part first."""
    X = (torch.arange(n, 0, -1, dtype=torch.float64) - (n + 1) / 2) * pixel
    baseline = torch.from_numpy(np.asarray(u, dtype=np.float64))
    pulse = torch.sinc(baseline * pixel) ** 2
    phase = 2 * math.pi * baseline[:, None] * X
    return pulse[:, None] * torch.stack([phase.cos(), phase.sin()])
