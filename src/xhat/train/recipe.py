"""A recipe: everything that decides what is trained, as a TOML file of a few tables."""

import inspect
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from ..checks import shown
from ..errors import DataError, SpecError
from ..files.room import text_of
from ..priors.residual_unet import ResidualUNet
from ..ranges import Checked, Finite, Fraction, Many, NonNegative, Positive, Range, Repeats, Seed, Steps
from ..schedule import EDM, SCHEDULES, Ratio
from ..spec import build, checked, value

Cut = Range(0, 10_000)  # the side of an image in pixels; 0 turns an option off
Momentum = Range(least=0, below=1)
RECIPES = Path(__file__).parent / "recipes"
DERIVED = (
    "scaling_factor",
    "shift_factor",
    "sample_size",
    "in_channels",
    "out_channels",
    "num_class_embeds",
    "class_embed_type",
    "num_train_timesteps",
)


@dataclass(frozen=True)
class DataOptions(Checked):
    """`[data]`: how images become training examples; 0 turns an option off."""

    name: ClassVar[str] = "data"

    square: Annotated[int, Cut] = 0  # the central square, resized to N x N
    pad: Annotated[int, Cut] = 0  # black borders to N x N
    patch: Annotated[int, Cut] = 0  # random N x N patches
    channels: Literal[0, 1, 3] = 0  # 0 means 3 if any image has colour
    flip: bool = True  # mirrors an image left to right, half of the time
    validation: Annotated[int, Many] = 256  # the number of images that are held out


@dataclass(frozen=True)
class Optimiser(Checked):
    """`[optimiser]`: AdamW, its learning rate over time, and the average of the weights that is kept."""

    lr: Annotated[float, Positive] = 1e-3
    batch: Annotated[int, Range(1, 65_536)] = 32  # images per step, over all processes
    warmup: Annotated[int, Repeats] = 200  # steps of linear growth
    decay: Annotated[float, Fraction] = 0.5  # the last part of the run, in which `lr` falls to 1 % as a cosine
    beta1: Annotated[float, Momentum] = 0.9
    beta2: Annotated[float, Momentum] = 0.99
    weight_decay: Annotated[float, NonNegative] = 0.0
    clip: Annotated[float, Positive] = 1.0  # largest norm of the gradient
    ema: Annotated[float, Range(above=0, below=0.28)] = 0.08  # relative width of the average (Karras et al., 2024)
    seed: Annotated[int, Seed] = 0


@dataclass(frozen=True)
class Diffusion(Checked):
    """`[diffusion]`: EDM's constants (Karras et al., 2022, table 1), in units of images in [−1, 1]."""

    sigma_data: Annotated[float, NonNegative] = 0.0  # 0: the standard deviation of the training pixels
    p_mean: Annotated[float, Finite] = -1.2
    p_std: Annotated[float, Positive] = 1.2
    # The share of the training levels that is spread evenly in ln sigma from sigma_min to sigma_max.
    wide: Annotated[float, Fraction] = 0.0
    sigma_min: Annotated[float, Ratio] = 0.002
    sigma_max: Annotated[float, Ratio] = 80.0
    rho: Annotated[float, Range(0.1, 1_000)] = 7.0
    schedule: str = ""  # spec of the levels on which solvers run the prior; "": edm with the three numbers above

    def __post_init__(self) -> None:
        EDM(self.sigma_min, self.sigma_max, self.rho)
        if self.schedule:
            build(self.schedule, SCHEDULES)

    @property
    def levels(self) -> str:
        """The spec of the levels on which solvers run the prior."""
        return self.schedule or f"edm:sigma_min={self.sigma_min},sigma_max={self.sigma_max},rho={self.rho}"


