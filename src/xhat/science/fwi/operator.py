"""The operator of full waveform inversion."""

import math
from functools import cached_property
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ...errors import DivergedError, ShapeError, SpecError
from ...figures.fields import Quantity
from ...numerics.build_dtype import built
from ...numerics.march import March, State
from ...operators.base import Operator
from ...operators.checks import Number
from ...ranges import Range
from ...types import Data, Image
from .modality import CENTRE, CONTRAST, VELOCITY, WATER, velocities
from .stencil import laplacian, profile
from .survey import placed, spread


class FWI(Operator):
    """Full waveform inversion: what receivers near the surface record of acoustic sources below, in two dimensions.

        ∂²u/∂t² = v² (Δu − η ∂u/∂t + q),   v = `centre` + `contrast` x in km/s, inside of which x is in [−1, 1]

    An image (1, nx, nz) has rows along x and columns along depth, `dx` and `dz` metres apart. The first column is the
    free surface, where u = 0, and `cells` rows of damping are added at the other three sides. `sources` sources are at
    the depth `source_depth` in metres (by default that of the last column), at x from dx to (nx − 1) dx; `receivers`
    receivers are at the depth `receiver_depth`, at x from 0 to (nx − 1) dx. q is a Ricker wavelet of `frequency` Hz
    with its peak after one period, times `amplitude`. `time` and `dt` are in milliseconds. Data are (sources, time/dt +
    1, receivers), or every `every`-th of these times. `source_places` (s, 2) and `receiver_places` (r, 2), or (s, r, 2)
    where each source has its own, are x and depth in metres and take the place of numbers and depths: what a SEG-Y file
    says. Down to the depth `water` in metres there is water of `water_velocity` km/s, whatever x is. With `mute`, data
    are 0 until a direct wave of that velocity in km/s and the wavelet's two periods are over, those of y, too. A
    velocity that the time step cannot follow raises DivergedError, unless `slowest` and `fastest` (km/s) cut it off,
    which solvers with straying iterates need. Beyond these limits the data do not change, and their gradient is 0.
    Leapfrog, with a Laplacian of fourth order, wave fields mirrored with the opposite sign above the surface, bilinear
    weights for sources and receivers, and the damping profile of Devito's examples.seismic. InverseBench's model image
    is v − 3, which is 1.5 x.
    """

    name: ClassVar[str] = "fwi"
    source: ClassVar[str] = "InverseBench, arXiv 2503.11043; Devito, doi 10.5194/gmd-12-1165-2019"
    example: ClassVar[tuple[int, ...]] = (1, 8, 16)
    modality: Quantity = VELOCITY
    chunk: ClassVar[int] = 25  # steps between the states that are kept: about the root of their number

    eta: Tensor  # (nx + 2 cells, nz − 1 + cells), damping in 1/ms · (ms/m)²
    wavelet: Tensor  # (steps,)
    shots: Tensor  # (sources, 4): weights of the grid points around each
    ears: Tensor  # (receivers, 4), or (sources, receivers, 4)

    def __init__(
        self,
        shape: tuple[int, ...],
        sources: Annotated[int, Range(1, 10_000)] = 16,
        receivers: Annotated[int, Range(1, 10_000)] = 129,
        time: Annotated[Number, Range(above=0, most=100_000)] = 1000.0,
        dt: Annotated[Number, Range(0.01, 1_000)] = 1.0,
        frequency: Annotated[Number, Range(1e-3, 10_000)] = 5.0,
        dx: Annotated[Number, Range(1e-3, 100_000)] = 20.0,
        dz: Annotated[Number, Range(1e-3, 100_000)] = 10.0,
        source_depth: Annotated[Number, Range(above=0, most=1e8)] | None = None,
        receiver_depth: Annotated[Number, Range(above=0, most=1e8)] = 10.0,
        cells: Annotated[int, Range(1, 1_000)] = 80,
        centre: Annotated[Number, Range(above=0, most=100)] = CENTRE,
        contrast: Annotated[Number, Range(above=0, most=100)] = CONTRAST,
        slowest: Annotated[Number, Range(above=0, most=100)] | None = None,
        fastest: Annotated[Number, Range(above=0, most=100)] | None = None,
        every: Annotated[int, Range(1, 1_000)] = 1,
        amplitude: Annotated[Number, Range(above=0, most=1e12)] = 1.0,
        water: Annotated[Number, Range(least=0, most=1e8)] = 0.0,
        water_velocity: Annotated[Number, Range(above=0, most=100)] = WATER,
        mute: Annotated[Number, Range(above=0, most=100)] | None = None,
        source_places: Tensor | None = None,
        receiver_places: Tensor | None = None,
    ) -> None:
        super().__init__(shape)
        if len(shape) != 3 or shape[0] != 1 or min(shape[1:]) < 3:
            raise ShapeError(f"fwi: a velocity has shape (1, nx, nz), at least 3 x 3, not {tuple(shape)}")
        _, nx, nz = shape
        self.dt, self.steps, self.step = float(dt), round(time / dt) + 1, (float(dx), float(dz))
        if self.steps < 3:
            raise SpecError(f"fwi: time {time} is less than two steps of {dt}")
        if (source_places is None) != (receiver_places is None):
            raise SpecError("fwi: source_places and receiver_places come together")
        self.cells, self.every = cells, every
        width, deep = self.extent
        if source_places is not None and receiver_places is not None:
            survey = placed(source_places, receiver_places)
        else:
            depths = deep if source_depth is None else source_depth, receiver_depth
            survey = spread(sources, receivers, float(dx), width, depths)
        self.survey = survey.within(width, deep)
        self.at_shots, shots = self.around(*survey.sources.unbind(-1))
        self.at_ears, ears = self.around(*survey.receivers.unbind(-1))
        if slowest is not None and fastest is not None and slowest >= fastest:
            raise SpecError(f"fwi: slowest={slowest} must be below fastest={fastest}")
        wet = min(nz, math.ceil(water / dz))  # the columns above the depth `water`
        limits = (None if slowest is None else float(slowest), None if fastest is None else float(fastest))
        scale = (float(centre), float(contrast))
        self.modality = velocities(scale, limits, self.extent, self.seconds, len(shots), wet, float(water_velocity))
        self.peak, period = float(frequency), 1000 / frequency
        self.until = None if mute is None else survey.passed(float(mute), 2 * period)
        arg = (math.pi * (torch.arange(self.steps, dtype=torch.float64) * dt / period - 1)) ** 2
        damping = profile(nx, cells, dx, both=True)[:, None] + profile(nz, cells, dz, both=False)[None, 1:]
        wavelet = amplitude * (1 - 2 * arg) * torch.exp(-arg)
        for name, value in {"eta": damping, "wavelet": wavelet, "shots": shots, "ears": ears}.items():
            self.register_buffer(name, built(value))

    @property
    def grid(self) -> tuple[int, int]:
        """The shape of the grid on which waves run: with damping rows, and without the surface, where u is 0."""
        return self.shape[1] + 2 * self.cells, self.shape[2] - 1 + self.cells

    @property
    def seconds(self) -> float:
        """The time of the last datum."""
        return (self.steps - 1) * self.dt / 1000

    @property
    def extent(self) -> tuple[float, float]:
        """The last x and the last depth of the image, in metres."""
        return (self.shape[1] - 1) * self.step[0], (self.shape[2] - 1) * self.step[1]

    def around(self, x: Tensor, depth: Tensor | Number) -> tuple[Tensor, Tensor]:
        """The flat indices of the four grid points around each place (x, depth), and their bilinear weights, both (…,
        4).

        `x` (…) and `depth` are in metres.
        """
        across, down = x / self.step[0] + self.cells, torch.zeros_like(x) + depth / self.step[1] - 1
        i, j = across.floor(), down.floor()
        points, weights = [], []
        for di, dj in ((0, 0), (1, 0), (0, 1), (1, 1)):
            weight = (1 - (across - i - di).abs()) * (1 - (down - j - dj).abs())
            seen = j + dj >= 0  # the surface is not a point of the grid: u is 0 there
            points.append(((i + di) * self.grid[1] + (j + dj).clamp(0)).long())
            weights.append(weight * seen)
        return torch.stack(points, -1), torch.stack(weights, -1)

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        """The image shape of the benchmark, because the data do not tell it."""
        return (1, 128, 128)

    @cached_property
    def data_shape(self) -> tuple[int, ...]:
        return len(self.shots), -(-self.steps // self.every), self.ears.shape[-2]

    @property
    def complex_data(self) -> bool:
        return False  # said as the shape is, because one simulation to find out takes long

    @cached_property
    def support(self) -> Tensor:
        """From the first wave that can have arrived on, in the numerical grid, to the last step but one, and after the
        mute.

        A wave leaves its source with the first update of the field, and the Laplacian carries it two points along one
        axis in each further update; step n hears the field after n − 1 updates.
        """
        source, ear = (torch.stack([p // self.grid[1], p % self.grid[1]]) for p in (self.at_shots, self.at_ears))
        ear = ear if ear.ndim == 4 else ear[:, None]  # (2, sources or 1, receivers, 4)
        apart = (source[:, :, :, None, None] - ear[:, :, None]).abs()  # (2, sources, 4, receivers, 4)
        updates = ((apart + 1) // 2).sum(0)
        heard = (self.ears != 0).cpu()
        there = (self.shots != 0)[:, :, None, None].cpu() & (heard[:, None] if heard.ndim == 3 else heard)
        first = 2 + torch.where(there, updates, self.steps).amin((1, 3))[:, None]  # (sources, 1, receivers)
        step = torch.arange(0, self.steps, self.every)[:, None]
        seen = (step >= first) & (step < self.steps - 1)
        if self.until is not None:
            seen = seen & (step * self.dt > self.until)
        return seen[None].to(self.shots.device)

    def velocity(self, x: Tensor) -> Tensor:
        """The velocity of the image `x` in km/s, between `slowest` and `fastest`."""
        return self.modality.units(x)

    def forward(self, x: Image) -> Data:
        self.check(self.velocity(x.detach()))
        shots = len(self.shots)
        cached = max(1, 60_000 // (self.grid[0] * self.grid[1]))  # about this many wave fields fit into the CPU's cache
        together = min(shots, cached) if x.device.type == "cpu" else shots
        y = torch.cat([self.shoot(x, slice(s, s + together)) for s in range(0, shots, together)], 1)
        y = y[:, :, :: self.every]
        return y if self.until is None else torch.where(self.support, y, 0)

    def shoot(self, x: Tensor, shots: slice) -> Tensor:
        """The data of some sources, (b, shots, steps, receivers), for images `x` (b, 1, nx, nz)."""
        last = self.steps - 2  # the record is 0 at the first time and, as in Devito, at the last
        march = March(
            first=lambda x: self.first(x, len(self.shots[shots])),
            steps=lambda state: self.advance(state, shots, 1 + sum(r.shape[2] for r in state[3:]), last),
            more=lambda state: sum(r.shape[2] for r in state[3:]) < last,
            last=lambda state: torch.nn.functional.pad(torch.cat(state[3:], 2), (0, 0, 1, 1)),
        )
        return march(x)

    def check(self, v: Tensor) -> None:
        """Raises DivergedError if a velocity in `v`, in km/s, is not positive or too fast for the time step."""
        dx, dz = self.step
        most = math.sqrt(0.75 / (1 / dx**2 + 1 / dz**2)) / self.dt
        low, high = v.flatten(1).amin(1), v.flatten(1).amax(1)
        if (bad := (low <= 0) | (high >= most)).any():
            at = bad.nonzero().flatten().tolist()
            found = f"{float(low[at[0]]):.3g} to {float(high[at[0]]):.3g}"
            raise DivergedError(
                f"fwi: velocities from {found} km/s; with dt={self.dt:g} above 0 and below {most:.3g}", at
            )

    def first(self, x: Tensor, shots: int) -> State:
        """The first state of the simulation.

        It is the wave fields before and now, (b, shots, *grid), both 0, and (v dt)², (b, 1, *grid), constant across the
        border.
        """
        nx, nz = self.shape[1:]
        i = torch.arange(-self.cells, nx + self.cells, device=x.device).clamp(0, nx - 1)
        j = torch.arange(1, nz + self.cells, device=x.device).clamp(0, nz - 1)
        g = (self.dt * self.velocity(x)[:, :, i][..., j]) ** 2
        u = g.new_zeros(len(x), shots, *self.grid)
        return u, u.clone(), g

    def advance(self, state: State, shots: slice, n: int, last: int) -> State:
        """The state after up to `chunk` steps from step number `n`, with what was recorded during them appended.

        A record is (b, shots, steps, receivers).
        """
        before, u, g, *heard = state
        s = u.shape[1]
        r = 1 / (1 + self.eta * g / self.dt)
        each = torch.arange(s, device=u.device)[:, None]
        points = self.at_shots[shots].to(u.device)
        where = (each * r[0].numel() + points).flatten()
        own = self.ears.ndim == 3
        ears, weights = (v[shots] if own else v for v in (self.at_ears.to(u.device), self.ears))
        listen = (slice(None), each[..., None], ears) if own else (slice(None), slice(None), ears)
        push = (g.flatten(1)[:, points] * self.shots[shots]).flatten(1)
        sounds = []
        for k in range(n, min(n + self.chunk, last + 1)):
            sounds.append((u.flatten(2)[listen] * weights).sum(-1))
            new = u + (u - before + g * laplacian(u, self.step)) * r
            new = new.flatten(1).index_add(1, where, self.wavelet[k] * push).reshape(u.shape)
            before, u = u, new
        return before, u, g, *heard, torch.stack(sounds, 2)
