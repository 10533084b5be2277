"""`xhat prior inspect`: what a file or folder is, before it is used."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from ..schedule import SCHEDULES, Schedule
from ..spec import Spec, build, checked, parse, spec_of, text_of
from . import PRIORS, path_spec
from . import diffusers_folder as folder
from .autoencoders import DiffusersAutoencoder
from .base import FixedShape
from .checkpoints.archive import read_archive
from .checkpoints.files import container, existing, read
from .checkpoints.formats import FORMATS
from .checkpoints.graph import inputs_of, read_graph
from .checkpoints.plan import sizes
from .checkpoints.programs import TRUST
from .checkpoints.recognise import Unclear, kind_of, known_layout
from .latent import Autoencoded, LatentPrior
from .pixel import PixelPrior
from .precondition import Precondition
from .stable_diffusion import StableDiffusion

USE = (
    "path",
    "label",
    "denoiser",
    "weights",
    "dtype",
    "compile",
)  # options of the prior that say nothing about the file


def inspect(path: str, options: Mapping[str, Any]) -> str:
    """A table in text about the prior at the path, or of the name, `path`, one row per line.

    `options` are options of the prior, as a spec would give them. The weights are read, but no network is run.
    """
    rows = file_rows(path, options) if Path(path).expanduser().is_file() else prior_rows(path, options)
    return "\n".join(f"{name:<16} {text}" for name, text in rows)


def file_rows(path: str, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Rows (name, text) about a file that holds a network."""
    file = existing(path)
    yield "file", f"{file.name}, {file.stat().st_size / 1e6:.4g} MB"
    try:
        kind, others, unclear = kind_of(file), [], ""
    except Unclear as e:  # all but the parametrisation is the same, as of a consistency model and its teacher
        (kind, *others), unclear = e.kinds, str(e)
    if kind == "denoiser":
        yield from program_rows(file)
        return
    layout = FORMATS[kind]
    known = {k: v for k, v in checked(kind, layout.prior, options).items() if k not in USE}
    found = read(file, known_layout, options.get("weights"))
    plan = layout.plan(found, **known)
    yield "layout", ", or ".join([plan.layout, *(FORMATS[other].known_as for other in others)])
    yield "architecture", plan.architecture
    if found.weights != "top":
        yield "weights", found.weights
    for line in found.notes:
        yield "note", line.removeprefix(f"{found.path}: ")
    weights = {str(v.dtype).removeprefix("torch.") for v in plan.tensors.values()}
    yield "parameters", f"{count(plan.network()):,}, {', '.join(sorted(weights))}"
    yield "images", sizes(plan)
    yield "classes", f"{plan.classes}: give label=0 to {plan.classes - 1}" if plan.classes else "none"
    if unclear:
        yield "needs", unclear
    elif plan.precondition is not None and plan.schedule is not None:
        yield "parametrisation", says(plan.precondition)
        yield from schedule_rows(plan.schedule)
    if plan.needs:
        yield "needs", "; ".join(plan.needs)
    if not unclear:
        yield "prior", f"{kind}:path={text_of(str(path))}" + "".join(f",{k}={text_of(v)}" for k, v in options.items())


def program_rows(file: Path) -> Iterator[tuple[str, str]]:
    """Rows (name, text) about a TorchScript or ONNX file, which is not loaded: its listing and its text tell them."""
    program = container(file) == "torchscript"
    if program:
        archive = read_archive(file)
        known = archive.inputs
        yield "layout", f"TorchScript, a function of {count_of(known, 'input')}"
        yield "weights", count_of(sum(name.startswith("data/") for name in archive.listing), "tensor")
        yield "needs", f"trust=true: it is a program, {TRUST}"
    else:
        shapes = inputs_of(read_graph(file))
        yield "layout", f"ONNX, a function of {count_of(len(shapes), 'input')}"
        for i, shape in enumerate(shapes):
            yield f"input {i}", str(list(shape))
    yield "parametrisation", "option output: clean, residual, noise or score; option sigma: how the level is passed"
    yield "noise range", "not in the file: options sigma_min, sigma_max, in units of images in [-1, 1]"
    yield "prior", f"denoiser:path={text_of(str(file))}" + (",trust=true" if program else "")


def count_of(n: int | None, thing: str) -> str:
    """A number of things as text."""
    return f"an unknown number of {thing}s" if n is None else f"{n} {thing}{'' if n == 1 else 's'}"


def prior_rows(spec: str, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Rows (name, text) about any prior, given by its spec or folder and further options.

    A class-conditional folder is looked at with class 0 if none is given.
    """
    classes = classes_of(spec)
    if classes and "label" not in options:
        options = {**options, "label": 0}
    name, given = parse(path_spec(spec))
    prior = build(Spec(name, {**given, **options}), PRIORS)
    doc = (prior.given.maker.__doc__ or "").strip().splitlines()
    yield "prior", f"{type(prior).__name__}: {doc[0] if doc else ''}"
    yield "parameters", f"{count(prior):,}"
    if isinstance(prior, FixedShape):
        yield "images", str(prior.shape)
    if isinstance(prior, LatentPrior) and isinstance(codec := prior.autoencoder, DiffusersAutoencoder):
        yield "images", f"({codec.channels}, height, width), sides multiples of {codec.factor}"
        yield "latents", f"({codec.latent_channels}, height/{codec.factor}, width/{codec.factor})"
        yield "autoencoder", f"{codec.kind}, {count(codec):,} of the parameters"
    if classes:
        yield "classes", f"{classes}: give label=0 to {classes - 1}"
    for line in prior.notes:
        yield "note", line.removeprefix(f"{spec}: ")
    net = prior.denoiser if isinstance(prior, Autoencoded) else prior
    if isinstance(prior, PixelPrior):
        h, w = prior.size or ("any", "any")
        yield "images", f"({prior.channels}, {h}, {w})"
    if isinstance(net, PixelPrior | StableDiffusion):
        yield "parametrisation", says(net.precondition)
    yield from schedule_rows(prior.schedule)


def classes_of(path: str) -> int:
    """How many classes the network in a folder of diffusers knows; 0 for anything else."""
    root = Path(path).expanduser()
    if not root.is_dir():
        return 0
    return folder.classes(folder.read_json(folder.unet_folder(root) / "config.json"), root)


def schedule_rows(schedule: Schedule) -> Iterator[tuple[str, str]]:
    """Rows (name, text) about a prior's own noise levels."""
    levels = schedule.levels(1000)
    yield "schedule", spec_of(schedule, SCHEDULES, full=True)
    yield "noise range", f"sigma/alpha from {levels[-2].ratio:.4g} to {levels[0].ratio:.4g}, images in [-1, 1]"


def says(precondition: Precondition) -> str:
    """A convention in one line of text."""
    doc = (type(precondition).__doc__ or "").strip().splitlines()[0]
    return f"{precondition.prediction}; {type(precondition).__name__}: {doc}"


def count(net: torch.nn.Module) -> int:
    """The number of parameters of a network."""
    return sum(p.numel() for p in net.parameters())
