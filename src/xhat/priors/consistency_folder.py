"""Consistency models from folders: those that `xhat train consistency` wrote, and diffusers' pipelines."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor

from ..errors import DataError, MismatchError, SpecError
from ..files.inside import inside
from ..ranges import Range
from ..schedule import EDM
from ..spec import build_as, without_code
from . import diffusers_folder as folder
from .base import Prior
from .consistency import LayeredConsistency
from .network_folder import CONFIG, NetworkFolder
from .precondition import Consistent, Precondition
from .unet import DiffusersPrior

PACE = 0.25  # the time of our own networks over ln σ, of consistency models as of denoisers


class ConsistencyFolder(LayeredConsistency):
    """A consistency model that `xhat train` wrote, or a `ConsistencyModelPipeline` of the diffusers library.

    In the folder `path`, the first has `config.json` and `model.safetensors` as `network` has them, with `endpoint` and
    `shape`, the second `unet/` and `scheduler/`, a CMStochasticIterativeScheduler. `denoiser` is the prior that gives
    E[x₀|x_t]. If it is left out, `config.json` or, for the second, `xhat.json` in the folder may name it (`denoiser`: a
    spec, or a folder relative to this one); otherwise there is none. `label` and `weights`, for the second only,
    `dtype`, `compile` and `trial` mean the same as for `diffusers`. The output is not clipped to [−1, 1], even if the
    scheduler's config has `clip_denoised`.
    """

    source = "xhat train consistency, or ConsistencyModelPipeline of Hugging Face diffusers; arXiv 2303.01469"

    def __init__(
        self,
        path: str | Path,
        denoiser: Prior | None = None,
        label: Annotated[int, Range(0, 1_000_000)] | None = None,
        weights: str | None = None,
        dtype: str = "float32",
        compile: bool = False,
        trial: bool = True,
    ) -> None:
        root = folder.existing(path)
        own = bool(folder.trained_here(root))
        if own and (label is not None or weights is not None):
            raise SpecError(f"{root} has no classes and one set of weights; label and weights are for diffusers")
        network = (
            ConsistencyNetwork(root, dtype, compile, trial)
            if own
            else ConsistencyUNet(root, label, weights, dtype, compile, trial)
        )
        teacher = denoiser
        if denoiser is None and (extra := root / (CONFIG if own else "xhat.json")).exists():
            named = folder.read_json(extra).get("denoiser")
            teacher = _named(str(named), extra) if named else None
            if teacher is not None:
                teacher.trial = trial
        levels = network.schedule
        assert isinstance(levels, EDM)
        sides = network.sides(root)
        super().__init__((network.channels, *sides), levels.sigma_min, levels.sigma_max, teacher)
        self.unet = network
        self.layers = network.layers

    def endpoint(self, u: Tensor, sigma: float) -> Tensor:
        return self.unet.denoise(u, sigma)

    def through(self, u: Tensor, sigma: float, shifts: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        values: dict[str, Tensor] = {}

        def shift(name: str, h: Tensor) -> Tensor:
            h = h + shifts[name].to(h) if name in shifts else h
            values[name] = h.to(u)
            return h

        hooks = [
            self.unet.net.get_submodule(name).register_forward_hook(lambda _m, _i, h, name=name: shift(name, h))
            for name in self.layers
        ]
        try:
            return self.unet.denoise(u, sigma), values
        finally:
            for hook in hooks:
                hook.remove()


class ConsistencyUNet(DiffusersPrior):
    """The network of a diffusers consistency model: its `denoise` is f(u, σ)."""

    takes = (Consistent,)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that can be shifted, by name."""
        return ("mid_block", *(f"up_blocks.{i}" for i in range(len(self.net.up_blocks))))

    def sides(self, root: Path) -> tuple[int, int]:
        """The height and width of its images. Raises MismatchError if its config, in `root`, does not say."""
        size = self.net.config.sample_size
        h, w = tuple(size) if isinstance(size, list | tuple) else (size, size)
        if not (isinstance(h, int) and isinstance(w, int)):
            raise MismatchError(f"{root}: the network's config has no sample_size, so its images have no shape")
        return h * self.block, w * self.block


class ConsistencyNetwork(NetworkFolder):
    """The network of a consistency model trained here: its `denoise` is f(u, σ)."""

    def convention(self, config: Mapping[str, Any], root: Path) -> Precondition:
        if not config.get("endpoint"):
            raise SpecError(f"{root} holds a denoiser and no consistency model; the folder itself will do")
        levels = self.schedule
        if not isinstance(levels, EDM):
            raise SpecError(f"{root}: the schedule of a consistency model is edm, not {config['schedule']!r}")
        return Consistent("endpoint", levels.sigma_min, float(config["sigma_data"]), pace=PACE)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that can be shifted, by name: the coarsest level, and each level on the way up."""
        net = self.net
        last = len(net.down) - 1
        up = (f"up.{i}.{len(net.up[i]) - 1}" for i in reversed(range(last)))
        return (f"down.{last}.{len(net.down[last]) - 1}", *up)

    def sides(self, root: Path) -> tuple[int, int]:
        """The height and width of its images. Raises MismatchError if its config, in `root`, does not say."""
        if self.size is None:
            raise MismatchError(f"{root}: {CONFIG} has no shape, so the images of the consistency model have none")
        h, w = self.size
        return h, w


def _named(text: str, file: Path) -> Prior:
    """The prior that the JSON `file` names: a spec, or a folder in or beside the folder of the file.

    Raises SpecError if it names code, `package.module:Class`, and DataError if it names a file or a folder elsewhere.
    """
    root = file.parent
    if (root / text).is_dir():
        text = str(inside(root / text, root.resolve().parent, str(file)))
    else:
        without_code(text, file)
        if any(path in text for path in ("/", "\\", "path=")):
            raise DataError(f"{file} names {text}, which leads out of {root}; give denoiser in the spec")
    return build_as(Prior, text)
