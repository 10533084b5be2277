"""What the page is drawn from: names, means, every image's numbers, and as many pictures as the budget allows."""

import base64
import io
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...files.pictures import opened
from ...files.rows import Row
from ..folder import RunFolder
from ..stats import COSTS, Mean, digits, higher, summary, value
from ..stats import cells as by_cell
from ..tables import arrow

NUMBERS = ("residual_ratio", *COSTS, "seconds")
WORDS = {
    "residual_ratio": "residual / expected",
    "forwards": "network forwards",
    "backwards": "network backwards",
    "operator": "operator calls",
    "seconds": "seconds",
}


def payload(
    run: Path, content: Mapping[str, Any], rows: Sequence[Row], sets: Mapping[str, Any], budget: int
) -> dict[str, Any]:
    """Everything on the page as JSON; `budget` in bytes is for the pictures, worst problems first.

    Raises DataError if there are no records.
    """
    if not rows:
        raise DataError(f"{run}: holds no records of its grid yet")
    lines = summary(rows)
    names = metric_names(content, rows)
    groups = list(dict.fromkeys((line["prior"], line["data"]) for line in lines))
    return {
        "title": content["title"],
        "about": content["about"],
        "baseline": content.get("baseline"),
        "facts": facts(rows),
        "metrics": [_described(n) for n in names]
        + [_described(n) for n in sorted({k for s in sets.values() for k in s} - {"images"})],
        "numbers": [_described(n) for n in NUMBERS],
        "groups": [f"{prior} on {data}" for prior, data in groups],
        "cells": [_cell(line, groups, sets.get(line["cell"], {})) for line in lines],
        "rows": [_row(r, names) for r in rows],
        "pictures": pictures(RunFolder(run), rows, names[0], budget) if names else {},
        "published": [against(table, lines, sets) for table in content.get("published", [])],
    }


