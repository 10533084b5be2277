"""Reads folders in the layout of the diffusers library; diffusers itself is imported only to build the network."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..checks import number
from ..errors import DataError, SpecError
from ..files.inside import check_links, inside
from ..files.room import text_of
from ..schedule import EDM, VE, Discrete, Flow, Schedule
from ..spec import Spec, build
from .averages import says
from .precondition import Consistent, Karras, Precondition, Score, Tabulated, Velocity

AUTOENCODERS = ("vae", "vqvae", "autoencoder", "first_stage_model")  # where pipelines keep theirs
KARRAS = ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler")
CONSISTENCY = ("CMStochasticIterativeScheduler",)
SCORE, FLOW = "ScoreSdeVeScheduler", "FlowMatchEulerDiscreteScheduler"
# One β table and one network convention; they differ in how they step, which is a solver's business.
TABULATED = (
    "DDPMScheduler", "DDPMParallelScheduler", "DDIMScheduler", "DDIMParallelScheduler", "PNDMScheduler",
    "LMSDiscreteScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler", "DPMSolverSDEScheduler", "DEISMultistepScheduler", "UniPCMultistepScheduler",
    "RePaintScheduler", "SASolverScheduler", "DDIMInverseScheduler", "DPMSolverMultistepInverseScheduler",
)  # fmt: skip


def existing(path: str | Path) -> Path:
    """The folder at `path`, with ~ expanded. Raises DataError if there is none, or if a link in it leads out of it."""
    root = Path(path).expanduser()
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; a diffusers model has the folders unet and scheduler in it")
    return check_links(root)


def check_indices(root: Path) -> None:
    """Raises DataError if an index of weights in the folder `root` names a file outside of it."""
    for index in root.glob("*.index.json"):
        names = read_json(index).get("weight_map")
        for name in set(names.values()) if isinstance(names, dict) else ():
            inside(root / str(name), root, str(index))


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in `file` as a dictionary. Raises DataError if the file is missing or holds something else."""
    try:
        content = json.loads(text_of(file))
    except FileNotFoundError:
        raise DataError(f"{file} is missing") from None
    except (OSError, ValueError, RecursionError) as e:
        raise DataError(f"{file} is not readable as JSON: {e}") from e
    if not isinstance(content, dict):
        raise DataError(f"{file} does not hold a JSON object")
    return content


def load_network(root: Path, kinds: tuple[str, ...], dtype: torch.dtype) -> Any:
    """The network in the folder `root`, not trainable and in `dtype`.

    `kinds` are the names of the diffusers classes that are accepted. Raises SpecError for another class and DataError
    for damaged files.
    """
    name = read_json(root / "config.json").get("_class_name", kinds[0])
    if name not in kinds:
        raise SpecError(f"{root} holds a {name}; known here: {', '.join(kinds)}")
    check_indices(root)
    import diffusers
    from diffusers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # hints about optional packages and casts
    try:
        load: Any = getattr(diffusers, name).from_pretrained
        net = load(root, low_cpu_mem_usage=False, local_files_only=True)
        net = net.to(dtype).to(memory_format=torch.channels_last)
    except (OSError, ValueError, RuntimeError) as e:
        raise DataError(f"{root}: {e}") from e
    finally:
        logging.set_verbosity(verbosity)
    return net.eval().requires_grad_(False)


def unet_folder(root: Path, weights: str | None = None) -> Path:
    """The folder that holds the denoiser: `root`/unet, or `root` itself as in older checkpoints.

    If a folder with averaged weights lies beside it, such as the `unet_ema` that trainings leave, it is that one.
    `weights` is the name of another folder, or `averaged` or `raw`. Raises SpecError if there is none of that name.
    """
    nets = {f.parent.name: f.parent for f in sorted(root.glob("*unet*/config.json"))}
    if not nets:
        if weights not in (None, "raw"):
            raise SpecError(f"{root} has no weights {weights!r}; it holds one network")
        return root
    averaged = [name for name in nets if says((name,))]
    raw = [name for name in ("unet", *nets) if name in nets and name not in averaged]
    asked = {None: averaged or raw, "averaged": averaged, "raw": raw}.get(weights, [weights])
    if not asked or asked[0] not in nets:
        raise SpecError(f"{root} has no weights {weights!r}; it has {', '.join(nets)}")
    return nets[str(asked[0])]


def weights_note(root: Path, taken: Path) -> tuple[str, ...]:
    """A line about the choice of the folder `taken` by `unet_folder`, if there was one to make."""
    others = [f.parent.name for f in sorted(root.glob("*unet*/config.json")) if f.parent != taken]
    if not others:
        return ()
    kind = "averaged weights" if says((taken.name,)) else "weights"
    return (f"{root}: took the {kind} {taken.name}; {', '.join(others)} lies beside (weights=NAME takes another)",)


def load_unet(root: Path, dtype: torch.dtype, kind: str = "UNet2DModel", weights: str | None = None) -> Any:
    """The UNet of class `kind` in a pipeline's folder, not trainable and in `dtype`; `weights` as in `unet_folder`."""
    return load_network(unet_folder(root, weights), (kind,), dtype)


