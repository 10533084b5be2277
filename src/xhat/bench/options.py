"""How a grid is run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """How a grid is run; no number depends on any of it but the batch size, and on that only by rounding."""

    device: str = "auto"
    batch_size: int | None = None  # images at a time; None: by memory
    keep: bool = False  # pictures of every record
    fresh: bool = False  # compute stale records again
    ray: str | None = None  # "local" or the address of a cluster
    threads: int | None = None  # of each Ray worker
    quiet: bool = False
