"""The arguments of `xhat bench`, `report`, `compare` and `tune`."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from ..files.extras import page

BENCH = f"""examples:
  xhat bench quick -o runs/quick                       a suite that ships with the package
  xhat bench grid.toml -o runs/mine                    the same again computes only what is missing
  xhat bench lmaps-table1 --prior ffhq_10m.pt --data ffhq/ -o runs/table1
  xhat bench quick -o runs/mine --solver lmaps --solver mine:Solver    beside your own class, from the file mine.py here
  xhat bench grid.toml -o runs/mine --ray local        one worker per GPU or group of cores; --ray ADDRESS: a cluster

{page("benchmarks.md")} explains the file, the records and the metrics,
{page("cluster.md")} Ray and Slurm.
"""

REPORT = """examples:
  xhat report runs/quick                       writes report.html, .md, .tex and .png into the folder
  xhat report runs/quick -o docs/results       writes them into another folder

The page is one file that needs no network. Its pictures are those that xhat bench --keep-images kept.
"""
COMPARE = """examples:
  xhat compare runs/before runs/after          the same grid run by two versions, or with other weights
  xhat compare runs/photo runs/mine --across prior               the same solvers with two priors
  xhat compare runs/quick runs/quick --across solver --before lmaps --after diffpir
"""

TUNE = """examples:
  xhat tune --operator motion_blur --noise gaussian:sigma=0.05 --data val/ -o tuned/
  xhat tune --operator inpaint --noise gaussian:sigma=0.05 --data val/ --solver dps --vary c=0.1:3:log --minutes 60 \\
      -o tuned/                                the same again continues where it stopped
  xhat tune ... --objective heldout            needs no truth: scores predictions of measurements that were held out
  xhat restore y.npz --solver tuned/best.toml -o out/
  xhat bench tuned/best.toml -o runs/tuned

Objectives: a metric (see xhat list metrics), residual (logarithm of the residual over the expected one), or heldout.
Tune on a validation set, and report on other images.
"""

TRUST = "run the TorchScript file that --prior names: code of its author runs on this machine with your rights"
YES = "do not ask before a run that needs more memory than is free, or more than an hour"
Command = Callable[[str, str, str], ArgumentParser]


def later(module: str, name: str) -> Callable[[Namespace], int]:
    """The function `name` of `module`, a command that returns its exit code. Both are imported when it runs."""

    def run(args: Namespace) -> int:
        return int(getattr(import_module(module), name)(args))

    return run


def add(command: Command) -> None:
    """Adds the parsers of this package's commands; `command` makes a parser from name, summary and examples."""
    _bench(command("bench", "run a grid of solvers, tasks, priors and data; resumable", BENCH))
    p = command("report", "write a run as a page, Markdown, LaTeX and a picture", REPORT)
    p.add_argument("run_folder", type=Path, metavar="RUN", help="a folder written by xhat bench")
    p.add_argument("-o", "--out", help="the folder for the report; default: that of the run")
    p.add_argument(
        "--megabytes", type=float, default=20.0, metavar="N", help="limit for the pictures in the page; default: 20"
    )
    p.add_argument("--overwrite", action="store_true", help="replace files that no report has written")
    p.set_defaults(run=later("xhat.bench.commands", "run_report"))
    p = command("compare", "show what changed between two runs of a grid", COMPARE)
    p.add_argument("before", type=Path, help="a folder written by xhat bench")
    p.add_argument("after", type=Path, help="a folder written by xhat bench")
    p.add_argument(
        "--across",
        choices=("prior", "solver"),
        help="pair records that differ in the prior, or in the solver, and in nothing else; the two runs may be one",
    )
    p.add_argument(
        "--before", metavar="NAME", dest="old", help="the prior or solver of the first run, by spec or label"
    )
    p.add_argument("--after", metavar="NAME", dest="new", help="that of the second run")
    p.add_argument("--all", action="store_true", help="also list what did not change")
    p.set_defaults(run=later("xhat.bench.commands", "run_compare"))
    _tune(command("tune", "search a solver's hyper-parameters for a task and a prior", TUNE))


def _bench(p: ArgumentParser) -> None:
    p.add_argument("grid", help="a TOML file or the name of a suite; see xhat list suites")
    p.add_argument("-o", "--out", required=True, help="the folder to write the records to")
    p.add_argument(
        "--prior", action="append", default=[], metavar="SPEC", help="a prior in place of the grid's; may be repeated"
    )
    p.add_argument(
        "--data", action="append", default=[], metavar="SPEC", help="data in place of the grid's; may be repeated"
    )
    p.add_argument("--trust", action="store_true", help=TRUST)
    p.add_argument(
        "--solver",
        action="append",
        default=[],
        metavar="NAME",
        help="run only these solvers; * is allowed, and module:Class joins one of your own",
    )
    p.add_argument("--task", action="append", default=[], metavar="NAME", help="run only these tasks; * is allowed")
    p.add_argument("--images", type=int, metavar="N", help="use only the first N images of each data set")
    p.add_argument("--batch-size", default="auto", metavar="N", help="images at a time; auto: as many as memory holds")
    p.add_argument(
        "--keep-images", action="store_true", help="keep truth, measurement and restored image of each record"
    )
    p.add_argument(
        "--fresh", action="store_true", help="compute again what was made with other code, weights or images"
    )
    p.add_argument("--ray", metavar="ADDRESS", help="local, auto or the address of a Ray cluster")
    p.add_argument(
        "--threads", type=int, metavar="N", help="threads of each Ray worker; default: an equal share of cores"
    )
    p.add_argument("--device", default="auto", help="auto, cpu, cuda or mps; default: auto")
    p.add_argument("-y", "--yes", action="store_true", help=YES)
    p.add_argument("-q", "--quiet", action="store_true", help="show no progress and no table")
    p.set_defaults(run=later("xhat.bench.commands", "run_bench"))


def _tune(p: ArgumentParser) -> None:
    p.add_argument("-o", "--out", required=True, help="the folder for the trials and best.toml")
    p.add_argument("--operator", required=True, metavar="SPEC", help="what makes the measurements")
    p.add_argument("--noise", required=True, metavar="SPEC", help="the noise that is added to them")
    p.add_argument("--data", required=True, metavar="SPEC", help="validation images: a spec, or a folder")
    p.add_argument("--solver", default="lmaps", metavar="SPEC", help="options given here are kept; default: lmaps")
    p.add_argument("--prior", default="photo", metavar="SPEC", help="default: photo")
    p.add_argument("--trust", action="store_true", help=TRUST)
    p.add_argument("--schedule", metavar="SPEC", help="noise levels; default: those of the prior")
    p.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="RANGE",
        help="search an option of the solver over a range or a list: k=0.1:10:log, steps=20:100, inner=a|b",
    )
    p.add_argument("--objective", default="psnr", metavar="NAME", help="a metric, residual or heldout; default: psnr")
    p.add_argument("--trials", type=int, default=30, metavar="N", help="number of trials in all; default: 30")
    p.add_argument("--minutes", type=float, metavar="N", help="stop after N minutes")
    p.add_argument("--images", type=int, metavar="N", help="use only the first N images")
    p.add_argument("--seeds", type=int, default=1, metavar="N", help="measurements of each image; default: 1")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda or mps; default: auto")
    p.add_argument("-y", "--yes", action="store_true", help=YES)
    p.add_argument("-q", "--quiet", action="store_true", help="print no line for each trial")
    p.set_defaults(run=later("xhat.bench.commands", "run_tune"))
