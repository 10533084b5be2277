"""A part of a recorded picture is restored: what belongs to the picture is cut in the same way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from ..errors import DataError, MismatchError, XhatError
from ..files.cut import Cut
from ..files.jpeg_header import jpeg_header
from ..files.measurement import Measurement
from ..files.pictures import is_picture
from ..notes import advice, note
from ..priors.base import FixedShape, Prior


def cut_out(found: Measurement, cut: Cut) -> Measurement:
    """The part of a picture as a measurement.

    A part of a JPEG ends between its blocks, which is said, unless it is resized: otherwise nothing would be known of
    the blocks at its edges. Raises DataError for what is no picture, or knows already what its image is.
    """
    if not is_picture(tuple(found.y.shape)) or found.image_shape is not None:
        raise DataError(f"{found.origin}: only pictures can be cropped or resized; simulate crops before it measures")
    h, w = found.y.shape[1:]
    window = cut.window(h, w, found.origin)
    if cut.crop and not cut.size and found.file is not None and jpeg_header(found.file):
        whole = window.within_blocks()
        if whole != window:
            note(
                "%s: is a JPEG, which is cut between its blocks: %dx%d+%d+%d",
                found.origin,
                *(whole.width, whole.height, whole.left, whole.top),
            )
        window = whole
    y = cut.resized(window(found.y))
    physics = dict(found.physics)
    if "mask" in physics:
        known = window(torch.as_tensor(physics["mask"]).float())[None]
        physics["mask"] = cut.resized(2 * known - 1)[0] > 0.99 if cut.size else known[0] > 0
    if found.file is not None:
        physics["window"] = window
    return replace(found, y=y, physics=physics, window=window, resized=cut.size is not None)


def cut_alike(truth: Tensor, found: Measurement, cut: Cut) -> Tensor:
    """The same part of the true picture `truth` (c, h, w), which may be a whole number of times larger.

    A picture of another size is returned as it is: it may have been cut already.
    """
    window = found.window
    scale = window.scale(truth) if window and is_picture(tuple(truth.shape)) else None
    if window is None or scale is None:
        return truth
    part = window(truth, scale)
    return part if cut.size is None else replace(cut, size=scale * cut.size).resized(part)


MULTIPLES = (8, 16, 32, 64)  # of pixels, that sides of images of a network are


@contextmanager
def advised(found: Measurement, prior: Callable[[], object]) -> Iterator[None]:
    """Adds to a MismatchError how to cut the picture so that the prior takes it, if the prior wants another size."""
    try:
        yield
    except MismatchError as e:
        if found.file is not None and (how := _smaller(tuple(found.y.shape), prior)):
            e.args = (f"{e}; {how}",)
        raise


def _smaller(shape: tuple[int, ...], prior: Callable[[], object]) -> str:
    """The options that cut a picture of `shape` to what a prior takes; empty if it takes it, or no such part of it."""
    if not is_picture(shape):
        return ""
    c, h, w = shape
    try:
        known = prior()
    except XhatError:
        return ""
    if not isinstance(known, Prior) or _takes(known, shape):
        return ""
    whole = known.shape if isinstance(known, FixedShape) else known.specimen()
    own = [tuple(whole[1:])] if whole and len(whole) == 3 else []
    parts = [(h // k * k, w // k * k) for k in MULTIPLES if k <= min(h, w)]
    for tall, wide in [size for size in own if size[0] <= h and size[1] <= w] + parts + own:
        if _takes(known, (c, tall, wide)):
            words = [f"--crop {wide}x{tall} takes the middle"] if tall <= h and wide <= w else []
            resized = [f"--size {tall} the central square, resized"] if tall == wide else []
            return advice(" and ".join(words + resized), " and ".join(words))
    return ""


def _takes(prior: Prior, shape: tuple[int, ...]) -> bool:
    try:
        prior.check(shape)
    except XhatError:
        return False
    return True
