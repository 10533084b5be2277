"""`python -m tests.fuzz`: runs the cases and prints counts and every fault.

python -m tests.fuzz                     all of them
python -m tests.fuzz --part              the part that runs in every test run
python -m tests.fuzz --match "npz"       those whose command line or name matches the regular expression
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from . import inputs, judge
from .calls import MAY, calls
from .commands import cases
from .known import KNOWN
from .sandbox import Outcome, outcome

Entry = tuple[str, Callable[[], int | None], tuple[str, ...], bool]  # name, what to run, culprits, must be refused


def warm(folder: Path) -> None:
    """Imports what cases need, so that none pays for it."""
    import accelerate, astropy.io.fits, diffusers, h5py, lmdb, matplotlib.figure, onnxruntime, optuna, pyarrow.parquet  # noqa
    import torch

    import xhat.bench.drive, xhat.bench.report.write, xhat.bench.tune, xhat.cli.arguments, xhat.cli.demo  # noqa
    import xhat.exact.grid, xhat.exact.scorecard, xhat.train.autoencoder, xhat.train.denoiser, xhat.train.distil  # noqa

    torch.set_num_threads(1)
    os.environ["XHAT_CACHE"] = str(folder / "cache")


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


def run(part: bool = False, match: str = "", report: Path | None = None, seconds: float = 1e9) -> Counter[str]:
    """Runs the cases, prints each fault, and returns how many there were of each kind, and of all cases.

    `report` is a file to which a line of JSON is added for each case.
    """
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="xhat-fuzz-") as place:
        keep = Path(place)
        warm(keep)
        inputs.make(keep / "in")
        end = time.monotonic() + seconds
        for name, call, culprits, refused in chosen(entries(keep / "in"), part, match):
            if time.monotonic() > end:
                counts["not run"] += 1
                continue
            ended = outcome(call, keep / "in", keep)
            faults = judge.faults(ended, culprits, refused)
            if (keep / "canary").exists() and any((keep / "canary").iterdir()):
                faults["canary"] = ", ".join(p.name for p in (keep / "canary").iterdir())
            _count(counts, name, ended, faults)
            if report is not None:
                with report.open("a") as f:
                    row = {"name": name, "faults": faults, "code": ended.code, "err": ended.err[-3000:]}
                    f.write(json.dumps({**row, "s": ended.seconds, "mb": ended.megabytes}) + "\n")
    return counts


def _count(counts: Counter[str], name: str, ended: Outcome, faults: dict[str, str]) -> None:
    counts["calls" if name.startswith("call ") else "command lines"] += 1
    counts[
        "accepted rightly" if ended.code == 0 and not faults else "refused" if ended.code == 2 else "ended otherwise"
    ] += 1
    for kind in faults:
        counts[kind] += 1
    if faults:
        text = "; ".join(f"{k}: {v[:300]}" for k, v in faults.items())
        print(f"{name[:200]!r}\n    {ended.seconds:.1f} s, {ended.megabytes:.0f} MB, {text}", flush=True)


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--part", action="store_true")
    p.add_argument("--match", default="")
    p.add_argument("--report", type=Path)
    args = p.parse_args()
    counts = run(args.part, args.match, args.report)
    faults = {k: counts[k] for k in (*judge.KINDS, "canary")}
    print(", ".join(f"{counts[k]} {k}" for k in ("command lines", "calls", "accepted", "refused")))
    print(", ".join(f"{n} {kind}" for kind, n in faults.items()))
    return 1 if any(faults.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