@dataclass(frozen=True)
class Watching(Checked):
    """`[watching]`: what is looked at while training runs."""

    minutes: Annotated[float, NonNegative] = 5.0  # between two looks: validation, samples, checkpoint
    steps: Annotated[int, Range(0, 10**9)] = 0  # between two looks, if not 0
    validation: Annotated[int, Many] = 128  # number of held-out images that are denoised
    sigmas: tuple[Annotated[float, Positive], ...] = (0.05, 0.1, 0.2, 0.5, 1.0, 3.0)  # noise levels of theirs
    samples: Annotated[int, Range(1, 1024)] = 16  # number of samples in the grid
    sampling_steps: Annotated[int, Range(1, 1000)] = 18

    def __post_init__(self) -> None:
        if not self.sigmas:
            raise SpecError("watching: sigmas must be a list of noise levels, not an empty one")


@dataclass(frozen=True)
class Consistency(Checked):
    """`[consistency]`: the method and its numbers.

    `ect` (Geng et al., 2024) uses q, k, b, stages, p_mean and p_std; `cd` (Song et al., 2023) uses levels and mu.
    """

    method: Literal["ect", "cd"] = "ect"
    p_mean: Annotated[float, Finite] = -1.1  # ln t ~ N(p_mean, p_std²)
    p_std: Annotated[float, Positive] = 2.0
    q: Annotated[float, Range(above=1)] = 2.0  # 1 − r/t shrinks as q^−stage
    k: Annotated[float, Finite] = 8.0
    b: Annotated[float, Finite] = 1.0
    stages: Annotated[int, Steps] = 4
    levels: Annotated[int, Range(2, 100_000)] = 18  # number of noise levels of cd
    mu: Annotated[float, Momentum] = 0.95  # cd's target is the average μ target + (1 − μ) f
    huber: Annotated[float, Positive] = 5.4e-4  # c per √n of the pseudo-Huber loss (Song & Dhariwal, 2023)
    drawn: Annotated[int, Range(2, 1_000_000)] = 2048  # samples of the denoiser to train on if no data are given
    second: Annotated[float, Positive] = 0.8  # noise level of the second step, for the samples shown


@dataclass(frozen=True)
class Codec(Checked):
    """`[autoencoder]`: weights of the squared error and of the divergence from N(0, I); the absolute error has weight
    1.

    If a recipe has this table, `network` holds arguments of diffusers' AutoencoderKL.
    """

    name: ClassVar[str] = "autoencoder"

    l2: Annotated[float, NonNegative] = 1.0
    kl: Annotated[float, NonNegative] = 1e-3


@dataclass(frozen=True)
class Recipe:
    """The tables of a recipe.

    `network` holds the `family` and its arguments: those of `ResidualUNet` for "residual", for "unet" those of
    diffusers' UNet2DModel and `pixel_unshuffle`, which is 2 for 2x2 blocks as channels.
    """

    network: dict[str, Any] = field(default_factory=dict)
    data: DataOptions = DataOptions()
    optimiser: Optimiser = Optimiser()
    diffusion: Diffusion = Diffusion()
    watching: Watching = Watching()
    consistency: Consistency | None = None
    autoencoder: Codec | None = None

    @property
    def consistency_options(self) -> Consistency:
        """The table `[consistency]`, or its defaults if the recipe has none."""
        return self.consistency or Consistency()

    def text(self) -> str:
        """The recipe as TOML. JSON numbers, strings, booleans and lists are valid TOML, too."""
        tables: list[str] = []
        for f in fields(self):
            part = getattr(self, f.name)
            if part is None:
                continue
            items = part if isinstance(part, dict) else vars(part)
            lines = [f"{k} = {json.dumps(v)}" for k, v in items.items()]
            tables.append("\n".join([f"[{f.name}]", *lines]) + "\n")
        return "\n".join(tables)


TABLES: Mapping[str, Any] = {  # classes
    "data": DataOptions,
    "optimiser": Optimiser,
    "diffusion": Diffusion,
    "watching": Watching,
    "consistency": Consistency,
    "autoencoder": Codec,
}


