"""How wide intervals must be to hold what they promise, measured on images whose truth is known."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError, MismatchError, SpecError
from ..files import record
from ..files.folder import check_file, sha256
from ..files.room import text_of
from ..noise import Noiseless

LEVELS = (0.5, 0.683, 0.8, 0.9, 0.95)
STD = 0.683  # the level at which an interval is the mean plus and minus one standard deviation of a Gaussian
FLOOR = Noiseless().tolerance  # added in quadrature: the standard deviation of rounding to 8 bits
MOST = 100_000  # numbers of one image that count, evenly spread
PARTS = ("operator", "noise", "solver", "prior", "prior_sha256", "schedule", "samples")  # of a record
KIND = "calibration of intervals"


@dataclass(frozen=True)
class Calibration:
    """The scale for each level: the interval mean ± scale · √(std² + floor²) holds the truth in that share of numbers.

    Fields:
        scales: by level, from 0 to 1.
        covered: by level, the share that was held in images left out of the calibration one by one.
        parts: the specs of operator, noise, solver, prior and schedule, and the number of samples it is for.
        images: how many images it was measured on.
        origin: the file it was read from, with its SHA-256; empty if it comes from none.
    """

    scales: Mapping[float, float]
    covered: Mapping[float, float]
    parts: Mapping[str, Any]
    images: int
    floor: float = FLOOR
    origin: Mapping[str, str] | None = None

    def width(self, std: Tensor, level: float) -> Tensor:
        """Half the width of the interval of `level` where the samples have the standard deviation `std`, (*image).

        Raises SpecError for a level that was not measured.
        """
        if level not in self.scales:
            known = ", ".join(f"{k:g}" for k in self.scales)
            raise SpecError(f"the calibration has intervals of the levels {known}, not {level}")
        return self.scales[level] * (std.square() + self.floor**2).sqrt()

    def check(self, account: Mapping[str, Any]) -> None:
        """Raises MismatchError if the run of which `account` is the record is not of the kind that was measured."""
        for name in PARTS:
            if str(account[name]) != str(self.parts[name]):
                raise MismatchError(
                    f"the calibration was measured for another {name}: {self.parts[name]}, and this is "
                    f"{account[name]}; measure it with xhat calibrate"
                )

    def account(self) -> dict[str, Any]:
        """What a record says of it, and a file holds."""
        scales, covered = ({f"{k:g}": v for k, v in by.items()} for by in (self.scales, self.covered))
        content = {"scales": scales, "covered": covered, "parts": dict(self.parts)}
        return {"kind": KIND, "images": self.images, "floor": self.floor, **content, **(self.origin or {})}

    def save(self, path: str | Path) -> Path:
        """Writes it as JSON. Raises DataError if something else has this name already, and WriteError."""
        path = Path(path)
        check_place(path)
        record.write(path, self.account())
        return path


def check_place(path: Path) -> None:
    """Raises DataError if a calibration cannot be written as `path`, or if something else has this name already."""
    check_file(path)
    if os.path.lexists(path) and record.read(path).get("kind") != KIND:
        raise DataError(f"{path}: is there already and is no calibration; choose another name")


def load_calibration(path: str | Path) -> Calibration:
    """The calibration in a file that `xhat calibrate` has written. Raises DataError if it is none."""
    path = Path(path)
    try:
        content = json.loads(text_of(path))
        if content["kind"] != KIND:
            raise ValueError("kind")
        scales, covered = ({float(k): float(v) for k, v in content[name].items()} for name in ("scales", "covered"))
        if any(not v >= 0 or v == float("inf") for v in scales.values()) or set(PARTS) != set(content["parts"]):
            raise ValueError("scales or parts")
        origin = {"file": str(path), "sha256": sha256(path)}
        return Calibration(scales, covered, content["parts"], int(content["images"]), float(content["floor"]), origin)
    except OSError as e:
        raise DataError(f"{path}: cannot be read: {e.strerror}") from e
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise DataError(f"{path}: is no calibration that xhat calibrate has written") from e


def calibrated(
    found: Sequence[tuple[Tensor, Tensor]], parts: Mapping[str, Any], levels: Sequence[float] = LEVELS
) -> Calibration:
    """The calibration that makes intervals hold the truths of `found`: pairs of samples (n, *image) and truth (*image).

    Split conformal prediction (Papadopoulos et al., 2002; Angelopoulos & Bates, 2021, section 2): a scale is the
    quantile of |truth − mean|/√(std² + floor²), in which all images weigh the same. Numbers of one image depend on each
    other, so what counts is how many images there are; `covered` says what images that were left out hold. Raises
    SpecError for fewer than two images or samples.
    """
    if len(found) < 2 or min(len(x) for x, _ in found) < 2:
        raise SpecError("a calibration takes at least two images, each with at least two samples")
    scores = [score(x, truth) for x, truth in found]
    scales = {level: quantile(scores, level) for level in levels}
    covered = {}
    for level in levels:
        held = [scores[:i] + scores[i + 1 :] for i in range(len(scores))]
        inside = [float((s <= quantile(rest, level)).double().mean()) for s, rest in zip(scores, held, strict=True)]
        covered[level] = sum(inside) / len(inside)
    return Calibration(scales, covered, {k: parts[k] for k in PARTS}, len(found))


def score(x: Tensor, truth: Tensor) -> Tensor:
    """|truth − mean|/√(std² + floor²) of samples `x` (n, *image) in increasing order: up to MOST numbers."""
    spread = (x.var(0).double() + FLOOR**2).sqrt()
    ratio = ((truth - x.mean(0)).double().abs() / spread).flatten()
    return ratio[:: -(-len(ratio) // MOST)].sort().values


def quantile(scores: Sequence[Tensor], level: float) -> float:
    """The smallest number that is at least as large as the share `level` of `scores`, a mean over the images."""
    every = torch.cat(list(scores))
    weight = torch.cat([torch.full_like(s, 1 / len(s) / len(scores)) for s in scores])
    order = every.argsort()
    at = int(torch.searchsorted(weight[order].cumsum(0), level - 1e-12).clamp_max(len(every) - 1))
    return float(every[order][at])


Watch = Callable[[int, int], None]  # how many images are done, and of how many
