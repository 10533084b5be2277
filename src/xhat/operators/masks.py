"""Masks as people have them: painted, soft, JPEG, in the alpha channel, resized, or a colour in the picture."""

from pathlib import Path

import numpy as np
import torch
from PIL import ImageColor
from PIL.Image import Image
from torch import Tensor
from torch.nn import functional as F

from ..errors import DataError, ShapeError
from ..files.cut import Window
from ..files.numbers import array_of
from ..files.pictures import layers
from ..files.room import LARGEST
from ..notes import note

TOUCHED = 0.1  # of white: what a soft brush has touched at least so much is filled, so that no rim of it stays
LIKE = 0.25  # how far a channel may lie from the painted colour, in [−1, 1]: 32 of 255 grey levels, as JPEG makes it
VIVID = 0.6  # of the spread of a named colour between its channels: paint is no duller
HUE = 30.0  # degrees: red is no orange
TIGHT = 0.1  # the same for paint of one colour that JPEG has changed a little
FEW = 16  # pixels of one colour, fewer of which are chance
RIM = 2  # pixels around painted ones, where brush and picture are mixed
EXACT = 1e-3  # in [−1, 1]: a pixel that has the painted colour itself, an eighth of a grey level near
PAINT = 0.1  # portion of what is near the colour that has the colour itself, where paint and not chance put it there
MIXED = 0.1  # mean share of paint beside the brush from which its edge counts as soft: texture was seen to give up to
# 0.07, on 33 photographs under hard lines, and lines with smooth edges no less than 0.23
MUCH = 0.6  # of a picture; a mask that drops more may be meant the other way round


Given = str | Path | Tensor | np.ndarray | Image
"""A mask as it may be given: the file of a picture or of an array, an array (h, w), or a picture of Pillow."""


def read_mask(given: Given, size: tuple[int, int], fill: bool, window: Window | None = None) -> Tensor:
    """Which pixels are known, (h, w) of bool, by a picture, an array, or a file with one of them (.npy or .npz).

    White, or what is not 0, is to be filled if `fill`, otherwise it is known. A transparent place counts as black; if
    only the alpha channel tells places apart, opaque counts as white. Grey is decided so that no touched pixel is taken
    for known. A mask of other size but the same form is resized. If the image is only a `window` of the picture for
    which the mask was made, so much of the mask counts. Says so in one line if it drops most of the picture.
    Raises DataError if the file cannot be read or the mask is empty, and ShapeError if it has another form.
    """
    origin = str(given) if isinstance(given, str | Path) else "the mask"
    white = _whiteness(given, origin)
    if window is not None:
        white = window(_resized(white, window.of, origin))
    white = _resized(white, size, origin)
    known = white < TOUCHED if fill else white > 1 - TOUCHED
    return checked(known, origin, fill)


def _resized(white: Tensor, size: tuple[int, int], origin: str) -> Tensor:
    """A mask (h, w) at the size of the image. Raises ShapeError if it has another form."""
    h, w = white.shape
    if (h, w) == size:
        return white
    if abs(h * size[1] / (w * size[0]) - 1) > 0.02:
        raise ShapeError(
            f"{origin}: the mask has {w}x{h} pixels (width x height), the image {size[1]}x{size[0]}: not the same form"
        )
    return F.interpolate(white[None, None], size, mode="bilinear", antialias=True)[0, 0]


def checked(known: Tensor, origin: object, fill: bool) -> Tensor:
    """`known`, a mask of any shape, true where the image is known, after a look at how much it keeps.

    `origin` is named in what is said, and `fill` tells that white meant what is to be filled. Raises DataError if the
    mask keeps nothing or everything; says so if it drops much.
    """
    if not known.any():
        raise DataError(f"{origin}: the mask is empty: nothing of the image would be kept")
    if known.all():
        raise DataError(f"{origin}: the mask drops nothing; white is {'to be filled' if fill else 'known'} here")
    dropped = 1 - float(known.double().mean())
    if dropped > MUCH:
        words = ("to be filled", "known=") if fill else ("known", "fill=")
        note(
            "%s: white is %s, which drops %.0f %% of the picture; if it is meant the other way, say %s",
            origin,
            words[0],
            100 * dropped,
            words[1],
        )
    return known


def _whiteness(given: Given, origin: str) -> Tensor:
    """How white each pixel is, (h, w) from 0 to 1."""
    if isinstance(given, Tensor | np.ndarray):
        return _scaled(given.detach().cpu().numpy() if isinstance(given, Tensor) else given, origin)
    if not isinstance(given, Image):
        path = Path(given)
        if path.suffix.lower() in (".npy", ".npz"):
            return _scaled(array_of(path, ("mask",), LARGEST), origin)
        x, alpha = layers(path)
        grey = (x.mean(0) + 1) / 2
    else:
        x = torch.from_numpy(np.asarray(given.convert("RGBA"), np.float32) / 255)
        grey, alpha = x[..., :3].mean(-1), x[..., 3] if given.has_transparency_data else None
    if 0 < float(grey.max()) < 1.5 / 255:
        grey = grey / grey.max()  # written with 1 for white
    if alpha is None:
        return grey
    if float(grey.max() - grey.min()) < TOUCHED:
        return alpha
    return grey * alpha


def _scaled(array: np.ndarray, origin: str) -> Tensor:
    """An array (h, w), or with sides of 1 beside them, of numbers from 0 on, as 0 to 1."""
    with np.errstate(over="ignore"):  # infinity is refused below
        values = torch.from_numpy(np.asarray(np.real(array), np.float32)).squeeze()
    if values.ndim != 2 or not torch.isfinite(values).all() or (values < 0).any():
        raise DataError(f"{origin}: a mask has shape (h, w) and values from 0 on, not {tuple(values.shape)}")
    return values / values.max().clamp_min(1e-12)