def classes(config: Mapping[str, Any], root: Path) -> int:
    """How many classes a UNet2DModel with this `config` knows, 0 if it is not class-conditional.

    Raises SpecError if its classes are not numbers.
    """
    if kind := config.get("class_embed_type"):
        raise SpecError(
            f"{root}: a network with class_embed_type = {kind} is not supported; its classes are no numbers"
        )
    return int(config.get("num_class_embeds") or 0)


def kind_of(root: Path) -> str:
    """The kind of prior that the folder holds: network (trained here), diffusers (over images), consistency,
    latent_diffusion or stable_diffusion.
    """
    if own := trained_here(root):
        return "consistency" if own.get("endpoint") else "network"
    if is_consistency(root):
        return "consistency"
    if read_json(unet_folder(root) / "config.json").get("_class_name") == "UNet2DConditionModel":
        return "stable_diffusion"
    return "latent_diffusion" if autoencoder_folder(root) else "diffusers"


def trained_here(root: Path) -> dict[str, Any]:
    """The config of a folder with a network of the families trained here; empty for any other folder."""
    config = read_json(root / "config.json") if (root / "config.json").exists() else {}
    return config if "network" in config else {}


def autoencoder_folder(root: Path) -> Path | None:
    """The folder of the autoencoder below `root`, or None if there is none."""
    return next((root / name for name in AUTOENCODERS if (root / name).is_dir()), None)


def read_scheduler(root: Path, whole: bool = False) -> tuple[Precondition, Schedule]:
    """The convention of the network and its own noise levels, from `root`/scheduler/scheduler_config.json.

    `whole` says that the network accepts only whole time steps. Raises SpecError for a scheduler that is not supported.
    """
    file = scheduler_file(root)
    try:
        return convention(read_json(file), whole)
    except SpecError as e:
        raise SpecError(f"{file}: {e}") from e


def convention(config: Mapping[str, Any], whole: bool = False) -> tuple[Precondition, Schedule]:
    """The convention of a network and its own noise levels, from the config of its scheduler.

    `whole` says that the network accepts only whole time steps. Raises SpecError for a scheduler that is not supported.
    """
    kind, prediction = config.get("_class_name"), config.get("prediction_type", "epsilon")
    if kind in KARRAS + CONSISTENCY:
        if whole:
            raise SpecError(f"{kind} needs a network with a continuous time embedding, this one's is learned")
        edm = EDM(*(_number(config, k, v) for k, v in (("sigma_min", 0.002), ("sigma_max", 80.0), ("rho", 7.0))))
        sigma_data = _number(config, "sigma_data", 0.5)
        if kind in CONSISTENCY:
            return Consistent("endpoint", edm.sigma_min, sigma_data), edm
        return Karras(prediction, sigma_data), edm
    if kind == SCORE:
        lo, hi = (_number(config, k, v) for k, v in (("sigma_min", 0.01), ("sigma_max", 1348.0)))
        return Score(), VE(2 * lo, 2 * hi)
    if kind == FLOW:
        if config.get("use_dynamic_shifting"):
            raise SpecError("use_dynamic_shifting, a shift that depends on the image's size, is not supported")
        time = _number(config, "num_train_timesteps", 1000.0)
        return Velocity(steps=time), Flow(shift=_number(config, "shift", 1.0))
    if kind in TABULATED:
        table = read_table(config)
        return Tabulated(prediction, table, whole), table
    known = ", ".join((*KARRAS, SCORE, FLOW, *TABULATED, *CONSISTENCY))
    raise SpecError(f"unknown scheduler {kind!r}; known: {known}")


def _number(config: Mapping[str, Any], key: str, default: float) -> float:
    """The positive finite number that `config` has under `key`. Raises SpecError for anything else."""
    return number(key, config.get(key, default))


def scheduler_file(root: Path) -> Path:
    """The path of the scheduler's config in `root`; if there is none, the path where it should be."""
    return next((f for f in (root / "scheduler" / NAME, root / NAME) if f.exists()), root / "scheduler" / NAME)


def is_consistency(path: str | Path) -> bool:
    """Whether the folder at `path` holds a consistency model."""
    file = scheduler_file(Path(path).expanduser())
    return file.exists() and read_json(file).get("_class_name") in CONSISTENCY


def read_table(config: Mapping[str, Any]) -> Discrete:
    """The β table of a scheduler's `config`, rescaled to end at zero signal-to-noise ratio if the config says so.

    Raises SpecError for what `Discrete` would not take from a spec string, before a table of that length is made.
    """
    options: dict[str, Any] = {"zero_snr": bool(config.get("rescale_betas_zero_snr"))}
    if config.get("trained_betas") is not None:
        options["betas"] = config["trained_betas"]
    else:
        named = {"kind": "beta_schedule", "beta_start": "beta_start", "beta_end": "beta_end"}
        options |= {k: config[key] for k, key in (named | {"steps": "num_train_timesteps"}).items() if key in config}
    return build(Spec("discrete", options), {"discrete": Discrete})


NAME = "scheduler_config.json"
