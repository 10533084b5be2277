"""What a grid will take, estimated before it starts from counts and a call of each network, and judged by its pace."""

from collections.abc import Callable, Sequence
from math import prod

from ..baselines.base import Baseline
from ..effort import check_time, estimating
from ..errors import XhatError
from ..files.rows import Row
from ..numerics.device import pick_device
from ..task import cost
from ..task.parts import as_solver
from .clock import Clock
from .evaluate import Work, task_of
from .folder import RunFolder
from .grid import Cell
from .images import open_images
from .options import Options
from .queue import works

WHAT, SMALLER = "this grid", "fewer --images, --solver or --task"
KEPT = f"what is computed is kept; {SMALLER}"
TRIED = 60.0  # seconds that are computed before the pace of a grid is judged


def check_cost(cells: Sequence[Cell], folder: RunFolder, options: Options) -> None:
    """Raises TooMuchError if the images of a batch need more memory than is free, and TooLongError if what the folder
    lacks of `cells` takes more than an hour; both only if the user of a command has not agreed.

    Both are lower bounds, as for a restoration. On a cluster nothing is estimated: its machines are other ones.
    """
    if not estimating() or options.ray is not None:
        return
    seconds = 0.0
    for spec in dict.fromkeys(cell.prior for cell in cells):  # one prior is loaded at a time
        for cell in (c for c in cells if c.prior == spec):
            keys = [key for work in works(cell, 1) for key in work.keys]
            if left := len(folder.missing(keys)):
                seconds += left * record_seconds(cell, options.device, min(options.batch_size or 1, len(keys)))
    check_time(seconds, WHAT, SMALLER)


def record_seconds(cell: Cell, device: str, images: int = 1) -> float:
    """The seconds that one record of `cell` takes at least. Raises TooMuchError if `images` at a time do not fit.

    A cell that cannot be computed takes none: its records will say why.
    """
    solver = as_solver(cell.solver)
    if isinstance(solver, Baseline):
        return 0.0
    try:
        job = task_of(Work(cell, cell.seeds[0], tuple(open_images(cell.data).names()[:1])), device).job(device)
    except XhatError:
        return 0.0
    shape = job.like.A.shape
    seconds, size = cost.trial(job.prior, shape, job.like.y.device)
    cost.check_memory(images * cell.samples, max(size, 4.0 * cost.COPIES * prod(shape)), shape, pick_device(device))
    return seconds * job.steps * len(job.spans) * cell.samples


def paced(works: Sequence[Work]) -> Callable[[Work, Sequence[Row], float], None]:
    """Called with each finished work, its rows and the number of works at a time: once a minute was computed, judges
    how long the rest of `works` takes at that pace.
    """
    clock, judged = Clock(works), not estimating()

    def look(work: Work, rows: Sequence[Row], workers: float) -> None:
        nonlocal judged
        clock.note(work, sum(row["seconds"] or 0.0 for row in rows))
        if not judged and sum(seconds for seconds, _ in clock.taken.values()) > TRIED:
            judged = True
            check_time(clock.seconds_left(workers) or 0.0, WHAT, KEPT)

    return look
