"""Networks of NVIDIA's EDM and of InverseBench as priors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ...errors import DataError, SpecError
from ...ranges import Range
from ...schedule import EDM, VP, Discrete, Schedule
from ..precondition import Karras, Precondition, Tabulated
from .conventions import SongVE, SongVP
from .files import Checkpoint, read
from .karras_config import config_of, used
from .karras_net import KarrasConfig, KarrasUNet
from .plan import NetworkPrior, Plan

CONVENTIONS = {"EDMPrecond": "edm", "VPPrecond": "vp", "VEPrecond": "ve", "iDDPMPrecond": "iddpm"}
# InverseBench's networks by (song, resolution, channels, base width, multiples): what they are for, and the convention.
RELEASES = {
    (False, 128, 1, 128, (1, 1, 1, 2, 2)): ("InverseBench scattering, FWI or Navier-Stokes", "edm"),
    (False, 320, 2, 128, (1, 1, 1, 2, 2)): ("InverseBench MRI", "edm"),
    (True, 64, 1, 128, (1, 2, 2)): ("InverseBench black hole", "vp"),
}


class EDMNetwork(NetworkPrior):
    """A network of EDM (Karras et al., 2022): DDPM++, NCSN++ or ADM, from a pickle or a state dict. arXiv:2206.00364

    The configuration is read off the tensors in the file `path`. A pickle says by which `convention` the network was
    trained (edm, vp, ve, iddpm). For InverseBench's networks it is known, and other state dicts need the option.
    `sigma_data` is EDM's. `label` is the class, for class-conditional networks. `weights` is `averaged`, `raw` or
    the name of one of the sets of weights in the file. The source code in a pickle is never
    run. Raises DataError for a file that cannot be read, and SpecError if an option is missing or wrong.
    """

    source = "github.com/NVlabs/edm, github.com/devzhk/InverseBench; arXiv 2206.00364"

    def __init__(
        self,
        path: str | Path,
        convention: Literal["edm", "vp", "ve", "iddpm"] | None = None,
        sigma_data: Annotated[float, Range(above=0, most=1e6)] | None = None,
        label: Annotated[int, Range(0, 1_000_000)] | None = None,
        weights: str | None = None,
        dtype: str = "float32",
        compile: bool = False,
        trial: bool = True,
    ) -> None:
        super().__init__(edm_plan(read(path, is_karras, weights), convention, sigma_data), label, dtype, compile, trial)


def is_karras(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the tensors have the names of a network of EDM."""
    return "map_layer0.weight" in tensors and any(k.startswith("enc.") for k in tensors)


def edm_plan(file: Checkpoint, convention: str | None = None, sigma_data: float | None = None) -> Plan:
    """The plan for a network of EDM's layout.

    The options win over what the pickle says, and the pickle wins over the list of releases. Raises SpecError if `file`
    has another layout.
    """
    if not is_karras(file.tensors):
        raise SpecError(f"{file.path} is no network of EDM; give the path alone to have its layout recognised")
    config, wrapper = config_of(file.tensors, file.path), file.facts.get("wrapper")
    if wrapper is not None and wrapper not in CONVENTIONS and convention is None:
        raise DataError(f"{file.path} holds a {wrapper}; known: {', '.join(CONVENTIONS)}")
    key = (config.song, config.resolution, config.channels, config.model_channels, config.channel_mult)
    name, released = RELEASES.get(key, ("", None))
    kind = convention or (CONVENTIONS[wrapper] if wrapper else released)
    known = None if kind is None else conventions(kind, dict(file.facts), sigma_data)
    precondition, schedule = known or (None, None)
    return Plan(
        path=file.path,
        weights=file.weights,
        notes=file.notes,
        layout="EDM pickle" if wrapper else "EDM state dict",
        architecture=describe(config, name if not wrapper else ""),
        build=lambda: KarrasUNet(config),
        tensors=used(file.tensors),
        shape=(config.channels, config.resolution, config.resolution),
        multiple=2 ** (len(config.channel_mult) - 1),
        classes=config.label_dim,
        labels=lambda label: one_hot(torch.tensor([label]), config.label_dim).float(),
        precondition=precondition,
        schedule=schedule,
        needs=() if known else (f"convention ({', '.join(CONVENTIONS.values())})",),
    )


def conventions(kind: str, facts: dict[str, Any], sigma_data: float | None) -> tuple[Precondition, Schedule]:
    """How the network is read, and the noise levels it was trained on, with the numbers that the file gives.

    `kind` is edm, vp, ve or iddpm; `facts` are the numbers in a pickle, whose missing ones take EDM's defaults. Raises
    SpecError for another kind.
    """
    if kind not in CONVENTIONS.values():
        raise SpecError(f"unknown convention {kind!r}; choose from {', '.join(CONVENTIONS.values())}")
    if kind == "edm":
        # The class in the pickle says 0 and infinity; the sampler of the paper runs from 80 to 0.002.
        return Karras("epsilon", sigma_data or float(facts.get("sigma_data", 0.5))), EDM()
    if kind == "vp":
        beta_d, beta_min = float(facts.get("beta_d", 19.9)), float(facts.get("beta_min", 0.1))
        return SongVP("epsilon", beta_d, beta_min, int(facts.get("M", 1000))), VP(beta_min, beta_min + beta_d)
    if kind == "ve":
        return SongVE(), EDM(float(facts.get("sigma_min", 0.02)), float(facts.get("sigma_max", 100.0)))
    table = Discrete("squaredcos_cap_v2", steps=int(facts.get("M", 1000)))
    return Tabulated("epsilon", table), table


def describe(c: KarrasConfig, name: str) -> str:
    """The network in one line of text; `name` is that of the release, or empty."""
    kind = "DDPM++" if c.encoder == "standard" and not c.fourier else "NCSN++"
    where = ", ".join(map(str, c.attention)) or f"the lowest, {c.resolution >> (len(c.channel_mult) - 1)},"
    net = f"{f'{name}: ' if name else ''}{f'{kind} (SongUNet)' if c.song else 'ADM (DhariwalUNet)'}"
    widths = f"{c.model_channels} channels x ({', '.join(map(str, c.channel_mult))})"
    return f"{net}, {widths}, residual blocks a level: {c.num_blocks}, attention at {where} pixels"
