"""Where the pixels of a slice of MRI lie, as NIfTI has it."""

import numpy as np

PLAIN = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, 1]])  # columns to the right, rows to the back, slices upwards
LPS = np.diag([-1.0, -1, 1, 1])  # scanners count millimetres to the left and to the back, NIfTI to the right and front


def placed(
    size: tuple[float, float, float], directions: np.ndarray | None = None, position: np.ndarray | None = None
) -> np.ndarray:
    """The affine (4, 4) of voxels of `size` (down along the readout, across, through) in mm, the middle at number 0.

    `directions` (3, 3) are unit vectors of columns, rows and slices in the patient, and `position` (3,) the middle of
    the slice, both to the left, the back and upwards; without them the slice lies about 0 and is transverse.
    """
    down, across, through = size
    affine = np.eye(4)
    if directions is None:
        affine[:3, :3] = PLAIN * (across, down, through)
        return affine
    affine[:3, :3] = directions * (across, down, through)
    affine[:3, 3] = 0 if position is None else position
    found: np.ndarray = LPS @ affine
    return found


def centred(affine: np.ndarray, h: int, w: int) -> np.ndarray:
    """The affine of a slice of h x w pixels whose pixel (h // 2, w // 2) lies where `affine` has number 0: there a
    centred Fourier transform has the middle of the field of view.
    """
    out = affine.copy()
    out[:3, 3] -= affine[:3, 0] * (w // 2) + affine[:3, 1] * (h // 2)
    return out
