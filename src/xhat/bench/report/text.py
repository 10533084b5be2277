"""The report for a document: Markdown, and LaTeX with booktabs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import DataError
from ...files.markup import latex as tex
from ...files.markup import markdown as md
from ...files.rows import Row
from ..stats import COSTS, cells, digits, paired, summary, written
from ..tables import Overview, arrow, overviews, text
from .payload import WORDS, against, facts, metric_names


def markdown(content: Mapping[str, Any], rows: Sequence[Row], sets: Mapping[str, Mapping[str, float]]) -> str:
    """Tables of every metric, costs, paired differences and published numbers. Raises DataError if there are no
    records.
    """
    if not rows:
        raise DataError("no record of this grid yet")
    f, lines = facts(rows), summary(rows)
    about = [md(content["about"]), ""] if content["about"] else []
    out = [f"# {md(content['title'])}", "", *about, md(_stated(f)), ""]
    for view in overviews(rows, metric_names(content, rows)):
        out += [f"## {md(f'{arrow(view.metric)}: {view.prior} on {view.data}')}", "", *_overview(view), ""]
    out += ["## Cost of an image", "", *_costs(lines), ""]
    if content.get("baseline"):
        out += [*_differences(content, rows), ""]
    if sets:
        out += ["## Sets of images", "", *_sets(lines, sets), ""]
    for table in content.get("published", []):
        out += [*_published(against(table, lines, sets)), ""]
    return "\n".join(out)


def _stated(f: Mapping[str, Any]) -> str:
    mixed = f" The records come from different versions ({', '.join(f['mixed'])})." if f["mixed"] else ""
    return (
        f"{f['records']} records of {f['images']} images, {f['seeds']} seeds; {f['failed']} failed, {f['unfit']} of "
        f"problems a solver is not written for (n/a). Mean over images ± half a 95 % interval; bold: best among point "
        "estimators, best among samplers, and what paired differences do not tell from it. "
        f"xhat {f['versions']['xhat']}, torch "
        f"{f['versions']['torch']}, {f['devices']}, {f['threads']} threads.{mixed}"
    )


def _rule(columns: int) -> str:
    return "|---" + "|---:" * (columns - 1) + "|"


def table_line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def _overview(view: Overview) -> Iterator[str]:
    yield table_line(["solver", *map(md, view.tasks)])
    yield _rule(len(view.tasks) + 1)
    for kind, block in view.blocks.items():
        for label, row in block:
            shown = []
            for cell in row:
                t = text(cell, view.metric)
                shown.append(f"**{t}**" if view.top(cell) else t)
            yield table_line([md(f"{label} ({kind})"), *shown])


def _costs(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names = ["residual_ratio", *COSTS, "seconds"]
    yield table_line(["solver", "task", *(WORDS[n] for n in names), "records", "failed"])
    yield _rule(len(names) + 4)
    for line in lines:
        if line["fits"]:
            shown = [written(line["numbers"].get(n), digits(n)) for n in names]
            yield table_line([md(line["label"]), md(line["task"]), *shown, str(line["records"]), str(line["failed"])])


def _differences(content: Mapping[str, Any], rows: Sequence[Row]) -> Iterator[str]:
    """Every solver against the baseline on the same task, prior and data, in the first metric."""
    metric, base = content["metrics"][0], content["baseline"]
    yield f"## {md(f'Paired differences to {base}: {arrow(metric)}')}"
    yield ""
    groups: dict[tuple[str, ...], dict[str, list[Row]]] = {}
    for mine in cells(rows).values():
        groups.setdefault((mine[0]["task"], mine[0]["prior"], mine[0]["data"]), {})[mine[0]["label"]] = mine
    yield table_line(["task", "solver", "difference", "better in", "images"])
    yield _rule(5)
    for (task, *_), found in groups.items():
        at = next((label for label in found if label == base or label.partition(":")[0] == base), None)
        for label, mine in found.items():
            gain = paired(found[at], mine, metric) if at and label != at else None
            if gain:
                shown = [written(gain[0], digits(metric)), str(gain[1]), str(gain[0].images)]
                yield table_line([md(task), md(label), *shown])


def _sets(lines: Sequence[Mapping[str, Any]], sets: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    names = sorted({k for s in sets.values() for k in s} - {"images"})
    yield table_line(["solver", "task", *(md(arrow(n)) for n in names), "images"])
    yield _rule(len(names) + 3)
    for line in lines:
        if (s := sets.get(line["cell"])) is not None:
            shown = [*(f"{s[n]:.{digits(n)}f}" for n in names), f"{s['images']:.0f}"]
            yield table_line([md(line["label"]), md(line["task"]), *shown])


def _published(table: Mapping[str, Any]) -> Iterator[str]:
    yield f"## Published beside measured: {md(table['metric'])}"
    yield ""
    yield md(f"{table['source']}. Published on other weights and images ({table['data']}): not to be ranked together.")
    yield ""
    yield table_line(["method", *(md(f"{t}, {w}") for t in table["tasks"] for w in ("published", "here"))])
    yield _rule(1 + 2 * len(table["tasks"]))
    for row in table["rows"]:
        shown = []
        for cell in row["cells"]:
            theirs, ours = cell["theirs"], cell["ours"]
            shown.append("–" if theirs is None else f"{theirs:.{table['digits']}f}")
            half = "" if not ours or ours[1] is None else f" ± {ours[1]:.{table['digits']}f}"
            shown.append(f"{ours[0]:.{table['digits']}f}{half}" if ours else "–")
        yield table_line([md(row["method"]), *shown])


def latex(content: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """One table per metric, for a document that loads booktabs."""
    out = [f"% {tex(content['title'])}: made by xhat report; needs \\usepackage{{booktabs}}"]
    for view in overviews(rows, metric_names(content, rows)):
        out += ["\\begin{table}", "\\centering", f"\\begin{{tabular}}{{l{'r' * len(view.tasks)}}}", "\\toprule"]
        out += [" & ".join(["solver", *map(tex, view.tasks)]) + r" \\"]
        for block in view.blocks.values():
            out.append("\\midrule")
            for label, row in block:
                shown = []
                for cell in row:
                    t = tex(text(cell, view.metric, "±"))
                    shown.append(f"\\textbf{{{t}}}" if view.top(cell) else t)
                out.append(" & ".join([tex(label), *shown]) + r" \\")
        caption = tex(f"{arrow(view.metric)}, {view.prior} on {view.data}. {_stated(facts(rows))}")
        out += ["\\bottomrule", "\\end{tabular}", f"\\caption{{{caption}}}", "\\end{table}", ""]
    return "\n".join(out)
