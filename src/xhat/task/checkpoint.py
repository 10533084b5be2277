"""A run on disk: enough to continue bit for bit after Ctrl-C, and to refuse if the problem is another one."""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ..errors import DataError, MismatchError, WriteError
from ..files.writing import save_torch
from ..notes import tell
from ..numerics.calls import Calls
from ..solvers.base import State, mapped


@dataclass(frozen=True)
class Snapshot:
    """The state of a run: finished images, and the step, state and random streams of the sub-batch that is being
    computed.
    """

    images: list[Tensor] = field(default_factory=list)  # the images of each finished sub-batch
    kernels: list[Tensor] = field(default_factory=list)  # those that were found, if the problem is a blind one
    frozen: list[Tensor] = field(default_factory=list)  # (b,) step at which each image stopped, 0 if it did not
    frames: list[tuple[int, Tensor]] = field(default_factory=list)  # recorded (step, x̂₀) of the first image
    step: int = 0
    state: State | None = None
    stopped: Tensor | None = None  # `frozen` of the sub-batch that is being computed
    rng: list[Tensor] = field(default_factory=list)
    calls: Calls = field(default_factory=Calls)
    seconds: float = 0.0


@dataclass
class Checkpoint:
    """Writes snapshots to `path` at most every `every` seconds; `identity` says what is being solved."""

    path: Path
    identity: dict[str, str]
    every: float = 30.0
    last: Snapshot | None = None
    written: float = field(default_factory=time.monotonic)
    stored: Snapshot | None = None  # what the file holds, as far as this process has written it
    warned: bool = False

    def note(self, snapshot: Snapshot) -> None:
        """Keeps `snapshot`, and writes it if the last one was written `every` seconds ago."""
        self.last = snapshot
        if time.monotonic() - self.written >= self.every:
            self.flush()

    def flush(self) -> None:
        """Writes the last snapshot. If it is interrupted, the file before it remains.

        A disk that does not take it is a note on stderr: the run is worth more than its checkpoint.
        """
        if self.last is not None:
            try:
                save_torch(self.path, {"identity": self.identity, **pack(self.last)})
                self.stored = self.last
            except WriteError as e:
                if not self.warned:
                    tell(f"{e}; the run goes on without this checkpoint")
                self.warned = True
        self.written = time.monotonic()

    def finish(self, snapshot: Snapshot) -> None:
        """Writes the finished run, so that nothing is lost if its result cannot be written."""
        self.last = snapshot
        self.flush()

    def check_new(self) -> None:
        """Raises DataError if the file is there already, because a new run would take its place."""
        if os.path.lexists(self.path):
            raise DataError(
                f"{self.path}: holds an interrupted run; --resume (in Python resume=True) goes on with it; "
                "deleting the file gives it up"
            )

    def remove(self) -> None:
        """Deletes the file."""
        self.path.unlink(missing_ok=True)

    def load(self) -> Snapshot:
        """The snapshot in the file.

        Raises DataError if there is nothing to resume, and MismatchError that names what has changed.
        """
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            identity = content.pop("identity")
        except FileNotFoundError as e:
            raise DataError(f"{self.path}: nothing to resume here") from e
        except Exception as e:  # torch and pickle have many errors for a broken file
            raise DataError(f"{self.path}: not a checkpoint ({type(e).__name__})") from e
        keys = self.identity.keys() | identity.keys()
        if changed := sorted(k for k in keys if identity.get(k) != self.identity.get(k)):
            was = "; ".join(f"{k} was {identity.get(k)}, is {self.identity.get(k)}" for k in changed)
            raise MismatchError(f"{self.path}: cannot resume another problem: {was}")
        return unpack(content)


def window_of(path: Path) -> int | None:
    """The most frames that the run in the file `path` takes at once, so that it goes on as it began; None for pictures
    and for what is no such file.
    """
    try:
        identity = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["identity"]
        spans, shape = (json.loads(identity.get(k, "[]")) for k in ("windows", "image_shape"))
        return max(end - begin for begin, end in spans) if spans else int(shape[1]) if len(shape) == 4 else None
    except Exception:  # `load` says what is wrong with it
        return None


def pack(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot as tensors, numbers and names only, so that loading needs no trust in the file."""
    content = {f.name: getattr(snapshot, f.name) for f in fields(snapshot)}
    state = snapshot.state
    content["calls"] = vars(snapshot.calls)
    content["state"] = state and asdict(mapped(Tensor.cpu, state))
    content["kind"] = type(state).__name__
    return content


def unpack(content: dict[str, Any]) -> Snapshot:
    """The snapshot that `pack` turned into `content`."""
    kind, state = content.pop("kind"), content.pop("state")
    if state is not None:
        state = _rebuilt(next(cls for cls in _states(State) if cls.__name__ == kind), state)
    return Snapshot(**{**content, "calls": Calls(**content["calls"]), "state": state})


def _rebuilt(cls: type[Any], values: dict[str, Any]) -> Any:
    """The dataclass of tensors, or of dataclasses of tensors, that `asdict` turned into `values`."""
    kinds = {f.name: f.type for f in fields(cls)}
    return cls(**{k: v if isinstance(v, Tensor) else _rebuilt(cast(type, kinds[k]), v) for k, v in values.items()})


def _states(cls: type[State]) -> Iterable[type[State]]:
    yield cls
    for sub in cls.__subclasses__():
        yield from _states(sub)


def to_device(state: State, device: torch.device) -> State:
    """The state with its tensors on `device`."""
    return mapped(lambda v: v.to(device), state)


def digest(tensors: Iterable[Tensor]) -> str:
    """A short fingerprint of values, shapes and dtypes."""
    sha = hashlib.sha256()
    for x in tensors:
        sha.update(f"{x.dtype}{tuple(x.shape)}".encode())
        sha.update(x.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:16]
