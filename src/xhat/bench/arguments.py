"""The arguments of `xhat bench`, `report`, `compare` and `tune`."""

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

from .commands import run_bench

BENCH = """examples:
  xhat bench quick -o runs/quick                       a suite that ships with the package
  xhat bench grid.toml -o runs/mine                    again: computes what is missing, and nothing else
  xhat bench lmaps-table1 --prior ffhq_10m.pt --data ffhq/ -o runs/table1
  xhat bench grid.toml -o runs/mine --ray local        one worker a GPU or core group; --ray ADDRESS for a cluster

docs/benchmarks.md explains the file, the records and the metrics, docs/cluster.md Ray and Slurm.
"""

Command = Callable[[str, str, str], ArgumentParser]


def add(command: Command) -> None:
    """The parsers of this package's commands."""
    _bench(command("bench", "run a grid of solvers, tasks, priors and data; resumable", BENCH))


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
