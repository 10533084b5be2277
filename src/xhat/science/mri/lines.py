"""Multi-coil k-space of whole vertical lines, which has a cheap singular value decomposition."""

from typing import ClassVar, TypeVar

import torch
from torch import Tensor
from torch.fft import fft, fftshift, ifftshift

from ...numerics.build_dtype import built
from ...operators.base import SpectralOperator
from ...types import Data, Image
from .multi_coil import MRI
from .sampling import complex_to_pairs, pairs_to_complex

L = TypeVar("L", bound="LineMRI")


class LineMRI(MRI, SpectralOperator):
    """Multi-coil k-space of whole vertical lines, solved exactly.

    The Fourier transform along the lines is unitary and cancels in AᴴA, which separates into one w × w matrix for each
    row of the image: G_r = (Σ_c S̄_c S_cᵀ) ⊙ (F_wᴴ M F_w) = V_r diag(s²) V_rᴴ. The decomposition is made in double
    precision when a solver first asks for it, and kept. It takes 8 h w² bytes, 262 MB for 320 x 320.
    """

    per_image: ClassVar[tuple[str, ...]] = ("rows", "lines")
    cutoff: ClassVar[float] = 1e-3  # relative size below which a singular value, the root of one of G, counts as 0

    lines: Tensor  # (1 or b, w), 1 where a line is kept

    def __init__(self, shape: tuple[int, ...], masks: Tensor, maps: Tensor) -> None:
        """`masks` (1 or b, h, w) bool with all rows the same, `maps` complex (coils, h, w)."""
        super().__init__(shape, masks, maps)
        self.register_buffer("lines", built(masks[:, 0]))
        self._spectra: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}

    def take(self: L, index: Tensor) -> L:
        new = super().take(index)
        if len(self.lines) > 1:  # with one mask for all, the copies share one dictionary of decompositions
            new._spectra = {k: (s[index.to(s.device)], V[index.to(s.device)]) for k, (s, V) in self._spectra.items()}
        return new

    def ridge(self, y: Data, rho: Tensor | float, close: Tensor | float = 0.0) -> Image:
        return self.normal_solve(self.adjoint(y), rho)

    @property
    def s(self) -> Tensor:  # type: ignore[override]
        """The singular values, (1 or b, 1, h, w)."""
        return self.spectrum[0]

    @property
    def spectrum(self) -> tuple[Tensor, Tensor]:
        """s (1 or b, 1, h, w), and the complex V (1 or b, h, w, w), whose columns are the singular vectors of a row."""
        key = self.maps.dtype, self.maps.device
        if key not in self._spectra:
            maps = self.maps.cpu() if self.maps.device.type == "mps" else self.maps  # Apple's GPUs have no float64
            S = torch.view_as_complex(maps.double())
            coils = torch.einsum("crw,crv->rwv", S.conj(), S)
            F = fftshift(fft(ifftshift(torch.eye(self.shape[-1], dtype=S.dtype, device=S.device), 0), dim=0), 0)
            F = F / self.shape[-1] ** 0.5
            grams = [coils * ((F.mH * m.to(F)) @ F) for m in self.lines]
            squares, V = (torch.stack(part) for part in zip(*map(torch.linalg.eigh, grams), strict=True))
            s = squares.clamp_min(0).sqrt()[:, None]
            s = torch.where(s > self.cutoff * s.amax((-3, -2, -1), keepdim=True), s, 0.0)
            self._spectra[key] = s.to(self.maps), V.to(torch.complex(self.maps[:0], self.maps[:0]))
        return self._spectra[key]

    def V(self, z: Tensor) -> Image:
        return complex_to_pairs(by_row(self.spectrum[1], pairs_to_complex(z)))

    def Vt(self, x: Image) -> Tensor:
        return complex_to_pairs(by_row(self.spectrum[1].mH, pairs_to_complex(x)))

    def U(self, z: Tensor) -> Data:
        return self.forward(self.V(self.inverse * z))

    def Ut(self, y: Data) -> Tensor:
        return self.inverse * self.Vt(self.adjoint(y))


def by_row(V: Tensor, z: Tensor) -> Tensor:
    """V[i, r] z[i, r] for each image i and row r, where `V` is (1 or b, rows, n, m) and `z` (b, rows, m).

    A V that serves all images is not copied.
    """
    if len(V) == 1:
        return (V[0] @ z.permute(1, 2, 0)).permute(2, 0, 1)
    return (V @ z[..., None])[..., 0]
