"""Which cells `xhat exact` computes: problems × solvers × seeds."""

from collections.abc import Sequence

from ..checks import whole
from ..solvers import SOLVERS
from ..spec import build, parse
from .cell import FLOOR, Cell
from .problems import PROBLEMS

# Each solver has the options of its paper, unless the reference tables name other values. All take 100 steps, whatever
# their papers say, and 1000 steps in a second list of those whose ranking depends on the number of steps. CG with 4
# iterations is exact for 4 measurements.
SHORT: tuple[str, ...] = (
    FLOOR,
    "mcgdiff:steps=100",
    "tds:steps=100",
    "fps_smc:steps=100",
    "smcdiff:steps=100",
    "fps:steps=100",
    "tmpd:steps=100",
    "tmpd_rowsum:steps=100",
    "tmpd_diag:steps=100",
    "mmps:steps=100,cg_steps=4",
    "pigdm_score:steps=100",
    "pigdm:steps=100",
    "dps:steps=100,c=0.2",
    "ddrm:steps=100",
    "ddnm+:steps=100",
    "diffpir:steps=100,lam=1,zeta=1",
    "diffpir:steps=100,lam=1,zeta=0.25",
    "dmps:steps=100,lam=1",
    "dds:steps=100",
    "mpgd:steps=100,kappa=0.1",
    "lgd:steps=100,c=0.2",
    "daps_exact:steps=200",
    "reddiff:steps=100",
    "lmaps:steps=100",
)
LONG: tuple[str, ...] = (
    "pigdm_score:steps=1000",
    "pigdm:steps=1000",
    "dps:steps=1000,c=0.2",
    "dps:steps=1000",
    "reddiff:steps=1000",
    "lmaps:steps=1000",
    "tmpd:steps=1000",
    "snips",
    "pnpdm:steps=60,reverse_steps=40",
    "daps",
    "pmc_red",
    "pmc_pnp",
)
SIGMAS = (0.01, 0.1, 1)
THESIS: tuple[str, ...] = ("pigdm_score:steps=1000", "dps:steps=1000,c=0.2")  # with that reference's number of steps
TRAINED = ("score_prior", "efficient_score_prior")  # these train a network for each sample: a cell takes hours


def others() -> tuple[str, ...]:
    """The solvers that the lists above do not name, with their default options."""
    named = {*TRAINED, *(parse(s)[0] for s in SHORT + LONG)}
    return tuple(name for name in SOLVERS if name not in named)


def grid(
    quick: bool = False,
    problems: Sequence[str] = (),
    solvers: Sequence[str] = (),
    seeds: int | None = None,
    samples: int | None = None,
) -> list[Cell]:
    """The cells to compute: the full grid, the quick one, or what the arguments select; the most useful cells come
    first.

    `problems` and `solvers` are specs, `seeds` is a number of seeds, and `samples` a number of samples. Solvers of the
    lists above that are not installed here are left out. Raises SpecError for an unknown problem or solver.
    """
    for name, n in (("seeds", seeds), ("samples", samples)):
        if n is not None:
            whole(name, n, *((1, 100_000) if name == "seeds" else (10, 1_000_000)))
    for p in problems:
        build(p, PROBLEMS)
    for s in solvers:
        if s != FLOOR:
            build(s, SOLVERS)
    if problems:
        plan = [
            (p, seeds or (3 if quick else 10), samples, SHORT if quick else SHORT + LONG + others()) for p in problems
        ]
    else:
        plan = [(p, seeds or k, samples or n, s) for p, k, n, s in (quick_plan() if quick else full_plan())]
    return [
        Cell(p, s, seed, n)
        for p, k, n, listed in plan
        for seed in range(k)
        for s in (solvers or listed)
        if solvers or s == FLOOR or parse(s)[0] in SOLVERS
    ]


Plan = list[tuple[str, int, int | None, tuple[str, ...]]]


def quick_plan() -> Plan:
    """A small grid that has every kind of problem."""
    spots = ["two", "mixture:d=8,m=1", "mixture:d=8,m=2", "mixture:d=8,m=4,sigma=0.1"]
    plan: Plan = [(p, 3, 500, SHORT) for p in spots]
    return [*plan, ("grf:side=8", 2, 500, SHORT), ("funnel", 1, 200, SHORT)]


def full_plan() -> Plan:
    """The reference table, then the small problems, then the table over noise levels."""
    rest = others()
    plan: Plan = [(f"mixture:d=8,m={m}", n, None, s) for n, s in ((20, SHORT), (10, LONG)) for m in (1, 2, 4)]
    plan += [("two", 10, None, SHORT + LONG), ("grf", 2, None, SHORT), ("funnel", 3, None, SHORT)]
    plan += [("two", 3, 100, (FLOOR, *rest)), *((f"mixture:d=8,m={m}", 3, 100, (FLOOR, *rest)) for m in (1, 2, 4))]
    plan += [(f"mixture:d=80,m={m}", 10, None, SHORT) for m in (1, 2, 4)]
    plan += [(f"mixture:d={d},m={m},sigma={s}", 5, None, SHORT) for d in (8, 80) for s in SIGMAS for m in (1, 2, 4)]
    plan += [(f"mixture:d=8,m={m},sigma={s}", 5, None, THESIS) for s in SIGMAS for m in (1, 2, 4)]
    plan += [(f"mixture:d=800,m={m}", 3, 250, SHORT) for m in (1, 2, 4)]
    plan += [(f"mixture:d=800,m={m},sigma={s}", 1, 250, SHORT) for s in SIGMAS for m in (1, 2, 4)]
    return plan
