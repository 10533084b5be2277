"""The networks that ship with the package: one row each. Their model cards lie beside the weights, `NAME/README.md`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ..registry import Builder, builds
from .base import Prior
from .consistency_folder import ConsistencyFolder
from .network_folder import NetworkFolder

P = TypeVar("P", bound=Prior)

HERE = Path(__file__).parent


def trained(name: str, source: str, about: str) -> Builder[NetworkFolder]:
    """The denoiser of our own network family in the folder `name`."""

    def make(dtype: str = "auto", compile: bool = False, trial: bool = True) -> NetworkFolder:
        return NetworkFolder(HERE / name, dtype=dtype, compile=compile, trial=trial)

    return _shipped(NetworkFolder, make, name, source, about)


def consistency(name: str, source: str, about: str) -> Builder[ConsistencyFolder]:
    """The consistency model in the folder `name`, with its denoiser."""

    def make(dtype: str = "auto", compile: bool = False, trial: bool = True) -> ConsistencyFolder:
        return ConsistencyFolder(HERE / name, dtype=dtype, compile=compile, trial=trial)

    return _shipped(ConsistencyFolder, make, name, source, about)


def _shipped(kind: type[P], make: Callable[..., P], name: str, source: str, about: str) -> Builder[P]:
    make.__name__ = name
    make.__doc__ = f"{about}\n\nIts model card is `{name}/README.md`."
    return builds(kind, source=f"trained for this package on {source}")(make)


SHIPPED: dict[str, Builder[Any]] = {
    "photo": trained(
        "photo",
        "photographs of BSDS500, ImageNet and free wallpapers",
        "Natural photographs of any size, colour or grey, in [−1, 1]: the default prior.",
    ),
    "fashion": consistency(
        "fashion",
        "Fashion-MNIST",
        "Grey pictures of clothes, 32 × 32, in [−1, 1] with black borders (Fashion-MNIST): a denoiser and, for the "
        "solvers\nthat jump, its consistency model.",
    ),
    "faces": consistency(
        "faces",
        "LFWcrop",
        "Colour faces, 64 × 64, in [−1, 1] (LFWcrop): a denoiser and, for the solvers that jump, its\n"
        "consistency model; samples are faces with crooked features.",
    ),
    "nuclei": trained(
        "nuclei",
        "the Data Science Bowl 2018",
        "Fluorescence micrographs of cell nuclei, grey, any size, in [−1, 1] (Data Science Bowl 2018).",
    ),
    "brain": trained(
        "brain",
        "public head slices",
        "Magnitudes of head slices by MRI, grey, any size, in [−1, 1]: with `magnitude` a prior of complex images.",
    ),
    "blackhole_net": trained(
        "blackhole_net",
        "`xhat generate blackhole`",
        "Pictures of black holes, and of blobs and discs, grey in [−1, 1], 64 × 64: a network beside the mixture\n"
        "`blackhole`.",
    ),
    "velocity_net": trained(
        "velocity_net",
        "`xhat generate velocity`",
        "Velocities of the ground for `fwi`, x = (v − 3)/1.5 in km/s: a network beside the mixture `velocity`.\n"
        "Trained on 64 × 64 and 128 × 128.",
    ),
    "vorticity_net": trained(
        "vorticity_net",
        "`xhat generate vorticity`",
        "Vorticities w of a forced flow for `navier_stokes:scale=25`, x = w/25, 64 × 64: a network\n"
        "beside the Gaussian `vorticity`.",
    ),
}
