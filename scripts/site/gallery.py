"""Pages that the registries write: operators, solvers, noises and priors, and which solver takes which problem.

A page of docs/ holds the line `<!-- generated: NAME -->`, NAME one of `PARTS`; the site has the text in its place.
"""

import argparse
import inspect
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch

from xhat.baselines import BASELINES
from xhat.cli.arguments import parser
from xhat.cli.compatibility import problems
from xhat.cli.listing import capability, meanings, options_with_defaults, source
from xhat.likelihoods import LatentLikelihood, Likelihood, likelihood
from xhat.noise import NOISES, Gaussian, Noiseless, Poisson
from xhat.operators import OPERATORS
from xhat.operators.base import Operator
from xhat.operators.decoder import Decoder, Identity
from xhat.priors import PRIORS, Prior
from xhat.registry import kind_of
from xhat.solvers import SOLVERS
from xhat.solvers.base import AnySolver

DOCS = Path(__file__).parents[2] / "docs"
NOISE = {"gaussian": Gaussian(), "noiseless": Noiseless(), "poisson": Poisson()}

# The columns of docs/solvers.md, and the operator that each stands for.
TASKS = {
    "SR x4": "super_resolution", "box": "inpaint", "random": "inpaint", "Gaussian": "gaussian_blur",
    "motion": "motion_blur", "phase": "phase_retrieval", "non-linear": "nonlinear_blur", "HDR": "hdr",
    "JPEG 5": "jpeg", "2 bit": "quantize", "blind": "blind_blur",
}  # fmt: skip

CALLS = {"lmaps": 20}  # of a run with the defaults of now, where the survey was made with others


