"""`python -m tests.fuzz`: runs the cases and prints counts and every fault.

python -m tests.fuzz                     all of them
python -m tests.fuzz --part              the part that runs in every test run
python -m tests.fuzz --match "npz"       those whose command line or name matches the regular expression
"""

import argparse
import fcntl
import json
import os
import re
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from . import inputs, judge
from .calls import MAY, calls
from .commands import cases
from .known import KNOWN
from .sandbox import Outcome, outcome

Entry = tuple[str, Callable[[], int | None], tuple[str, ...], bool]  # name, what to run, culprits, must be refused


def warm() -> None:
    """Imports what cases need, so that none pays for it."""
    import accelerate, astropy.io.fits, diffusers, h5py, lmdb, matplotlib.figure, onnxruntime, optuna, pyarrow.parquet  # noqa
    import torch

    import xhat.bench.drive, xhat.bench.report.write, xhat.bench.tune, xhat.cli.arguments, xhat.cli.demo  # noqa
    import xhat.exact.grid, xhat.exact.scorecard, xhat.train.autoencoder, xhat.train.denoiser, xhat.train.distil  # noqa

    torch.set_num_threads(1)


def entries(folder: Path) -> list[Entry]:
    """Everything that can be run."""
    from xhat.cli.arguments import main

    out: list[Entry] = []
    for case in cases(folder):
        out.append((f"xhat {case.name}", lambda a=case.argv: main(list(a)), case.culprits, case.refused))
    for name, call in calls().items():
        out.append((f"call {name}", lambda c=call: _called(c), (), name not in MAY))
    return out


def _called(call: Callable[[], object]) -> int:
    """0 if the call returned, 2 and one line if it raised an XhatError."""
    import xhat

    try:
        call()
    except xhat.XhatError as e:
        print(f"xhat: {' '.join(str(e).split())}", file=sys.stderr)
        return 2
    return 0


def chosen(all: list[Entry], part: bool, match: str) -> list[Entry]:
    """Those that match; of them, if `part`, the known ones."""
    found = [e for e in all if re.search(match, e[0])]
    if not part:
        return found
    return [e for e in found if any(re.search(k, e[0]) for k in KNOWN)]


def run(part: bool = False, match: str = "", report: Path | None = None, processes: int = 1) -> Counter[str]:
    """Runs the cases, prints each fault, and returns how many there were of each kind, and of all cases.

    `processes` of them take turns; each has input files of its own. `report` is a file to which a line of JSON is added
    for each case.
    """
    with tempfile.TemporaryDirectory(prefix="xhat-fuzz-") as place:
        warm()
        rows, taken = report or Path(place) / "rows.jsonl", Path(place) / "taken"
        rows.write_text("")
        taken.write_text("0")
        workers = [_worker(Path(place) / str(i), part, match, rows, taken) for i in range(processes)]
        ended = [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers]
        if any(ended):
            raise SystemExit(f"a process of the fuzz itself failed: {ended}")
        counts: Counter[str] = Counter()
        for line in rows.read_text().splitlines():
            _count(counts, json.loads(line))
    return counts


def _worker(keep: Path, part: bool, match: str, rows: Path, taken: Path) -> int:
    """Forks a process that runs one case after another until all of them are taken; returns its id."""
    if child := os.fork():
        return child
    try:
        keep.mkdir()
        os.environ["XHAT_CACHE"] = str(keep / "cache")
        inputs.make(keep / "in")
        todo = chosen(entries(keep / "in"), part, match)
        while (i := _next(taken)) < len(todo):
            name, call, culprits, refused = todo[i]
            ended = outcome(call, keep / "in", keep)
            faults = judge.faults(ended, culprits, refused)
            if (keep / "canary").exists() and any((keep / "canary").iterdir()):
                faults["canary"] = ", ".join(p.name for p in (keep / "canary").iterdir())
                shutil.rmtree(keep / "canary")
            _tell(name, ended, faults)
            row = {"name": name, "faults": faults, "code": ended.code, "err": ended.err[-3000:]}
            with rows.open("a") as f:
                f.write(json.dumps({**row, "s": ended.seconds, "cpu": ended.cpu, "mb": ended.megabytes}) + "\n")
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _next(taken: Path) -> int:
    """The number of the next case, which no other process has."""
    with taken.open("r+") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        i = int(f.read())
        f.seek(0)
        f.write(str(i + 1))
        f.flush()
    return i


def _tell(name: str, ended: Outcome, faults: dict[str, str]) -> None:
    if faults:
        text = "; ".join(f"{k}: {v[:300]}" for k, v in faults.items())
        print(f"{name[:200]!r}\n    {ended.cpu:.1f} s, {ended.megabytes:.0f} MB, {text}", flush=True)


def _count(counts: Counter[str], row: dict[str, Any]) -> None:
    counts["calls" if row["name"].startswith("call ") else "command lines"] += 1
    rightly = row["code"] == 0 and not row["faults"]
    counts["accepted rightly" if rightly else "refused" if row["code"] == 2 else "ended otherwise"] += 1
    for kind in row["faults"]:
        counts[kind] += 1


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--part", action="store_true")
    p.add_argument("--match", default="")
    p.add_argument("--report", type=Path)
    p.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    args = p.parse_args()
    counts = run(args.part, args.match, args.report, args.processes)
    faults = {k: counts[k] for k in (*judge.KINDS, "canary")}
    print(
        ", ".join(
            f"{counts[k]} {k}" for k in ("command lines", "calls", "accepted rightly", "refused", "ended otherwise")
        )
    )
    print(", ".join(f"{n} {kind}" for kind, n in faults.items()))
    return 1 if any(faults.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
