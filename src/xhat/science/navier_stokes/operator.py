"""The operator of the Navier-Stokes problem, and its pseudo-spectral simulation."""

import math
from functools import cached_property
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.fft import irfft2, rfft2

from ...errors import DivergedError, ShapeError
from ...figures.fields import Quantity
from ...numerics.build_dtype import built
from ...numerics.linalg import bcast
from ...numerics.march import March, State
from ...operators.base import Operator
from ...operators.checks import Number, planes
from ...ranges import Range
from ...types import Data, Image
from .modality import SCALE, VORTICITY, vorticities


class NavierStokes(Operator):
    """The vorticity of a two-dimensional flow after `time`, at every `subsample`-th point, from that at the start.

        ∂w/∂t + u·∇w = Δw/`re` − `forcing` cos 4y,   u = (∂ψ/∂y, −∂ψ/∂x),   Δψ = −w,   w(0) = `scale` x

    on the torus [0, 2π)², with x along rows and y along columns. The simulation is pseudo-spectral. A step is Heun's
    for transport and forcing and Crank-Nicolson's for diffusion, and transport keeps only |k|² ≤ (h/3)² + (w/3)² of an
    h × w grid. Each image has its own steps, d min(`courant`/max|u|, d re/2) with d = 1/max(h, w). `courant` 1.5 takes
    a third of the time with an error of 0.3 %. Data (1, h/subsample, w/subsample) are vorticities, and the noise is in
    their units. Derivatives are those of the discrete map, including its choice of steps, in the memory of some seventy
    steps. Raises DivergedError if a flow needs more than 100,000 steps.
    """

    name: ClassVar[str] = "navier_stokes"
    source: ClassVar[str] = "InverseBench, arXiv 2503.11043"
    example: ClassVar[tuple[int, ...]] = (1, 8, 16)
    modality: Quantity = VORTICITY
    chunk: ClassVar[int] = 32  # steps between the states that are kept: about the root of their number
    most: ClassVar[int] = 100_000  # steps; an image that needs more has diverged

    symbols: Tensor  # (3, h, w // 2 + 1, 2): real and imaginary part of ŵ ↦ û, v̂ and the w that transport sees
    slopes: Tensor  # (2, h, w // 2 + 1, 2): those of minus the derivatives
    decay: Tensor  # (h, w // 2 + 1): k²/re
    force: Tensor  # (h, w)

    def __init__(
        self,
        shape: tuple[int, ...],
        re: Annotated[Number, Range(above=0, most=1e9)] = 200.0,
        time: Annotated[Number, Range(above=0, most=1_000)] = 1.0,
        subsample: Annotated[int, Range(1, 1_000)] = 2,
        forcing: Annotated[Number, Range(-1e6, 1e6)] = 4.0,
        scale: Annotated[Number, Range(above=0, most=1e6)] = SCALE,
        courant: Annotated[Number, Range(above=0, most=10)] = 0.5,
    ) -> None:
        super().__init__(shape)
        if len(shape) != 3 or shape[0] != 1 or min(shape) < 1:
            raise ShapeError(f"navier_stokes: a vorticity has shape (1, height, width), not {tuple(shape)}")
        self.re, self.time, self.subsample = float(re), float(time), subsample
        self.scale, self.courant = float(scale), float(courant)
        self.modality = vorticities(self.scale, self.time)
        h, w = shape[1:]
        self.grid = 1 / max(h, w)
        y = torch.arange(w, dtype=torch.float64) * (2 * math.pi / w)
        symbols, slopes, k2 = spectra(h, w)
        parts = {"symbols": torch.view_as_real(symbols), "slopes": torch.view_as_real(slopes), "decay": k2 / self.re}
        for name, value in (parts | {"force": (-forcing * torch.cos(4 * y)).repeat(h, 1)}).items():
            self.register_buffer(name, built(value))

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        c, h, w = planes(data_shape)
        subsample = options.get("subsample", 2)
        assert isinstance(subsample, int)
        return c, h * subsample, w * subsample

    @cached_property
    def data_shape(self) -> tuple[int, ...]:
        return (1, *(-(-n // self.subsample) for n in self.shape[1:]))

    @property
    def complex_data(self) -> bool:
        return False  # said as the shape is, because one simulation to find out takes long

    def forward(self, x: Image) -> Data:
        transport = Transport(torch.view_as_complex(self.symbols), torch.view_as_complex(self.slopes), self.force)
        march = March(
            first=lambda x: (rfft2(self.scale * x[:, 0]), torch.full_like(x[:, 0, 0, 0], self.time)),
            steps=lambda state: self.steps(state[0], state[1], transport),
            more=lambda state: bool((state[1] > 0).any()),  # an image with NaN stops here; the loop reports it
            last=lambda state: irfft2(state[0], s=self.shape[1:])[:, None],
        )
        return march(x)[..., :: self.subsample, :: self.subsample]

    def steps(self, w: Tensor, left: Tensor, transport: "Transport") -> State:
        """The state after up to `chunk` steps: ŵ (b, h, w // 2 + 1) and the time that is left, (b,).

        No image goes beyond the time it has left.
        """
        for i in range(self.chunk):
            pace, speed = transport(w)
            # The maximum is taken before the root, so that the derivative is finite where nothing moves.
            floor = (2 * self.courant / (self.re * self.grid)) ** 2
            dt = self.courant * self.grid * speed.clamp_min(floor).rsqrt()
            if i == 0 and (late := left > self.most * dt).any():
                at = late.nonzero().flatten().tolist()
                raise DivergedError(f"navier_stokes: more than {self.most} steps; the flow is too fast", at)
            dt, left = torch.minimum(dt, left), torch.where(dt < left, left - dt, 0)
            half = bcast(dt / 2, w) * self.decay
            kept, gain = ((1 - half) / (1 + half)).to(w), (bcast(dt, w) / (1 + half)).to(w)
            start = kept * w
            guess = start + gain * pace
            w = start + gain * (pace + transport(guess)[0]) / 2
            if not (left > 0).any():
                break
        return w, left


class Transport:
    """ŵ (b, h, w // 2 + 1) ↦ −∇·(u w) + f in the same form, and the largest |u|² of each image, (b,)."""

    def __init__(self, symbols: Tensor, slopes: Tensor, force: Tensor) -> None:
        self.symbols, self.slopes, self.force, self.size = symbols, slopes, rfft2(force), force.shape

    def __call__(self, w: Tensor) -> tuple[Tensor, Tensor]:
        fields = irfft2(self.symbols * w[:, None], s=self.size)
        u = fields[:, :2]
        flux = rfft2(u * fields[:, 2:])
        return self.force + (self.slopes * flux).sum(1), u.square().sum(1).flatten(1).amax(1)


def spectra(h: int, w: int) -> tuple[Tensor, Tensor, Tensor]:
    """`symbols`, `slopes` and k² on the grid of rfft2, in double precision; a derivative has no Nyquist frequency."""
    rows = (torch.fft.fftfreq(h, dtype=torch.float64) * h).round()[:, None]
    columns = (torch.fft.rfftfreq(w, dtype=torch.float64) * w).round()[None]
    k2 = rows**2 + columns**2
    kx, ky = (torch.where(2 * k.abs() == n, 0, k).expand_as(k2) for k, n in ((rows, h), (columns, w)))
    seen = ((k2 <= (h**2 + w**2) / 9) & (k2 > 0)).double()
    inverse = seen / k2.clamp_min(1)
    return torch.stack([1j * ky * inverse, -1j * kx * inverse, seen + 0j]), -1j * torch.stack([kx, ky]), k2