def rows(page: str, block: str) -> list[dict[str, str]]:
    """The table between `<!-- block -->` and `<!-- end -->` of a page of docs/, a dict for each row."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.search(rf"<!-- {block} -->\n(.*?)<!-- end -->", text, re.DOTALL)
    assert found, f"{page} has no block {block}"
    lines = [[c.strip() for c in line.strip().strip("|").split("|")] for line in found[1].strip().splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def stem(spec: str) -> str:
    """The name in a spec string, whatever marks are around it."""
    return spec.strip("`* ").partition(":")[0]


@cache
def measured() -> dict[str, dict[str, str]]:
    """The row of docs/solvers.md for each solver that has one."""
    return {stem(r["solver"]): r for r in rows("solvers.md", "photos")}


@cache
def verdicts() -> dict[str, dict[str, str]]:
    """The first row of docs/exactness.md for each sampler that has one: that at 100 steps."""
    found: dict[str, dict[str, str]] = {}
    for row in rows("exactness.md", "verdicts"):
        found.setdefault(stem(row["sampler"]), row)
    return found


@cache
def targets() -> dict[str, list[str]]:
    """What docs/exactness.md says of each point estimator, a sentence for each problem it was run on."""
    found: dict[str, list[str]] = {}
    for row in rows("exactness.md", "points"):
        said = f"{row['to the local MAP']} to the local MAP, {row['to the global MAP']} to the global one"
        found.setdefault(stem(row["estimator"]), []).append(f"{row['estimator']} on {row['problem']}: {said}")
    return found


def prose(text: str) -> str:
    """A docstring as Markdown: outside of formulas and code, marks of Markdown and HTML are taken for themselves."""
    lines = []
    for line in text.splitlines():
        parts = line.split("`")
        if not line.startswith("    "):
            parts[::2] = [re.sub(r"([*|])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
        lines.append("`".join(parts))
    return "\n".join(lines)


def cited(text: str) -> str:
    """`text` with each arXiv number as a link."""
    return re.sub(r"arXiv[: ]\s*(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def options(part: Any) -> str:
    """The options of a part as a folded table; empty if it has none."""
    defaults, told = options_with_defaults(part), meanings(part)
    if not defaults:
        return ""
    lines = ["", '??? note "options"', "", "    | option | default | what it may be |", "    |---|---|---|"]
    for default, meaning in zip(defaults, told, strict=True):
        name, _, value = default.partition("=")
        may = meaning.partition(": ")[2].replace("|", "\\|")
        lines.append(f"    | `{name}` | {f'`{value}`' if value else 'must be given'} | {may} |")
    return "\n".join(lines) + "\n"


def described(name: str, part: Any, facts: list[str]) -> Iterator[str]:
    """Yields the lines of one card: heading, facts, docstring, options."""
    doc = inspect.getdoc(part) or ""
    where = source(part, doc)
    yield f"## `{name}` {{ #{name.replace('+', '-plus')} }}"
    yield ""
    yield " · ".join([f for f in facts if f] + ([cited(where)] if where else []))
    yield ""
    yield cited(prose(doc))
    yield options(part)


@cache
def examples() -> dict[str, Operator]:
    """One small operator of every kind that needs no file, by name."""
    return problems()


@cache
def kinds(name: str) -> tuple[dict[str, Likelihood], dict[str, Likelihood]]:
    """The problem about images, and that about latents, that the operator called `name` makes with each noise."""
    A = examples()[name]
    y, latent = torch.zeros(1, *A.data_shape), A @ Decoder(Identity(), A.shape)
    return {k: likelihood(A, n, y) for k, n in NOISE.items()}, {k: likelihood(latent, n, y) for k, n in NOISE.items()}


def takes(solver: AnySolver, operator: str, noise: str) -> bool:
    """Whether a solver takes the problem of that operator and noise, as the loop would say."""
    return solver.mismatch(None, kinds(operator)[issubclass(solver.needs, LatentLikelihood)][noise]) is None


def needs(part: type[AnySolver]) -> str:
    """What a solver needs of problem and prior, in words."""
    about = (part.needs.__doc__ or "").splitlines()[0].split(":")[0].rstrip(".")
    prior = "" if part.needs_prior is Prior else f" and a `{part.needs_prior.__name__}`"
    return f"needs {'any problem' if part.needs is Likelihood else f'`{part.needs.__name__}`, {about}'}{prior}"


def cost(name: str) -> str:
    """Network calls of a run, as measured for docs/solvers.md; otherwise its steps."""
    row = measured().get(name)
    if name in CALLS:
        return f"{CALLS[name]} network calls an image"
    if row is None:
        return f"{SOLVERS[name]().steps} steps"
    back = "" if row["backwards"] == "0" else f" and {row['backwards']} derivatives"
    return f"{row['forwards']} network calls{back} an image" + (
        "" if row["solver"] == name else f" (`{row['solver']}`)"
    )


def solver_card(name: str, part: type[AnySolver]) -> Iterator[str]:
    """Yields the lines about a solver: what it claims, formula, paper, needs, tasks, exactness and cost."""
    taken = [a for a in examples() if any(takes(part(), a, noise) for noise in NOISE)]
    yield from described(name, part, [f"**{part.returns}**", needs(part), cost(name)])
    yield f"Takes {', '.join(f'[{a}](operators.md#{a})' for a in taken) or 'problems of latents only'}."
    row = measured().get(name)
    if row is not None:
        scores = [f"{task} {row[task]}" for task in TASKS if row[task] != "–"]
        yield f"\nPSNR in dB at 64 × 64 ([all solvers](../solvers.md)): {', '.join(scores)}."
    verdict = verdicts().get(name)
    if verdict is not None:
        shown = [f"{k}: {v}" for k, v in verdict.items() if k not in ("sampler", "why") and v]
        yield f"\n[Exactness](../exactness.md), {verdict['sampler']}: {'; '.join(shown)}. {verdict['why']}"
    if name in targets():
        yield f"\n[Exactness](../exactness.md), root mean square distances: {'; '.join(targets()[name][:4])}."
    yield ""


def solvers() -> Iterator[str]:
    """Yields the page of solvers and baselines."""
    for name, part in sorted(SOLVERS.items()):
        yield from solver_card(name, part)
    for name, part in sorted(BASELINES.items()):
        yield from described(name, part, ["**classical**, asks no prior", needs(part)])


def operators() -> Iterator[str]:
    """Yields the page of operators, with the picture of each that has one."""
    for name, part in OPERATORS.items():
        kind = kind_of(part)
        fact = capability(kind) if isinstance(kind, type) and issubclass(kind, Operator) else ""
        picture = f"![{name}: x, y and restored]({name}.jpg)" if (DOCS / "gallery" / f"{name}.jpg").exists() else ""
        head, *rest = described(name, part, [fact])
        yield from [head, "", picture, *rest]


def noises() -> Iterator[str]:
    """Yields the page of noises."""
    for name, part in NOISES.items():
        yield from described(name, part, [])


def priors() -> Iterator[str]:
    """Yields the page of priors."""
    for name, part in PRIORS.items():
        yield from described(name, part, [])


def better(name: str, operator: str) -> float:
    """The PSNR of docs/solvers.md on the task of an operator, the mean if there are several; −1 if not measured.

    Figures marked ° are of data without noise and count for nothing here.
    """
    row = measured().get(name)
    found = [row[task] for task, op in TASKS.items() if op == operator] if row else []
    numbers = [float(m[0]) for cell in found if "°" not in cell and (m := re.search(r"\d+\.\d+", cell))]
    return sum(numbers) / len(numbers) if numbers else -1.0


def chooser() -> Iterator[str]:
    """Yields the chooser: the facts it filters, and a form; docs/site.js does the rest."""
    names = list(examples())
    table = [
        {
            "solver": name,
            "gives": part.returns,
            "calls": calls(name),
            "takes": [[n[0] for n in NOISE if takes(part(), a, n)] for a in names],  # g, n, p for each operator
            "db": [round(better(name, a), 1) for a in names],
            "exact": ok(name),
        }
        for name, part in sorted(SOLVERS.items())
        if not issubclass(part.needs, LatentLikelihood) and part.needs_prior is Prior
    ]
    forms = {
        "operator": {str(i): a for i, a in enumerate(names)},
        "noise": {"g": "Gaussian", "n": "none", "p": "Poisson"},
        "answer": {"any": "no matter", "point": "one best image", "sample": "samples, for uncertainty"},
        "budget": {"1e9": "no limit", "30": "at most 30 calls", "100": "at most 100 calls", "400": "at most 400 calls"},
    }
    yield f'<div class="chooser"><script type="application/json">{json.dumps(table, separators=(",", ":"))}</script>'
    for key, choices in forms.items():
        yield f'<label>{key} <select name="{key}">'
        for value, text in choices.items():
            yield f'<option value="{value}"{" selected" * (text == "gaussian_blur")}>{text}</option>'
        yield "</select></label>"
    yield '<div class="chosen"><p>This needs JavaScript; the table below has the same.</p></div></div>'


def calls(name: str) -> int:
    """Network calls of a run with derivatives counted, as in docs/solvers.md; otherwise the number of steps."""
    row = None if name in CALLS else measured().get(name)
    return int(row["forwards"]) + int(row["backwards"]) if row else CALLS.get(name, SOLVERS[name]().steps)


def ok(name: str) -> str:
    """How far a sampler is from a posterior with two modes and with one, in the words of docs/exactness.md."""
    row = verdicts().get(name)
    return "" if row is None else row["field, one mode"].partition(" ")[0]


def compatibility() -> Iterator[str]:
    """Yields a table of which solver takes which operator: any Gaussian noise, no noise only, Poisson noise, too."""
    names = list(examples())
    yield '<div class="wide" markdown>\n'
    yield "| solver | gives | " + " | ".join(names) + " |"
    yield "|---" * (len(names) + 2) + "|"
    for name, part in sorted(SOLVERS.items()):
        marks = []
        for a in names:
            taken = [n for n in NOISE if takes(part(), a, n)]
            marks.append("◐" if "poisson" in taken else "●" if "gaussian" in taken else "○" if taken else "")
        yield (
            f"| [{name}](gallery/solvers.md#{name.replace('+', '-plus')}) | {part.returns} | "
            + " | ".join(marks)
            + " |"
        )
    yield "\n</div>"


def commands() -> Iterator[str]:
    """Yields the help of each command."""
    whole = parser()
    (chosen,) = (a for a in whole._actions if isinstance(a, argparse._SubParsersAction))
    for name, command in chosen.choices.items():
        yield f"## `xhat {name}`\n\n```text\n{command.format_help().strip()}\n```\n"


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "operators": operators,
    "solvers": solvers,
    "noises": noises,
    "priors": priors,
    "chooser": chooser,
    "compatibility": compatibility,
    "commands": commands,
}


def filled(text: str) -> str:
    """`text` of a page with what the registries write in the place of each mark."""
    return re.sub(r"<!-- generated: (\w+) -->", lambda m: "\n".join(PARTS[m[1]]()), text)
