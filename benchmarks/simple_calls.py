"""The plain calls of libraries that `benchmarks.simple` puts beside the solvers."""

from collections.abc import Callable, Iterable

import cv2
import numpy as np
import torch
from PIL import Image as Pictures
from skimage.restoration import denoise_nl_means, inpaint_biharmonic, wiener
from torch import Tensor

from xhat.likelihoods import Likelihood

LEVELS = (0.02, 0.05, 0.1, 0.2, 0.4)
WEIGHTS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def each(f: Callable[..., np.ndarray], images: Tensor, *more: Tensor) -> Tensor:
    """`f` on (h, w, c) arrays, image by image."""
    rows = [f(*(v.movedim(0, -1).numpy().astype(float) for v in row)) for row in zip(images, *more, strict=True)]
    return torch.stack([torch.from_numpy(np.ascontiguousarray(r)).movedim(-1, 0) for r in rows]).float()


def seen(task: str, like: Likelihood, size: int) -> Tensor:
    """The measurement as a picture of the image's size: y, enlarged without a filter, or with its gain of 2 undone."""
    y = like.y / 2 if task == "HDR" else like.y
    return torch.nn.functional.interpolate(y, size=(size, size), mode="nearest-exact")


def library(task: str, like: Likelihood, start: Tensor) -> Iterable[Tensor]:
    """What one call of a library makes of the measurement, with each of the values that it leaves open."""
    if task == "SR x4":
        yield each(lanczos(start.shape[-1]), like.y)
    elif task in ("box", "random 70 %"):
        mask = like.A(torch.ones_like(like.y))
        yield each(lambda v, m: inpaint_biharmonic(v, m[..., 0] == 0, channel_axis=-1), like.y, mask)
        for method in (cv2.INPAINT_TELEA, cv2.INPAINT_NS):
            yield each(lambda v, m, how=method: cv2.inpaint(levels(v), hole(m), 3, how) / 127.5 - 1, like.y, mask)
    elif task in ("Gaussian", "motion"):
        point = torch.zeros_like(like.y[:1])
        point[..., point.shape[-2] // 2, point.shape[-1] // 2] = 1
        psf = like.A(point)[0, 0].numpy().astype(float)
        for weight in WEIGHTS:
            one = lambda c, w=weight: wiener(c, psf / psf.sum(), w, clip=False)
            yield each(lambda v, one=one: np.stack([one(c) for c in np.moveaxis(v, -1, 0)], -1), like.y)
    else:
        for h in LEVELS:
            yield each(lambda v, h=h: denoise_nl_means(v, h=h, patch_size=5, patch_distance=6, channel_axis=-1), start)


def lanczos(size: int) -> Callable[[np.ndarray], np.ndarray]:
    """Pillow's enlargement of (h, w, c) to `size` pixels, channel by channel in float."""
    grow = lambda c: np.asarray(
        Pictures.fromarray(c.astype("float32")).resize((size, size), Pictures.Resampling.LANCZOS)
    )
    return lambda v: np.stack([grow(c) for c in np.moveaxis(v, -1, 0)], -1)


def levels(v: np.ndarray) -> np.ndarray:
    """A picture in [−1, 1] in 8 bit."""
    return ((v + 1) * 127.5).round().clip(0, 255).astype("uint8")


def hole(mask: np.ndarray) -> np.ndarray:
    """What OpenCV is to fill, of a mask (h, w, c) that is 0 there."""
    return (mask[..., 0] == 0).astype("uint8")
