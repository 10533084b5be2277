"""A prior's own error at each noise level, E‖x₀ − E[x₀|x_t]‖²/n, measured once and kept in a small table.

prior = build_prior("diffusers:path=FOLDER")
measure(prior, images).write("FOLDER/calibration.json")     # read when the folder is loaded again
"""

import json
import math
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import DataError
from ..files.room import text_of
from ..files.writing import write_text
from ..numerics.linalg import sq
from ..rng import Rng
from ..schedule import Level
from ..types import Image
from .base import Prior


def spaced(lo: float = 0.005, hi: float = 20.0, n: int = 14) -> tuple[float, ...]:
    """`n` noise levels from `lo` to `hi`, uniform in ln σ, rounded to 6 decimals so that they read well in a file."""
    return tuple(round(lo * (hi / lo) ** (i / (n - 1)), 6) for i in range(n))


@dataclass(frozen=True)
class Calibration:
    """The mean squared error per pixel, `mse[i]`, at noise level `sigma[i]`; `sigma` increases.

    Both are in units of images in [−1, 1].
    """

    sigma: tuple[float, ...]
    mse: tuple[float, ...]

    def __call__(self, ratio: float) -> float:
        """The mean squared error at noise level `ratio` = ρ, by interpolation in ln ρ and ln mse.

        Below the table it is a constant fraction of ρ², above it a constant. It never exceeds ρ², the error of the
        noisy image itself.
        """
        if ratio <= self.sigma[0]:
            found = self.mse[0] * (ratio / self.sigma[0]) ** 2
        elif ratio >= self.sigma[-1]:
            found = self.mse[-1]
        else:
            i = bisect_right(self.sigma, ratio)
            part = math.log(ratio / self.sigma[i - 1]) / math.log(self.sigma[i] / self.sigma[i - 1])
            found = self.mse[i - 1] ** (1 - part) * self.mse[i] ** part
        return min(found, ratio**2)

    def write(self, file: str | Path) -> None:
        """Writes the table to `file` as JSON."""
        write_text(file, json.dumps({"sigma": self.sigma, "mse": self.mse}, indent=1) + "\n")

    @classmethod
    def read(cls, file: str | Path) -> "Calibration":
        """Reads the table in `file`.

        Raises DataError if the file does not hold two columns of positive numbers of equal length with `sigma`
        increasing.
        """
        try:
            content = json.loads(text_of(Path(file)))
            new = cls(tuple(map(float, content["sigma"])), tuple(map(float, content["mse"])))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as e:
            raise DataError(f"{file} is no calibration table: {e!r}") from e
        rising = all(a < b for a, b in zip(new.sigma, new.sigma[1:], strict=False))
        if len(new.sigma) != len(new.mse) or not new.sigma or not rising or min(new.sigma + new.mse) <= 0:
            raise DataError(f"{file} is no calibration table: sigma must increase, and mse have one number for each")
        return new


@torch.no_grad()
def measure(prior: Prior, images: Image, sigmas: tuple[float, ...] = spaced(), seed: int = 0) -> Calibration:
    """Measures the error of `prior` on `images` at every noise level of `sigmas`.

    `images` is (b, *image), samples of what the prior models, in its units. The noise is drawn from the seeds `seed`,
    `seed` + 1, … of the images.
    """
    rng = Rng(range(seed, seed + len(images)))
    table = []
    for sigma in sigmas:
        x = images + sigma * rng.randn_like(images)
        error = sq(prior(x, Level(sigma, 1.0, sigma)) - images) / images[0].numel()
        # Four digits are enough: the error of a mean over a few images is larger than the rounding.
        table.append(float(f"{float(error.mean()):.4g}"))
    return Calibration(tuple(sigmas), tuple(table))
