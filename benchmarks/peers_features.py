"""What xhat and its peers have, as far as the installed packages tell: the last table of docs/peers.md."""

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from inspect import isclass
from pathlib import Path
from typing import Any

from xhat.baselines import BASELINES
from xhat.noise import NOISES
from xhat.operators import OPERATORS
from xhat.priors import PRIORS
from xhat.solvers import SOLVERS

PEERS = ("xhat", "deepinv", "azula")
# Classes of deepinv.physics that are parts of others, or the same for another scale.
FRAMES = ("Physics", "MultiScaler", "Cropper", "PhysicsModel")


def kinds(module: Any, base: type, *without: str) -> list[str]:
    """The names of the subclasses of `base` in a module, without `base` and what ends in one of `without`."""
    found = [n for n, c in vars(module).items() if isclass(c) and issubclass(c, base) and c is not base]
    return sorted(n for n in found if not n.endswith(without))


def lines(name: str) -> int:
    """The lines of Python of an installed package."""
    files = Path(str(import_module(name).__path__[0])).rglob("*.py")
    return sum(len(f.read_text(encoding="utf-8", errors="replace").splitlines()) for f in files)


def commands(name: str) -> str:
    """The programs that a package installs."""
    found = [e.name for e in entry_points(group="console_scripts") if e.value.partition(":")[0].split(".")[0] == name]
    return ", ".join(f"`{n}`" for n in found) or "–"


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Yields (what, xhat's, deepinv's, azula's). Counts are looked up; words are those of the packages' interfaces."""
    import azula
    import deepinv as dinv

    guided = [n.removesuffix("DataFidelity") for n in dir(dinv.sampling) if n.endswith("DataFidelity")]
    theirs = sorted({*(n for n in guided if n != "Noisy"), "DDRM", "DiffPIR"})
    small = sorted(p.stem for p in (Path(str(azula.__path__[0])) / "guidance").glob("[a-z]*.py") if p.stem != "cfg")
    physics = kinds(dinv.physics, dinv.physics.Physics, *FRAMES)
    noises = kinds(dinv.physics, dinv.physics.NoiseModel)
    yield "methods that use a diffusion prior", f"{len(SOLVERS)}", f"{len(theirs)}", f"{len(small)}"
    yield "classical methods without one", f"{len(BASELINES)}", "optimisation with any of its regularisers", "–"
    yield "operators, noises", f"{len(OPERATORS)}, {len(NOISES)}", f"{len(physics)}, {len(noises)}", "any function"
    plugins = sorted(
        p.name for p in (Path(str(azula.__path__[0])) / "plugins").iterdir() if (p / "__init__.py").exists()
    )
    formats = f"{len(PRIORS)} kinds, [formats](checkpoints.md)"
    yield "priors and checkpoints", formats, "its denoisers, weights to download", ", ".join(plugins)
    yield "randomness", "a stream for each image", "a generator for the batch", "PyTorch's global one"
    yield (
        "posteriors known in closed form, to test a sampler",
        "`xhat exact`, `xhat.testing`",
        "–",
        "a Gaussian denoiser",
    )
    yield (
        "training",
        "denoisers, consistency models, autoencoders",
        "restoration networks, unrolled too",
        "networks, no loop",
    )
    yield "training without a truth", "–", "yes, many losses", "–"
    yield "record of how a picture was made", "`record.json`", "–", "–"
    yield "commands", *(commands(p) for p in PEERS)  # type: ignore[misc]
    yield "lines of Python", *(f"{lines(p):,}" for p in PEERS)  # type: ignore[misc]


def features() -> list[str]:
    """The lines of the table."""
    return ["| | xhat | deepinv | azula |", "|---|---|---|---|", *("| " + " | ".join(row) + " |" for row in rows())]
