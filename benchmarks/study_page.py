"""What a study says: the Markdown page with its tables, and the plot."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xhat.files.rows import Row, Rows
from xhat.task.schema import Kinds, validate

UNITS = {"psnr": "PSNR in dB", "gap": "nats a pixel below the mode of p(x given y)", "error": "RMS error"}
FAILED = {"diverged": "diverged", "n/a": "not a problem it takes"}
MORE: dict[str, Kinds] = {
    "key": (str,),
    "flow": (int, type(None)),  # steps of Heun's method that stand for the prior's consistency model
    "curve": (list,),  # (network calls of an image, mean gap) after each step, where a study follows that
    "spent": (int, float, type(None)),  # network calls of an image
    "cpu_seconds": (int, float),
}


def key(study: dict[str, Any], problem: dict[str, Any], arm: dict[str, Any], seed: int) -> str:
    """All that decides a row."""
    own = study | problem
    parts = [own["operator"], own["noise"], arm["solver"], arm.get("schedule"), own["prior"], arm.get("flow")]
    return json.dumps([*parts, own["images"], own.get("size", 64), seed])


def stored(file: Path) -> Rows[str]:
    """The records of a study by key, each checked against the schema."""
    kept: Rows[str] = Rows(file, lambda row: str(row["key"]))
    for row in kept.rows.values():
        validate(row, file, MORE)
    return kept


def interval(values: Tensor) -> tuple[float, float]:
    """Mean and half of its 95 % interval (normal) over images, each averaged over its seeds: (seeds, images)."""
    v = values.mean(0)
    return float(v.mean()), 1.96 * float(v.std()) / math.sqrt(len(v)) if len(v) > 1 else math.nan


def collect(study: dict[str, Any], file: Path) -> dict[tuple[str, str], Row]:
    """(problem, arm) → scores (seeds, images), costs, or why there are none."""
    found = stored(file).rows
    out: dict[tuple[str, str], Row] = {}
    for problem in study["problems"]:
        for arm in study["arms"]:
            own = [found.get(key(study, problem, arm, seed)) for seed in range(study["seeds"])]
            ran = [r for r in own if r is not None]
            failed = [FAILED.get(r["status"], r["error"]) for r in ran if r["status"] != "ok"]
            if failed or not ran:
                out[problem["name"], arm["name"]] = {"failed": failed[0] if failed else "not run"}
                continue
            scores = {k: torch.tensor([r["metrics"][k] for r in ran]) for k in ran[0]["metrics"]}
            scores["residual"] = torch.tensor([r["residual"] for r in ran])
            scores["expected"] = torch.tensor([r["expected_residual"] for r in ran])
            seconds = sum(r["cpu_seconds"] for r in ran) / len(ran)
            rest = {"calls": ran[0]["spent"], "seconds": seconds, "curve": ran[0]["curve"]}
            out[problem["name"], arm["name"]] = scores | rest
    return out


def page(study: dict[str, Any], file: Path) -> str:
    """Question, claim, verdict, and for each problem a table, the best and what cannot be told from it."""
    cells = collect(study, file)
    unit = UNITS[study.get("metric", "psnr")]
    out = [f"# {study['title']}", study["question"].strip(), f"**Claim.** {study['claim'].strip()}"]
    out += [f"**Verdict.** {study['verdict'].strip()}", f"![{study['title']}]({file.stem}.png)"]
    seeds = f"{study['seeds']} seed{'s' * (study['seeds'] > 1)}"
    out.append(
        f"`python -m benchmarks.study studies/{file.stem}.toml`: prior {study['prior']}, {study['images']} images "
        f"unless said otherwise, {seeds}. {unit}, mean ± 95 % over images; Δ is the paired difference from "
        "the first row; residual: RMS over what the noise explains (RMS without noise); calls: network forwards and "
        "backwards an image."
    )
    for problem in study["problems"]:
        own = {arm["name"]: cells[problem["name"], arm["name"]] for arm in study["arms"]}
        other = f"; prior {problem['prior']}, {problem['images']} images" if "prior" in problem else ""
        out += [f"## {problem['name']}", f"`{problem['operator']}`, `{problem['noise']}`{other}"]
        out += section(study, own)
    return "\n\n".join(out) + "\n"


def section(study: dict[str, Any], own: dict[str, Row]) -> list[str]:
    """The table of one problem and the sentence below it."""
    metric = study.get("metric", "psnr")
    good = {k: r for k, r in own.items() if metric in r}
    table = [f"| | {UNITS[metric]} | Δ | residual | calls | CPU s |", "|---|---|---|---|---|---|"]
    for name, r in own.items():
        if name not in good:
            table.append(f"| {name} | {r.get('failed', 'no such score')} | | | | |")
            continue
        (m, h), (d, e) = interval(r[metric]), interval(r[metric] - next(iter(good.values()))[metric])
        left = float(r["residual"].mean()) / (float(r["expected"].mean()) or 1.0)
        row = f"| {name} | {m:.4g} ± {h:.2g} | {d:+.3g} ± {e:.2g} | {left:.2g} | {r['calls']:g} | {r['seconds']:.1f} |"
        table.append(row)
    if not good:
        return ["\n".join(table)]
    sign = -1 if metric in ("gap", "error") else 1
    best = max(good, key=lambda k: sign * interval(good[k][metric])[0])
    gaps = {k: interval(sign * (good[best][metric] - r[metric])) for k, r in good.items() if k != best}
    same = [k for k, (d, h) in gaps.items() if d < h]
    rest = f"Not to be told from it: {', '.join(same)}." if same else "All others are worse."
    return ["\n".join(table), f"Best: {best}. {rest}"]


def plot(study: dict[str, Any], file: Path) -> None:
    """A panel for each problem: curves over calls, lines over the arms' `x`, or points with intervals."""
    from matplotlib.figure import Figure

    metric, cells, problems = study.get("metric", "psnr"), collect(study, file), study["problems"]
    figure = Figure(figsize=(1 + 4.2 * len(problems), 4.2), layout="constrained")
    panels = figure.subplots(1, len(problems), squeeze=False)[0]
    for panel, problem in zip(panels, problems, strict=True):
        panel.set_title(problem["name"], fontsize=9)
        lines: dict[str, list[tuple[Any, float, float]]] = {}
        for arm in study["arms"]:
            r = cells[problem["name"], arm["name"]]
            if metric in r and r["curve"]:
                spent, gap = zip(*r["curve"], strict=True)
                panel.plot(spent, [max(g, 1e-4) for g in gap], label=arm["name"])
                panel.set(xlabel="network calls")
            elif metric in r:
                lines.setdefault(arm.get("line", metric), []).append((arm.get("x", arm["name"]), *interval(r[metric])))
        for label, points in lines.items():
            where, mean, half = zip(*points, strict=True)
            if isinstance(where[0], str):
                panel.errorbar(mean, where, xerr=half, fmt="o", capsize=3)
                panel.set(xlabel=UNITS[metric])
            else:
                panel.errorbar(where, mean, yerr=half, marker="o", capsize=3, label=label)
                panel.set(xscale=study.get("xscale", "log"), xlabel=study.get("xlabel", ""), ylabel=UNITS[metric])
        if study.get("curve"):
            panel.set(yscale="log", ylabel=UNITS[metric])
        panel.tick_params(labelsize=7)
        if len(lines) > 1 or study.get("curve"):
            panel.legend(fontsize=7)
    figure.savefig(file.with_suffix(".png"), dpi=90)
