"""Neighbouring frames or slices that are nearly alike, as if their differences had been measured.

    −log p(x) = Σ_f ‖√w_f ⊙ (x_{f+1} − M_f x_f)‖² / (2 σ²) + …       (a Gauss-Markov chain along the third axis)

M_f is the identity, or moves frame f to where its content is in the next one. With c = σ_y/σ the rows c √w (…) have the
noise of the data, so that everything that takes a linear operator takes the coupled one.
"""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ..numerics.linalg import bcast, cg, rms
from ..numerics.tridiagonal import chain, tridiagonal
from ..types import Data, Image, PerImage
from .base import DampedOperator, LinearOperator, in_double, iterative
from .denoise import Denoise
from .lifted import LiftedSpectral, lift, plane_shape
from .modality import VIDEO
from .temporal import Temporal

MOVING_STEPS = 30  # of conjugate gradient along motion


class Chain(LinearOperator):
    """x ↦ √w_f ⊙ (x_{f+1} − M_f x_f), images (c, t, h, w) with t > 1, data (c, t − 1, h, w).

    `weight` is (1 or b, 1, 1 or t − 1, 1 or h, 1 or w), each number from 0 to 1.
    """

    per_image: ClassVar[tuple[str, ...]] = ("weight",)

    weight: Tensor

    def __init__(self, shape: tuple[int, ...], weight: Tensor | None = None) -> None:
        super().__init__(shape)
        plane_shape(shape)
        self.register_buffer("weight", torch.ones(1, 1, 1, 1, 1) if weight is None else weight)

    @abstractmethod
    def moved(self, x: Tensor) -> Tensor:
        """M_f x_f of the frames `x` (b, c, t − 1, h, w), each where the next frame has it."""

    @abstractmethod
    def moved_back(self, y: Tensor) -> Tensor:
        """M_fᵀ y_f, the adjoint of `moved`."""

    def forward(self, x: Image) -> Data:
        return self.weight.sqrt() * (x[:, :, 1:] - self.moved(x[:, :, :-1]))

    def adjoint(self, y: Data) -> Image:
        y = self.weight.sqrt() * y
        nothing = torch.zeros_like(y[:, :, :1])
        return torch.cat([nothing, y], 2) - torch.cat([self.moved_back(y), nothing], 2)

    @property
    def uniform(self) -> bool:
        """Whether all weights of a video are the same."""
        return self.weight[0].numel() == 1

    def diagonals(self) -> tuple[Tensor, Tensor]:
        """Diagonal and off-diagonal of DᵀD with the frames as second axis, (1 or b, t, 1, ·, ·), as if M_f were I."""
        count = self.shape[1] - 1
        w = self.weight.transpose(1, 2)
        return chain(w.expand(len(w), count, *w.shape[2:]))


class StillChain(Chain):
    """M_f is the identity: frames that follow each other are nearly alike."""

    def moved(self, x: Tensor) -> Tensor:
        return x

    def moved_back(self, y: Tensor) -> Tensor:
        return y


class MovingChain(Chain):
    """M_f follows the motion: (M_f x_f)(p) = x_f(p + flow_f(p)), bilinear, the nearest pixel beyond the border.

    `flow` is (1 or b, t − 1, h, w, 2), in pixels to the right and down.
    """

    per_image: ClassVar[tuple[str, ...]] = ("weight", "grid")

    grid: Tensor  # where each pixel is read, as `grid_sample` counts, (1 or b, t − 1, h, w, 2)

    def __init__(self, shape: tuple[int, ...], flow: Tensor, weight: Tensor | None = None) -> None:
        super().__init__(shape, weight)
        h, w = shape[-2:]
        across, down = torch.arange(w).to(flow), torch.arange(h).to(flow)
        place = flow + torch.stack(torch.meshgrid(across, down, indexing="xy"), -1)
        self.register_buffer("grid", 2 * place / torch.tensor([max(w - 1, 1), max(h - 1, 1)]).to(flow) - 1)

    def places(self, v: Tensor) -> Tensor:
        """`grid` for the frames of `v` (b, c, t − 1, h, w), (b · (t − 1), h, w, 2)."""
        return self.grid.to(v.dtype).expand(len(v), *self.grid.shape[1:]).flatten(0, 1)

    def moved(self, x: Tensor) -> Tensor:
        frames = x.transpose(1, 2).flatten(0, 1)
        out = F.grid_sample(frames, self.places(x), padding_mode="border", align_corners=True)
        return out.reshape(len(x), -1, *out.shape[1:]).transpose(1, 2)

    def moved_back(self, y: Tensor) -> Tensor:
        each = y.transpose(1, 2).flatten(0, 1).contiguous()
        back: Tensor = torch.ops.aten.grid_sampler_2d_backward(  # bilinear, padding by the border
            each, torch.zeros_like(each), self.places(y), 0, 1, True, [True, False]
        )[0]
        return back.reshape(len(y), -1, *back.shape[1:]).transpose(1, 2)