def painted(picture: Tensor, colour: str) -> Tensor:
    """Which pixels of `picture` (3, h, w) are known, (h, w): all but those near `colour`, and their rim.

    A brush with hard edges has no rim: each pixel that it painted has its colour, and those beside it hold no paint.
    Then what is only near that colour, a red nose under red paint, is the picture's own.
    Raises DataError if nothing has that colour, or if the picture is grey.
    """
    if picture.ndim != 3 or len(picture) != 3:
        raise DataError(f"a colour, {colour}, can be painted into colour pictures only")
    wanted = torch.tensor(ImageColor.getrgb(colour)[:3], dtype=picture.dtype) / 127.5 - 1
    far = (picture - wanted[:, None, None]).abs().amax(0)
    hit, same = far < LIKE, far <= EXACT
    if not hit.any():
        raise DataError(f"nothing in the picture has the colour {colour}")
    hard = float(same.sum()) >= PAINT * float(hit.sum()) and _hard(picture, same, wanted)
    return checked(~(same if hard else _widened(hit, RIM)), f"what is painted in {colour}", True)


def brush(picture: Tensor, name: str) -> str:
    """The colour, #rrggbb, of the paint that a person calls `name` in `picture` (3, h, w).

    Red is a little else in every program that paints, and JPEG changes it. It is that of the name if the picture has
    it. Otherwise it is the most frequent one of that hue which is as vivid: paint has one colour, and what was
    photographed has many. Raises DataError if there is none, or if the picture is grey.
    """
    if picture.ndim != 3 or len(picture) != 3:
        raise DataError(f"a colour, {name}, can be painted into colour pictures only")
    wanted = torch.tensor(ImageColor.getrgb(name)[:3], dtype=picture.dtype) / 127.5 - 1

    def away(colour: Tensor) -> Tensor:
        return (picture - colour[:, None, None]).abs().amax(0)

    near = _called(picture, wanted)
    if not near.any():
        raise DataError(f"nothing in the picture is {name}; give the colour that you painted with as #rrggbb")
    some = picture[:, near].T.contiguous()
    colours, counts = (torch.from_numpy(v) for v in np.unique(some.numpy(), axis=0, return_counts=True))
    flat = int((away(wanted) <= EXACT).sum())
    most = colours[counts.argmax()]
    if flat < max(FEW, PAINT * int(counts.max())):
        if int(counts.max()) >= max(FEW, PAINT * int((away(most) < LIKE).sum())):
            wanted = most
        else:
            peak = _densest(some)
            if int((away(wanted) < TIGHT).sum()) < PAINT * int((away(peak) < TIGHT).sum()):
                wanted = picture[:, away(peak) < LIKE].median(1).values
    return "#{:02x}{:02x}{:02x}".format(*((wanted + 1) * 127.5).round().clamp(0, 255).int().tolist())


def _called(picture: Tensor, wanted: Tensor) -> Tensor:
    """Which pixels of `picture` (3, h, w) have the hue of `wanted` (3,) and are as vivid, (h, w); of a grey, those near
    it.
    """
    spread = float(wanted.max() - wanted.min())
    if spread < LIKE:
        return (picture - wanted[:, None, None]).abs().amax(0) < LIKE
    turn = torch.polar(torch.ones(3, dtype=torch.float64), torch.arange(3).double() * (2 * torch.pi / 3))
    here, there = (torch.einsum("c...,c->...", x.to(turn), turn) for x in (picture, wanted))
    apart = (here * there.conj()).angle().abs()
    return (apart < HUE * torch.pi / 180) & (picture.amax(0) - picture.amin(0) >= VIVID * spread)


def _densest(colours: Tensor) -> Tensor:
    """Where most of `colours` (n, 3) lie, by a histogram whose bins are half of `TIGHT` wide."""
    bins = round(4 / TIGHT)
    place = ((colours + 1) / 2 * bins).long().clamp(0, bins - 1)
    count = torch.bincount((place[:, 0] * bins + place[:, 1]) * bins + place[:, 2], minlength=bins**3)
    smooth = F.avg_pool3d(count.reshape(1, 1, bins, bins, bins).double(), 3, 1, 1)[0, 0]
    at = torch.tensor(np.unravel_index(int(smooth.argmax()), (bins,) * 3))
    return ((at + 0.5) / bins * 2 - 1).to(colours)


def _widened(hit: Tensor, by: int) -> Tensor:
    """`hit` (h, w) with all pixels that lie at most `by` rows and columns away."""
    return F.max_pool2d(hit[None, None].float(), 2 * by + 1, 1, by)[0, 0] > 0


def _hard(picture: Tensor, hit: Tensor, wanted: Tensor) -> bool:
    """Whether the brush of colour `wanted` (3,) that painted `hit` (h, w) into `picture` (3, h, w) has hard edges.

    A pixel of share a of paint is p = a c + (1 − a) q, so a = ⟨p − q, c − q⟩ / |c − q|², with q the mean of the picture
    around it, away from the brush. Texture makes single shares positive or negative; their mean over the edge is 0. It
    is weighted by |c − q|², as a picture of nearly the colour of the paint tells nothing.
    """
    colour = wanted[:, None, None]
    far = (~_widened(hit, RIM)).to(picture)
    side = 4 * RIM + 1
    near = F.avg_pool2d(torch.cat([picture * far, far[None]])[None], side, 1, side // 2)[0]
    edge = _widened(hit, 1) & ~hit & (near[3] > 0)
    if not edge.any():
        return False
    q = near[:3] / near[3].clamp_min(1e-12)
    paint, most = ((picture - q) * (colour - q)).sum(0), (colour - q).square().sum(0)
    return float(paint[edge].sum()) < MIXED * float(most[edge].sum())
