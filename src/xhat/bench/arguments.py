"""The arguments of `xhat bench`, `report`, `compare` and `tune`."""

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

from .commands import run_bench, run_compare, run_report, run_tune

BENCH = """examples:
  xhat bench quick -o runs/quick                       a suite that ships with the package
  xhat bench grid.toml -o runs/mine                    again: computes what is missing, and nothing else
  xhat bench lmaps-table1 --prior ffhq_10m.pt --data ffhq/ -o runs/table1
  xhat bench grid.toml -o runs/mine --ray local        one worker a GPU or core group; --ray ADDRESS for a cluster

docs/benchmarks.md explains the file, the records and the metrics, docs/cluster.md Ray and Slurm.
"""

REPORT = """examples:
  xhat report runs/quick                       writes report.html, .md, .tex and .png into the folder
  xhat report runs/quick -o docs/results       into another one

The page is one file that needs no network. Its pictures are those that xhat bench --keep-images kept.
"""
COMPARE = """examples:
  xhat compare runs/before runs/after          the same grid run by two versions, or with other weights
"""

TUNE = """examples:
  xhat tune --operator motion_blur --noise gaussian:sigma=0.05 --data val/ -o tuned/
  xhat tune --operator inpaint --noise gaussian:sigma=0.05 --data val/ --solver dps --vary c=0.1:3:log --minutes 60 \\
      -o tuned/                                the same again goes on where it stopped
  xhat tune ... --objective heldout            without the truth: on measurements the solver is not given
  xhat restore y.npz --solver tuned/best.toml -o out/
  xhat bench tuned/best.toml -o runs/tuned

Objectives: a metric (see xhat list metrics), residual (log of residual over expected), heldout. Tune on a validation
set that you do not report on.
"""

Command = Callable[[str, str, str], ArgumentParser]


def add(command: Command) -> None:
    """The parsers of this package's commands."""
    _bench(command("bench", "run a grid of solvers, tasks, priors and data; resumable", BENCH))
    p = command("report", "a run as a page, Markdown, LaTeX and a picture", REPORT)
    p.add_argument("run_folder", type=Path, metavar="RUN", help="folder of xhat bench")
    p.add_argument("-o", "--out", type=Path, help="folder of the report; default: the run's")
    p.add_argument("--megabytes", type=float, default=20.0, metavar="N", help="of pictures in the page; default: 20")
    p.set_defaults(run=run_report)
    p = command("compare", "what changed between two runs of a grid", COMPARE)
    p.add_argument("before", type=Path, help="folder of xhat bench")
    p.add_argument("after", type=Path, help="folder of xhat bench")
    p.add_argument("--all", action="store_true", help="list what did not change, too")
    p.set_defaults(run=run_compare)
    _tune(command("tune", "search a solver's hyper-parameters for a task and a prior", TUNE))


def _bench(p: ArgumentParser) -> None:
    p.add_argument("grid", help="a TOML file or the name of a suite; see xhat list suites")
    p.add_argument("-o", "--out", required=True, type=Path, help="folder of the records")
    p.add_argument(
        "--prior", action="append", default=[], metavar="SPEC", help="instead of the grid's; may be repeated"
    )
    p.add_argument("--data", action="append", default=[], metavar="SPEC", help="or a folder of images; may be repeated")
    p.add_argument("--solver", action="append", default=[], metavar="NAME", help="only these of the grid, * allowed")
    p.add_argument("--task", action="append", default=[], metavar="NAME", help="only these of the grid, * allowed")
    p.add_argument("--images", type=int, metavar="N", help="the first N images of each set of data")
    p.add_argument("--batch-size", default="auto", metavar="N", help="images at a time; auto: what the memory holds")
    p.add_argument("--keep-images", action="store_true", help="truth, measurement and restored image of every record")
    p.add_argument("--fresh", action="store_true", help="again what another version, weights or image made")
    p.add_argument("--ray", metavar="ADDRESS", help="local, auto or the address of a Ray cluster")
    p.add_argument("--threads", type=int, metavar="N", help="of each Ray worker; default: the cores shared out")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda or mps; default: auto")
    p.add_argument("-q", "--quiet", action="store_true", help="no progress, no table")
    p.set_defaults(run=run_bench)


def _tune(p: ArgumentParser) -> None:
    p.add_argument("-o", "--out", required=True, type=Path, help="folder of the trials and best.toml")
    p.add_argument("--operator", required=True, metavar="SPEC")
    p.add_argument("--noise", required=True, metavar="SPEC")
    p.add_argument("--data", required=True, metavar="SPEC", help="or a folder of validation images")
    p.add_argument("--solver", default="lmaps", metavar="SPEC", help="options given here stay; default: lmaps")
    p.add_argument("--prior", default="photo", metavar="SPEC", help="default: photo")
    p.add_argument("--schedule", metavar="SPEC", help="noise levels; default: the prior's")
    p.add_argument("--vary", action="append", default=[], metavar="RANGE", help="k=0.1:10:log, steps=20:100, inner=a|b")
    p.add_argument("--objective", default="psnr", metavar="NAME", help="a metric, residual or heldout; default: psnr")
    p.add_argument("--trials", type=int, default=30, metavar="N", help="in all; default: 30")
    p.add_argument("--minutes", type=float, metavar="N", help="stop after so long")
    p.add_argument("--images", type=int, metavar="N", help="the first N images")
    p.add_argument("--seeds", type=int, default=1, metavar="N", help="measurements of each image; default: 1")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda or mps; default: auto")
    p.add_argument("-q", "--quiet", action="store_true", help="no line a trial")
    p.set_defaults(run=run_tune)