def metric_names(content: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """The names of the grid's metrics, followed by those that samples add."""
    there = dict.fromkeys(m for r in rows for m in r["metrics"])
    return [*(m for m in content["metrics"] if m in there), *(m for m in there if m not in content["metrics"])]


def facts(rows: Sequence[Row]) -> dict[str, Any]:
    """The facts that a table must state: counts, versions, machines."""
    unlike = {k: sorted({r["versions"][k] for r in rows}) for k in ("xhat", "torch")}
    codes = {cell: {r["code"] for r in mine} for cell, mine in by_cell(rows).items()}
    return {
        "images": len({(r["data"], r["image"]) for r in rows}),
        "seeds": len({r["seed"] for r in rows}),
        "records": len(rows),
        "failed": sum(r["status"] in ("diverged", "error") for r in rows),
        "unfit": sum(r["status"] == "n/a" for r in rows),
        "versions": {k: ", ".join(v) for k, v in unlike.items()},
        "mixed": sorted(k for k, v in unlike.items() if len(v) > 1)
        + ["code"] * any(len(c) > 1 for c in codes.values()),
        "hosts": len({r["provenance"]["host"] for r in rows}),
        "devices": ", ".join(sorted({r["device"] for r in rows})),
        "threads": ", ".join(str(t) for t in sorted({r["provenance"]["threads"] for r in rows})),
        "last": max(r["provenance"]["time"] for r in rows),
    }


def _described(name: str) -> dict[str, Any]:
    return {"name": name, "label": WORDS.get(name, arrow(name)), "higher": higher(name), "digits": digits(name)}


def _short(v: float | None) -> float | None:
    return None if v is None else float(f"{v:.6g}")


def _cell(line: Mapping[str, Any], groups: Sequence[tuple[str, str]], sets: Mapping[str, float]) -> dict[str, Any]:
    keys = (
        "cell",
        "task",
        "label",
        "solver",
        "operator",
        "noise",
        "returns",
        "samples",
        "records",
        "failed",
        "fits",
        "why",
    )
    means: dict[str, Mean] = line["numbers"]
    numbers = {k: [_short(m.value), _short(m.half), m.images] for k, m in means.items()}
    numbers |= {k: [_short(v), None, sets.get("images", 0)] for k, v in sets.items() if k != "images"}
    return {k: line[k] for k in keys} | {
        "group": groups.index((line["prior"], line["data"])),
        "numbers": numbers,
        "top": line["top"],
    }


def _row(r: Row, names: Sequence[str]) -> dict[str, Any]:
    numbers = {n: _short(value(r, n)) for n in (*names, *NUMBERS)}
    keys = ("key", "cell", "image", "seed", "status", "error")
    return {k: r[k] for k in keys} | {"n": {k: v for k, v in numbers.items() if v is not None}}


def pictures(folder: RunFolder, rows: Sequence[Row], metric: str, budget: int) -> dict[str, dict[str, str]]:
    """For each record, its truth, measurement and restored image as data URIs.

    Problems are taken as a whole, the worst first, until `budget` bytes are used.
    """
    problems: dict[tuple[Any, ...], list[Row]] = {}
    for r in rows:
        if folder.picture(r, "x"):
            problems.setdefault((r["task"], r["data"], r["prior"], r["image"], r["seed"]), []).append(r)
    sign = 1 if higher(metric) else -1
    worst = sorted(problems.values(), key=lambda p: min(sign * (value(r, metric) or 0.0) for r in p))
    out: dict[str, dict[str, str]] = {}
    for turn in _by_task(worst):
        files = {(r["key"], n): f for r in turn for n in ("truth", "y", "x") if (f := folder.picture(r, n))}
        uris = {f: _uri(f) for f in dict.fromkeys(files.values())}
        budget -= sum(map(len, uris.values()))
        if budget < 0:
            break
        for (key, name), file in files.items():
            out.setdefault(key, {})[name] = uris[file]
    return out


def _by_task(problems: Sequence[list[Row]]) -> list[list[Row]]:
    """The worst problem of every task, then the second worst of every task, and so on."""
    seen: dict[str, int] = {}
    order: list[tuple[int, int, list[Row]]] = []
    for p in problems:
        rank = seen[p[0]["task"]] = seen.get(p[0]["task"], -1) + 1
        order.append((rank, len(order), p))
    return [p for _, _, p in sorted(order, key=lambda item: item[:2])]


def _uri(file: Path) -> str:
    """A picture as lossless WebP in a data URI."""
    buffer = io.BytesIO()
    with opened(file) as image:
        image.convert("RGB").save(buffer, "WEBP", lossless=True)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def against(
    table: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], sets: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """A published table with what was measured here beside each of its numbers; `ours` in a row names the solver."""
    metric = table["metric"]
    tasks = [t for t in dict.fromkeys(k for row in table["rows"] for k in row) if t not in ("method", "ours")]
    body = []
    for row in table["rows"]:
        cells = []
        for task in tasks:
            mine = [line for line in lines if line["task"] == task and names(row.get("ours", ""), line["label"])]
            numbers = [m for line in mine if (m := line["numbers"].get(metric) or in_set(line, sets, metric))]
            ours = [_short(numbers[0].value), _short(numbers[0].half)] if numbers else None
            cells.append({"theirs": row.get(task), "ours": ours})
        body.append({"method": row["method"], "cells": cells})
    about = {k: table.get(k, "") for k in ("source", "data")}
    return {**about, "metric": arrow(metric), "digits": digits(metric), "tasks": tasks, "rows": body}


def names(pattern: str, label: str) -> bool:
    """Whether `ours` of a published row means the solver `label`: a shell pattern, or the bare name of its spec."""
    return fnmatchcase(label, pattern) or label.partition(":")[0] == pattern


def in_set(line: Mapping[str, Any], sets: Mapping[str, Mapping[str, float]], metric: str) -> Mean | None:
    """A metric of the cell's whole set of images; None if it is unknown."""
    found = sets.get(line["cell"], {})
    return Mean(found[metric], None, int(found["images"])) if metric in found else None
