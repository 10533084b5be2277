"""The same works on Ray: one worker per GPU or group of cores, dynamic scheduling; a dead worker's work is done
again.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import SpecError
from ..files.extras import install
from .evaluate import Done, Work, broken, evaluate
from .options import Options
from .queue import Queue

TRIES = 3  # a work whose worker has died this often is recorded as an error
STARTS = 3  # attempts to start a local cluster: Ray waits 30 s, which a busy machine may exceed
GROUP = 4  # default number of cores of a worker without a GPU


class Worker:
    """A process that keeps the prior it used last."""

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)

    def ready(self) -> None:
        """Returns once the process runs."""

    def evaluate(self, work: Work, metrics: Sequence[str], device: str, keep: bool) -> list[Done]:
        """The records of `work`, as `evaluate.evaluate` gives them."""
        return evaluate(work, metrics, device, keep)


def computed(queue: Queue, metrics: Sequence[str], options: Options, keep: bool) -> Iterator[tuple[Work, list[Done]]]:
    """Yields each work with its records, in the order in which they end.

    Raises SpecError if Ray is not installed or there is no cluster.
    """
    try:
        import ray
    except ImportError as e:
        raise SpecError(f"--ray needs one more package: {install('cluster')}") from e
    own = not ray.is_initialized()
    if own:
        connect(str(options.ray))
    try:
        yield from _scheduled(ray, queue, metrics, options, keep)
    finally:
        if own:
            ray.shutdown()


def connect(address: str) -> None:
    """Starts a cluster on this machine if `address` is `local`, otherwise connects to the one at `address`.

    Raises SpecError if there is none.
    """
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        options["include_dashboard"] = False
    for left in reversed(range(STARTS)):
        try:
            ray.init(**options)
            return
        except Exception as e:  # Ray has no common class for what goes wrong here
            ray.shutdown()
            if not left or address != "local":
                raise SpecError(f"--ray {address}: no cluster there ({' '.join(str(e).split())[:200]})") from e


def groups(nodes: Sequence[dict[str, Any]], threads: int | None) -> tuple[int, dict[str, Any], int]:
    """The number of workers, what each asks of Ray, and its number of threads."""
    resources = [n["Resources"] for n in nodes if n["Alive"]]
    gpus = int(sum(r.get("GPU", 0) for r in resources))
    if gpus:
        return gpus, {"num_gpus": 1, "num_cpus": 1}, threads or 1
    cores = [int(r.get("CPU", 0)) for r in resources]
    each = threads or max(1, min(GROUP, *cores) if len(cores) > 1 else min(GROUP, cores[0]))
    return max(1, sum(c // each for c in cores)), {"num_cpus": each}, each


def _scheduled(
    ray: Any, queue: Queue, metrics: Sequence[str], options: Options, keep: bool
) -> Iterator[tuple[Work, list[Done]]]:
    count, needs, threads = groups(ray.nodes(), options.threads)
    remote = ray.remote(**needs)(Worker)
    device = "cuda" if "num_gpus" in needs and options.device == "auto" else options.device
    idle: list[Any] = []
    busy: dict[Any, tuple[Any, Work | None]] = {}  # answer awaited → worker, and its work unless it is starting
    died: Counter[Work] = Counter()

    def start() -> None:
        worker = remote.remote(threads)
        busy[worker.ready.remote()] = worker, None

    for _ in range(min(count, len(queue.waiting))):
        start()
    while True:
        working = any(work for _, work in busy.values())
        while idle and (work := queue.take(wait=not working)):
            worker = idle.pop()
            busy[worker.evaluate.remote(work, metrics, device, keep)] = worker, work
            working = True
        if not working and (idle or not queue.waiting):
            return
        (answer, *_), _ = ray.wait(list(busy), num_returns=1)
        worker, finished = busy.pop(answer)
        try:
            done = ray.get(answer)
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError as e:
            start()
            if finished is None:
                continue
            died[finished] += 1
            if died[finished] < TRIES:
                queue.give_back(finished)
            else:
                yield finished, broken(finished, f"its worker died {TRIES} times ({type(e).__name__})", options.device)
            continue
        idle.append(worker)
        if finished is not None:
            yield finished, done
