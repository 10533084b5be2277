"""Runs one case in a process of its own, forked from one that has imported everything, with limits."""

import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MEMORY = 4 << 30  # bytes of address space beyond what the imports have taken
FILE = 1 << 28  # bytes of a file that is written
CPU = 40  # seconds of each process
STILL = 60  # seconds in which a case that is no hang computes something, however busy the machine is


@dataclass(frozen=True)
class Outcome:
    """What a process left behind."""

    code: int | None  # exit code, negative for a signal, None if it ran into the limit of CPU time, or did nothing more
    out: str
    err: str
    left: tuple[str, ...]  # files and folders in its own folder, which was empty before
    changed: tuple[str, ...]  # files of the input folder that it changed
    seconds: float  # by the clock on the wall: a busy machine makes more of them
    cpu: float  # seconds of computing
    megabytes: float  # at its peak


def outcome(call: Callable[[], int | None], inputs: Path, keep: Path) -> Outcome:
    """Calls `call` in a forked process whose working folder is new and empty; inputs lie in `../in`.

    `keep` is the folder in which `inputs` and the working folder lie.
    """
    folder = Path(tempfile.mkdtemp(dir=keep, prefix="case-"))
    before = snapshot(inputs)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        code, usage, seconds = _forked(call, folder, (out, err))
        texts = [_text(stream) for stream in (out, err)]
    left = tuple(sorted(str(p.relative_to(folder)) for p in folder.rglob("*")))
    shutil.rmtree(folder, ignore_errors=True)
    now = snapshot(inputs)
    changed = tuple(sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k)))
    return Outcome(code, *texts, left, changed, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _forked(
    call: Callable[[], int | None], folder: Path, streams: tuple[IO[bytes], ...]
) -> tuple[int | None, resource.struct_rusage, float]:
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            os._exit(_inside(call, folder, [s.fileno() for s in streams]))
        except BaseException:
            os._exit(99)
    code, usage = _waited(child, began)
    return code, usage, time.monotonic() - began


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "replace")


def _inside(call: Callable[[], int | None], folder: Path, streams: list[int]) -> int:
    os.setsid()
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, stream in zip((1, 2), streams, strict=True):
        os.dup2(stream, number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 2 << 20
    for what, most in (
        (resource.RLIMIT_AS, pages * resource.getpagesize() + MEMORY),
        (resource.RLIMIT_FSIZE, FILE),
        (resource.RLIMIT_CPU, CPU),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    try:
        code = call()
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code or 0


def _waited(child: int, began: float) -> tuple[int | None, resource.struct_rusage]:
    """The exit code, None for a hang, and what was used. A hang is judged by CPU time: a busy machine is none."""
    looked, done_before = began, -1.0
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return (None if code in (-signal.SIGKILL, -signal.SIGXCPU) else code), usage
        if time.monotonic() - looked > STILL:
            computed = _computed(child)
            if computed <= done_before:
                os.killpg(child, signal.SIGKILL)
                return None, os.wait4(child, 0)[2]
            looked, done_before = time.monotonic(), computed
        time.sleep(0.004)


def _computed(leader: int) -> float:
    """Seconds of CPU time of all processes of the session of `leader`."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(words[3]) == leader:
            ticks += sum(int(w) for w in words[11:15])  # its own, and of its children that have ended
    return ticks / os.sysconf("SC_CLK_TCK")


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of the last change of every file in `folder`, by path."""
    found = {}
    for p in folder.rglob("*"):
        s = p.lstat()
        found[str(p.relative_to(folder))] = (0 if p.is_dir() else s.st_size, s.st_mtime_ns)
    return found
