"""Coil maps by ESPIRiT, through sigpy (an extra)."""

import torch
from torch import Tensor

from ...errors import DataError
from ...files.extras import extra
from .kspace import central_lines, low_resolution

WIDTH, KERNEL = 24, 6  # sides of the calibration region and of its kernels in frequencies, as in ESPIRiT's paper


def espirit_maps(k: Tensor, mask: Tensor, crop: float = 0.95) -> Tensor:
    """The first set of ESPIRiT's maps, complex (coils, h, w), from the fully sampled centre of k-space.

    `k` is (coils, h, w), and `mask` (h, w) says what is sampled. At each pixel the map is the eigenvector of norm 1
    with eigenvalue ≈ 1 of the calibration's projection (Uecker et al., Magn. Reson. Med. 71, 2014), and 0 if no
    eigenvalue exceeds `crop`, which means that there is no signal. ESPIRiT leaves the phase of the maps open. Here it
    is that of the low-resolution image, so that the image itself is nearly real, as with `estimate_maps`. Raises
    DataError if the sampled centre is too small or no map is found.
    """
    width = min(WIDTH, *central_lines(mask))
    if width < KERNEL + 2:
        raise DataError(
            f"ESPIRiT needs {KERNEL + 2} x {KERNEL + 2} frequencies around the centre without a gap, and the mask "
            f"samples {width}; give maps=FILE"
        )
    mri = extra("sigpy.mri", "ESPIRiT")
    ksp = k.to(torch.complex64).cpu().numpy()
    maps = torch.from_numpy(mri.app.EspiritCalib(ksp, width, kernel_width=KERNEL, crop=crop, show_pbar=False).run())
    maps = torch.nan_to_num(maps)  # sigpy divides by the magnitude of the first coil, which may be 0
    if not bool(maps.abs().max() > 0):
        raise DataError("ESPIRiT found no coil maps: no pixel's eigenvalue is near 1; the calibration may be noise")
    turn = (maps.conj() * low_resolution(k, mask).to(maps)).sum(0)
    return (maps * torch.polar(torch.ones_like(turn.abs()), turn.angle())).to(k.dtype)
