"""Records of `xhat bench` of schema 1 as records of schema 2.

    python -m benchmarks.upgrade runs/mine docs/results/*

rewrites `records.jsonl` of each folder; records of schema 2 in it stay as they are. What schema 1 does not say stays
unknown, and `code` is the fingerprint that was written then, so that the records count as made by other code.
"""

import argparse
import json
from pathlib import Path

from xhat.bench.schema import validate
from xhat.files.record import finite
from xhat.files.rows import Row
from xhat.files.writing import atomic
from xhat.task.account import blank

SAME = (
    *("key", "cell", "task", "label", "prior", "data", "operator", "schedule", "samples", "noise", "solver"),
    *("image", "seed", "stream", "per_image", "status", "error", "returns", "prior_sha256"),
)


def upgraded(old: Row) -> Row:
    """One record; numbers of several samples stay the one mean that schema 1 has."""
    ok, run, versions = old["status"] == "ok", old["run"], dict(old["versions"])
    provenance = {k: run[k] for k in ("time", "host", "process", "threads")}
    row = (
        blank()
        | {k: old[k] for k in SAME}
        | {
            "image_shape": old["shape"],
            "seeds": [old["stream"] + i for i in range(old["samples"])],
            "measurements": 1,
            "batch_size": run["batch"] and run["batch"] * old["samples"],
            "smallest_residual": 0 if ok and old["samples"] == 1 else None,
            "stopped_at_step": [None] * old["samples"] if ok else [],
            "metrics": {k: [v] for k, v in old["metrics"].items()},
            "calls": {
                k: old["operator_calls" if k == "operator" else k] for k in ("forwards", "backwards", "operator")
            },
            "seconds": run["seconds"],
            "measurement": f"simulated with {old['operator']}",
            "reference_sha256": old["image_sha256"] or None,
            "code": versions.pop("code"),
            "versions": versions,
            "device": run["device"],
            "provenance": {"command": None, **provenance, "file": None, "file_sha256": None},
        }
    )
    row |= {k: [old[k]] if ok else [] for k in ("residual", "expected_residual", "residual_ratio")}
    validate(row, f"record {old['key']}")
    return row


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path, nargs="+")
    for folder in p.parse_args().folder:
        path = folder / "records.jsonl"
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        new = [upgraded(r) if r["schema"] == 1 else r for r in rows]
        text = "".join(json.dumps(finite(r), ensure_ascii=False, allow_nan=False) + "\n" for r in new)
        atomic(path, lambda file, text=text: file.write_text(text, encoding="utf-8"))
        print(f"{path}: {sum(r['schema'] == 1 for r in rows)} of {len(rows)} records upgraded")


if __name__ == "__main__":
    main()
