"""What a training run reports: the line of a look, its JSON record, the progress bar, the model card."""

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..files.record import finite
from ..files.writing import atomic
from .loop import Limit, Progress

Curve = list[dict[str, Any]]


def read_curve(file: Path, step: int) -> Curve:
    """The records of `log.jsonl` up to `step`; an empty list if there is no file."""
    if not file.exists():
        return []
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["step"] <= step]


def write_curve(file: Path, curve: Curve) -> None:
    """Writes the records to `file` as JSON lines. If it is interrupted, the previous file remains."""
    text = "".join(json.dumps(finite(line), allow_nan=False) + "\n" for line in curve)
    atomic(file, lambda f: f.write_text(text, encoding="utf-8"))


def record_of(progress: Progress, batch: int, psnr: dict[float, float]) -> dict[str, Any]:
    """A look as a record of the log: `psnr` is in dB for each noise level, `batch` the images per step."""
    return {
        "step": progress.step,
        "images": progress.step * batch,
        "minutes": round(progress.seconds / 60, 3),
        "loss": progress.loss,
        "gradient_norm": progress.gradient,
        "learning_rate": progress.rate,
        "images_per_second": round(progress.speed, 2),
        "bare_images_per_second": round(progress.bare, 2),
        "psnr": {str(sigma): round(v, 3) for sigma, v in psnr.items()},
    }


def pace(record: dict[str, Any]) -> str:
    """The images per second of a look and, where it was measured, the share of what the network alone would do."""
    speed, alone = record["images_per_second"], record.get("bare_images_per_second")
    share = f", {speed / alone:.0%} of the bare network's" if isinstance(alone, float) and math.isfinite(alone) else ""
    return f"{speed:.0f} images/s{share}"


def line_of(record: dict[str, Any]) -> str:
    """What a look at a network in training shows, as one line of text."""
    scores = "  ".join(f"{v:.2f}" for v in record["psnr"].values())
    return (
        f"step {record['step']}  {record['minutes']:.1f} min  {pace(record)}  loss {record['loss']:.4f}  PSNR {scores}"
    )


@contextmanager
def bar(limit: Limit, batch: int, visible: bool) -> Iterator[tuple[Callable[[Progress], None], Callable[[str], None]]]:
    """Two functions, tick(progress) and say(text).

    They draw a bar on stderr if that is a terminal and print lines there in any case; if not `visible`, they do
    nothing.
    """
    if not visible:
        yield (lambda progress: None), (lambda text: None)
        return
    if not sys.stderr.isatty():
        yield (lambda progress: None), (lambda text: print(text, file=sys.stderr, flush=True))
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(bar_width=24), TextColumn("{task.fields[note]}"), TextColumn("left"), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task("", total=1.0, note="")
        first: list[Progress] = []

        def tick(p: Progress) -> None:
            first[:] = first or [Progress(p.step, p.seconds)]
            speed = (p.step - first[0].step) * batch / max(p.seconds - first[0].seconds, 1e-9)
            of = f" of {limit.steps}" if limit.steps else ""
            note = f"step {p.step}{of}  {speed:.0f} images/s  {p.seconds / 60:.1f} min"
            shown.update(task, completed=min(1.0, p.done), note=note)

        yield tick, lambda text: shown.console.print(text, highlight=False)


def table(curve: Curve, rows: int = 8) -> str:
    """A Markdown table of the validation PSNR during training, in up to `rows` rows, the last look among them."""
    seen = [line for line in curve if line["psnr"]]
    n = min(rows, len(seen))
    picks = [round(i * (len(seen) - 1) / max(1, n - 1)) for i in range(n - 1)] + [len(seen) - 1]
    sigmas = list(seen[-1]["psnr"])
    names = [f"s = {s}" for s in sigmas] if len(sigmas) > 1 else ["PSNR"]
    lines = [f"| images seen | minutes | {' | '.join(names)} |", "|---" * (2 + len(sigmas)) + "|"]
    for i in picks:
        scores = " | ".join(f"{v:.2f}" for v in seen[i]["psnr"].values())
        lines.append(f"| {seen[i]['images']:,} | {seen[i]['minutes']:.1f} | {scores} |")
    return "\n".join(lines)


def write_card(
    root: Path, title: str, library: str, facts: dict[str, str], formula: str, curve: Curve, caption: str, recipe: str
) -> None:
    """Writes README.md: what the model is, data and licence, recipe, time, validation figures, samples."""
    rows = "\n".join(f"| {k} | {v} |" for k, v in facts.items())
    text = f"""---
library_name: {library}
tags: [diffusion, xhat]
---
# {title}

| | |
|---|---|
{rows}

{formula}

{table(curve)}

All looks are in `log.jsonl`. {caption}, not selected:

![samples](samples.png)

## Recipe

```toml
{recipe.strip()}
```
"""
    atomic(root / "README.md", lambda f: f.write_text(text, encoding="utf-8"))
