"""Reconstructions as pictures of the sky: FITS images with celestial axes, and a figure with scale and beam."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ...files.extras import extra
from ...notes import note
from ...operators.answer import Answer
from ...operators.modality import Put, Raster
from .observation import MICROARCSECOND, Array, Observation

DARK = 0.02  # of the total: less negative flux than that is rounding and ringing that nobody sees
DAY_ZERO = date(1858, 11, 17)  # the day 0 of the modified Julian date


@dataclass(frozen=True, kw_only=True)
class Sky(Raster):
    """Flux of a part of the sky on [−1, 1], (1, h, w): north up and east left, black is no flux."""

    name: str = "image of the sky"
    channels: int = 1
    observation: Observation
    beam: tuple[float, float, float]  # of the array with its thermal noise, as `Observation.beam` has it
    pixel: float  # the side of a pixel in radians
    white: float  # Jy/pixel of x = 1
    total: float | None  # Jy, if it is known: figures and FITS images are scaled to it, for closures know no flux

    def __post_init__(self) -> None:
        if self.total == 0:  # an array that has not observed yet: its visibilities are 0, and tell no flux
            object.__setattr__(self, "total", None)

    def write(self, images: Mapping[str, Tensor], depth: int) -> dict[str, Put]:
        """Pictures, and FITS images with celestial axes, each of the total flux, if astropy is installed."""
        made = super().write(images, depth)
        if find_spec("astropy"):
            for name, x in images.items():
                made[f"{name}.fits"] = partial(write_fits, jansky=flux(x) * self.jansky(x), sky=self)
        return made

    def files(self, answer: Answer) -> Mapping[str, Put]:
        """The standard deviation of samples as FITS, in the scale of their mean; a figure if there is matplotlib."""
        scale, made = self.jansky(answer.mean), dict[str, Put]()
        if (dark := darkness(answer.first)) > DARK:
            note(
                "the restored sky has negative flux, %.0f %% of its total, which no sky has: the solvers map and rml "
                "keep to positive flux",
                100 * dark,
            )
        if find_spec("astropy") and (std := answer.posterior_std) is not None:
            made["std.fits"] = partial(write_fits, jansky=std[0].numpy() / 2 * scale, sky=self)
        if find_spec("matplotlib"):
            made["figure.png"] = partial(draw, answer=answer, sky=self, scale=scale)
        return made

    def jansky(self, x: Tensor) -> float:
        """Jy/pixel of white that makes the total flux of `x` the known one; it is `white` if none is known."""
        found = float(flux(x).sum())
        return self.white if self.total is None or found <= 0 else self.total / found


def flux(x: Tensor) -> Array:
    """An image `x` (1, h, w) as flux per pixel in units of white, (h, w)."""
    found: Array = (x[0].double().numpy() + 1) / 2
    return found


def darkness(x: Tensor) -> float:
    """The negative flux of an image `x` (1, h, w), as a fraction of its total."""
    found = flux(x)
    return float(-found.clip(max=0).sum() / max(float(found.sum()), 1e-12))


def write_fits(path: Path, jansky: Array, sky: Sky) -> None:
    """Writes `jansky` (h, w) in Jy/pixel, north up and east left, as a FITS image in the orthographic (SIN)
    projection.
    """
    fits = extra("astropy.io.fits", path.name)
    o, degrees = sky.observation, sky.pixel / np.pi * 180
    h, w = jansky.shape
    wide, narrow, angle = sky.beam
    head = fits.Header()
    head["OBJECT"], head["BUNIT"], head["RADESYS"], head["EQUINOX"] = o.source, "JY/PIXEL", "ICRS", 2000.0
    placed = math.isfinite(o.ra) and math.isfinite(o.dec)
    ra, dec = (o.ra, o.dec) if placed else (0.0, 0.0)
    for axis, kind, centre, step, n in ((1, "RA---SIN", ra, -degrees, w), (2, "DEC--SIN", dec, degrees, h)):
        head[f"CTYPE{axis}"], head[f"CRVAL{axis}"], head[f"CUNIT{axis}"] = kind, centre, "deg"
        head[f"CDELT{axis}"], head[f"CRPIX{axis}"] = step, (n + 1) / 2
    if not placed:
        head["COMMENT"] = "the observation does not tell where the source is: CRVAL1 and CRVAL2 are offsets from it"
    head["FREQ"], head["ORIGIN"] = o.frequency, "xhat"
    hours = float(np.mean([o.time.min(), o.time.max()]))
    head["MJD-OBS"] = head["MJD"] = o.mjd + hours / 24  # eht-imaging reads MJD
    head["DATE-OBS"] = (datetime.combine(day(o), time()) + timedelta(hours=hours)).isoformat(timespec="seconds")
    head["BMAJ"], head["BMIN"], head["BPA"] = wide / np.pi * 180, narrow / np.pi * 180, angle
    fits.PrimaryHDU(jansky[::-1].astype(np.float32), head).writeto(path, overwrite=True)  # FITS counts rows upwards


def draw(path: Path, answer: Answer, sky: Sky, scale: float, most: int = 4) -> None:
    """Draws the mean, the standard deviation of samples, and the `most` images that fit best, each with its χ², and the
    beam.
    """
    Figure = extra("matplotlib.figure", path.name).Figure
    Ellipse = extra("matplotlib.patches", path.name).Ellipse
    o, n = sky.observation, len(answer.images)
    panels: list[tuple[str, Array, str]] = [
        (f"mean of {n}" if n > 1 else "restored", flux(answer.mean) * scale, "afmhot"),
    ]
    if n > 1:
        if (std := answer.posterior_std) is not None:
            panels.append(("standard deviation", std[0].double().numpy() / 2 * scale, "viridis"))
        order = answer.residual.argsort().tolist()[:most]
        panels += [(chi(answer, i), flux(answer.images[i]) * scale, "afmhot") for i in order]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.1 * columns + 0.3, 3.7 * rows + 0.5), dpi=110, layout="constrained")
    figure.suptitle(f"{title(o)}\n{chi(answer, None) if n > 1 else chi(answer, 0)}", fontsize=11, parse_math=False)
    half_w, half_h = (k * sky.pixel / MICROARCSECOND / 2 for k in (answer.first.shape[2], answer.first.shape[1]))
    for i, (name, jansky, colours) in enumerate(panels):
        axes: Any = figure.add_subplot(rows, columns, i + 1)
        shown = axes.imshow(1e3 * jansky, cmap=colours, extent=(half_w, -half_w, -half_h, half_h), vmin=0)
        figure.colorbar(shown, ax=axes, shrink=0.85, label="mJy/pixel")
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("relative RA (µas)", fontsize=8)
        axes.set_ylabel("relative Dec (µas)", fontsize=8)
        if i == 0:
            wide, narrow, angle = sky.beam
            wide, narrow = wide / MICROARCSECOND, narrow / MICROARCSECOND
            corner = (half_w - 0.65 * wide, -half_h + 0.65 * wide)
            axes.add_patch(Ellipse(corner, wide, narrow, angle=90 - angle, fill=False, color="white", lw=1))
    figure.savefig(path)


def title(o: Observation) -> str:
    """Source, day and frequency of an observation as text."""
    return f"{o.source}, {day(o)}, {o.frequency / 1e9:.1f} GHz"


def day(o: Observation) -> date:
    """The day of an observation."""
    return DAY_ZERO + timedelta(days=o.mjd)


def chi(answer: Answer, i: int | None) -> str:
    """The reduced χ² of closure phases and log closure amplitudes as text, of sample `i`, or of the mean if it is
    None.
    """
    prefix, at, name = ("mean_", 0, "mean") if i is None else ("", i, f"sample {i}" if len(answer.images) > 1 else "")
    parts = [
        f"{text} {float(answer.metrics[prefix + key][at]):.2f}"
        for key, text in (("chi2_cp", "χ²(φ)"), ("chi2_lca", "χ²(ln A)"))
        if prefix + key in answer.metrics
    ]
    return f"{name + ': ' if name else ''}{', '.join(parts)}"