def recipe_of(tables: Mapping[str, Any], origin: object) -> Recipe:
    """A recipe from the tables of a TOML file; `origin` is named in errors.

    Raises SpecError for an unknown table or key, and lists those that are valid.
    """
    known = ["network", *TABLES]
    if wrong := [k for k, v in tables.items() if k not in known or not isinstance(v, dict)]:
        raise SpecError(f"{origin}: no table {', '.join(wrong)}; a recipe has {', '.join(known)}")
    try:
        parts = {k: TABLES[k](**checked(k, TABLES[k], v)) for k, v in tables.items() if k != "network"}
        return Recipe(network_options(tables.get("network", {}), "autoencoder" in tables), **parts)
    except SpecError as e:
        raise SpecError(f"{origin}: {e}") from e


def network_options(options: Mapping[str, Any], autoencoder: bool = False) -> dict[str, Any]:
    """`options` as a dictionary with the `family` first, after a check that the network has them all.

    Raises SpecError that lists the valid ones if not, and for an unknown family.
    """
    family = "autoencoder" if autoencoder else options.get("family", "residual")
    if family == "residual":
        known = [k for k in inspect.signature(ResidualUNet.__init__).parameters if k not in ("self", "channels")]
        hint = '; for a diffusers.UNet2DModel say family = "unet"'
    elif family in ("unet", "autoencoder"):
        from diffusers import AutoencoderKL, UNet2DModel

        make: Any = (AutoencoderKL if autoencoder else UNet2DModel).__init__
        known = [k for k in inspect.signature(make).parameters if k not in ("self", *DERIVED)]
        known += [] if autoencoder else ["pixel_unshuffle"]
        hint = ""
    else:
        raise SpecError(f"network: unknown family {family!r}; known: residual, unet")
    own = {} if autoencoder else {"family": family}
    if unknown := [k for k in options if k not in (*known, *own)]:
        raise SpecError(f"network has no option {', '.join(unknown)}; it has {', '.join(known)}{hint}")
    return own | dict(options)


def read_recipe(name: str | Path, changes: Sequence[str] = (), base: Path | None = None) -> Recipe:
    """A recipe by the name of one that ships with the package, or by the path of a TOML file.

    `changes` are `table.key=value`. `base`, another recipe file, provides the tables data and diffusion if it exists
    and the recipe does not have them. Raises SpecError for an unknown recipe, table or key, DataError for a broken
    file.
    """
    shipped = sorted(p.stem for p in RECIPES.glob("*.toml"))
    file = RECIPES / f"{name}.toml" if name in shipped else Path(name).expanduser()
    try:
        tables = read_toml(file)
    except FileNotFoundError:
        raise SpecError(f"no recipe {name}; choose from {', '.join(shipped)}, or the path of a TOML file") from None
    if base is not None and base.exists():
        tables = {**{k: v for k, v in read_toml(base).items() if k in ("data", "diffusion")}, **tables}
    for change in changes:
        key, eq, text = change.partition("=")
        table, dot, option = key.strip().partition(".")
        if not (eq and dot and option):
            raise SpecError(f"--set {shown(change)}: expected table.key=value")
        own = tables.setdefault(table, {})
        if not isinstance(own, dict):
            raise SpecError(f"{file}: {table} is no table of options, but {shown(own)}")
        own[option] = value(text.strip())
    return recipe_of(tables, file if not changes else f"{file} with {', '.join(changes)}")


def read_toml(file: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises FileNotFoundError if there is none and DataError if it is broken."""
    try:
        return tomllib.loads(text_of(file))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as e:
        raise DataError(f"{file}: cannot be read as TOML ({e})") from e


def with_sigma_data(recipe: Recipe, std: float) -> Recipe:
    """The recipe with σ_data = `std`, rounded to three digits, if it asks for the measured value."""
    if recipe.diffusion.sigma_data:
        return recipe
    return replace(recipe, diffusion=replace(recipe.diffusion, sigma_data=float(f"{std:.3g}")))