class Coupled(DampedOperator):
    """x ↦ (A x, c D x), their numbers one after the other: data, and the differences of a chain as if measured.

    `strength` is c, (1 or b). Linear systems are solved by conjugate gradient, with the chain alone, solved exactly
    along the third axis, as the preconditioner.
    """

    per_image: ClassVar[tuple[str, ...]] = ("strength",)

    A: LinearOperator
    chain: Chain
    strength: Tensor

    def __init__(self, A: LinearOperator, chain: Chain, strength: PerImage) -> None:
        super().__init__(A.shape)
        self.modality = A.modality
        self.A, self.chain = A, chain
        self.register_buffer("strength", strength)

    def join(self, y: Tensor, differences: Tensor) -> Tensor:
        """Data of A, and differences of the chain that were not yet multiplied by c, as data of this operator."""
        return torch.cat([y.flatten(1), (bcast(self.strength, differences) * differences).flatten(1)], 1)

    def forward(self, x: Image) -> Data:
        return self.join(self.A(x), self.chain(x))

    def adjoint(self, y: Data) -> Image:
        c, t, h, w = self.shape
        count = y.shape[1] - c * (t - 1) * h * w
        of_data, differences = y[:, :count], y[:, count:].reshape(len(y), c, t - 1, h, w)
        back = self.chain.adjoint(bcast(self.strength, differences) * differences)
        return self.A.adjoint(of_data.reshape(len(y), *self.A.data_shape)) + back

    def system(self, rho: Tensor | float, like: Tensor) -> tuple[Tensor, Tensor]:
        """Diagonal, with `rho` added, and off-diagonal of c² DᵀD + ρ I, frames as the second axis, for `like`."""
        diagonal, off = (bcast(self.strength**2, v) * v for v in self.chain.diagonals())
        rho = torch.as_tensor(rho, dtype=like.dtype, device=like.device).reshape(-1)
        return diagonal + bcast(rho, diagonal), off

    def precondition(self, r: Image, rho: Tensor | float) -> Image:
        """(c² DᵀD + (ρ + ½) I)⁻¹ r, where ½ stands for AᵀA, or its diagonal where frames move."""
        diagonal, off = self.system(torch.as_tensor(rho) + 0.5, r)
        if isinstance(self.chain, MovingChain):
            return r / diagonal.transpose(1, 2)
        return tridiagonal(diagonal, off, r.transpose(1, 2)).transpose(1, 2)

    def solve(self, b: Image, rho: Tensor | float, close: Tensor | float) -> Image:
        """As in `DampedOperator`, but an error is at most `close` only if ‖r‖/ρ says so: a preconditioned residual sees
        little of what is smooth along a strong chain.

        Along motion, which is an estimate itself, no more than `MOVING_STEPS` steps are made, in the precision of `b`.
        """
        moving = isinstance(self.chain, MovingChain)
        A, wide = (self, b) if moving else in_double(self, b)
        if moving:  # steps beyond convergence would divide by what has underflowed
            close = torch.maximum(torch.as_tensor(close).to(b), 1e-10 * rms(b) / rho)
        return cg(
            lambda v: A.adjoint(A(v)) + bcast(rho, v) * v,
            wide,
            MOVING_STEPS if moving else self.cg_steps,
            0.0 if moving else self.cg_tol,  # 0: a truncated solve, which is no failure where it has not converged
            precondition=lambda r: A.precondition(r, rho),
            close=close,
            error=lambda r, _: rms(r) / rho,
        ).to(b.dtype)


class CoupledFrames(Coupled):
    """A chain of still frames whose operator has one basis V for all of them: solved exactly.

    (AᵀA + c² DᵀD + ρ I) x = b is, in the coordinates V, one tridiagonal system of t numbers for each singular value.
    """

    A: LiftedSpectral

    def normal_solve(self, b: Image, rho: Tensor | float) -> Image:
        z = self.A.Vt(b)
        diagonal, off = (v.reshape(*v.shape[:2], *[1] * (z.ndim - 2)) for v in self.system(rho, b))
        return self.A.V(tridiagonal(self.A.s**2 + diagonal, off, z))

    def ridge(self, y: Data, rho: Tensor | float, close: Tensor | float = 0.0) -> Image:
        return self.normal_solve(self.adjoint(y), rho)

    @iterative
    def pinv(self, y: Data) -> Image:
        return self.ridge(y, self.floor**2)


class CoupledTime(Coupled):
    """A chain of still frames whose operator is a small matrix R along them: solved exactly by a dense inverse.

    (RᵀR + c² DᵀD + ρ I)⁻¹ is a matrix of t × t numbers, the same for every pixel.
    """

    A: Temporal

    def normal_solve(self, b: Image, rho: Tensor | float) -> Image:
        diagonal, off = (v.double().flatten(2).squeeze(2) for v in self.system(rho, b))
        R = self.A.R.double()
        M = R.T @ R + torch.diag_embed(diagonal) + torch.diag_embed(off, 1) + torch.diag_embed(off, -1)
        inverse = torch.linalg.inv(M).to(b.dtype).expand(len(b), -1, -1)
        return torch.einsum("bkt,bcthw->bckhw", inverse, b).contiguous()

    def ridge(self, y: Data, rho: Tensor | float, close: Tensor | float = 0.0) -> Image:
        return self.normal_solve(self.adjoint(y), rho)

    @iterative
    def pinv(self, y: Data) -> Image:
        return self.ridge(y, self.floor**2)


def coupled(A: LinearOperator, chain: Chain, strength: PerImage) -> Coupled:
    """The operator `A` on videos, coupled by `chain`: solved exactly where that is possible."""
    shared = isinstance(A, LiftedSpectral) and (A.part.one_basis or max(A.part.batches(), default=1) == 1)
    if not (isinstance(chain, StillChain) and chain.uniform):
        return Coupled(A, chain, strength)
    kind = CoupledTime if isinstance(A, Temporal) else CoupledFrames if shared else Coupled
    return kind(A, chain, strength)


def smoothed(x: Image, chain: Chain, strength: PerImage) -> Image:
    """(I + c² DᵀD)⁻¹ x for videos `x` (b, *image) and c = `strength`, (1 or b)."""
    same = lift(chain.shape, Denoise(plane_shape(chain.shape)), VIDEO)
    assert isinstance(same, LinearOperator)
    return 2 * coupled(same.to(x.device), chain, 2**0.5 * strength).normal_solve(x, 1.0)
