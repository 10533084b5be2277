"""Images that are known are measured and restored, so that intervals can be made to hold what they promise."""

import logging
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..checks import SEEDS, whole
from ..files.cut import Cut
from ..files.measurement import Source
from ..files.readers.load import load_reference
from ..numerics.device import pick_device
from ..schedule import Schedule
from .coverage import Calibration, Watch, calibrated
from .parts import NoiseLike, OperatorLike, PriorLike, SolverLike, adopted, as_solver, image_for, prior_for
from .restore import restore
from .samplers import POINT
from .simulate import simulate


def calibrate(
    images: Sequence[Source],
    operator: OperatorLike,
    noise: NoiseLike,
    prior: PriorLike = "photo",
    solver: SolverLike | None = None,
    *,
    samples: int = 8,
    schedule: str | Schedule | None = None,
    cut: Cut | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    device: str = "auto",
    watch: Watch | None = None,
) -> Calibration:
    """Measures how wide intervals must be: each of `images` is measured, restored, and compared with itself.

    Example:

        c = xhat.calibrate(photographs, "inpaint:keep=0.3", 0.05, samples=8)
        c.save("inpaint.json")
        r = xhat.restore(y, "inpaint:keep=0.3", 0.05, samples=8, calibration="inpaint.json")
        low, high = r.interval(0.9)

    Parameters:
        images: true images, as `simulate` takes them, that are like those to be restored. How well a level is met
            depends on how many there are: with 20 it is met to a few per cent.
        operator, noise, prior, solver, samples, schedule, batch_size, device: as for `restore`; the calibration holds
            for these alone. A solver that returns a point may be calibrated, too: its spread then becomes an interval.
        cut: what is cut out of each image first.
        seed: image i has the noise of `seed` + i, and sample j of it the random stream `seed` + i · `samples` + j.
        watch: called with how many images are done, and of how many.

    Returns a `Calibration`, for `restore(..., calibration=...)`. Raises SpecError for fewer than two images or samples,
    and what `simulate` and `restore` raise.
    """
    whole("samples", samples, 2, 100_000)
    whole("seed", seed, 0, SEEDS - len(images) * samples)
    place = pick_device(device)
    built = prior_for(as_solver(solver or POINT), prior, place)
    found: list[tuple[Tensor, Tensor]] = []
    parts: dict[str, Any] = {}
    said = Once()
    logging.getLogger("xhat").addFilter(said)
    try:
        for i, image in enumerate(images):
            x = load_reference(image)
            x = cut(x, str(image)) if cut else x
            y = simulate(x, operator, noise, seed + i)
            r = restore(
                y,
                operator,
                noise,
                built,
                solver,
                schedule=schedule,
                samples=samples,
                seed=seed + i * samples,
                batch_size=batch_size,
                device=device,
            )
            parts = dict(r.record)
            found.append((r.images, image_for(adopted(operator, tuple(x.shape)), x)))
            if watch:
                watch(i + 1, len(images))
    finally:
        logging.getLogger("xhat").removeFilter(said)
    return calibrated(found, parts)


class Once(logging.Filter):
    """Lets each message through once, because every image would say it again."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether `record` says anything new."""
        text = record.getMessage()
        new = text not in self.said
        self.said.add(text)
        return new
