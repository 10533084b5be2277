import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines import spot_denoiser
from xhat.priors import PRIORS, Prior, build_prior, path_spec
from xhat.spec import parameters

COMMITTED = Path(__file__).parent / "golden"
SHARED = Path(os.environ.get("XHAT_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session", autouse=True)
def full_precision() -> Iterator[None]:
    """Networks run in float32 where a test does not ask for another format: most compare numbers to 1e-4 and better."""
    from xhat.numerics import precision

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "fast_dtype", lambda: torch.float32)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference data outside the repository: $XHAT_SHARED, or ../shared; tests that need it are skipped without."""
    if not SHARED.is_dir():
        pytest.skip("reference data outside the repository: set XHAT_SHARED")
    return SHARED


@pytest.fixture(scope="session", params=["committed", pytest.param("whole", marks=pytest.mark.slow)])
def golden_file(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """`golden_file("name")` is the file of values of the original codes called name.npz or name.json.

    A test that asks for it runs twice: on the part that lies in tests/golden, and on the whole outside the repository,
    which counts as slow. It is skipped, and says so, where a file is not there.
    """
    folder = COMMITTED if request.param == "committed" else SHARED / "golden"

    def find(name: str) -> Path:
        if request.param == "whole" and not folder.is_dir():
            pytest.skip("whole golden values lie outside the repository: set XHAT_SHARED")
        for path in (folder / f"{name}.npz", folder / f"{name}.json"):
            if path.exists():
                return path
        pytest.skip(f"golden {name} is not among the {request.param} ones")

    return find


def untried(spec: str | Prior, device: str = "cpu") -> Prior:
    """The prior of a spec or path with the option `trial=false`: random networks denoise nothing."""
    if not isinstance(spec, str):
        return build_prior(spec, device)
    spec = path_spec(spec)
    name = spec.split(":")[0]
    if name in PRIORS and "trial" in parameters(PRIORS[name]) and not spec.endswith("trial=false"):
        spec += f"{',' if ':' in spec else ':'}trial=false"
    return build_prior(spec, device)


class Golden(dict[str, Tensor]):
    """Golden values by name. Of a large one the committed part has every n-th number only."""

    def __missing__(self, key: str) -> Tensor:
        pytest.skip(f"golden {key} is not among the committed ones")

    def pair(self, key: str, found: Tensor) -> tuple[Tensor, Tensor]:
        """What of `found` is to be compared, and with what."""
        if f"{key}:every" in self:
            return found.flatten()[:: int(self[f"{key}:every"])], self[key]
        return found.reshape(self[key].shape), self[key]


@pytest.fixture(scope="session")
def golden(golden_file):
    """`golden("name")` is the content of the golden file name.npz, as a `Golden`, or of name.json."""

    def load(name: str):
        path = golden_file(name)
        if path.suffix == ".json":
            return json.loads(path.read_text())
        with np.load(path) as arrays:
            return Golden({k: torch.from_numpy(arrays[k]) for k in arrays.files})

    return load


@pytest.fixture(scope="session")
def diffusers_denoiser(tmp_path_factory) -> Path:
    """A folder with a small `UNet2DModel` that denoises, in the layout of the diffusers library."""
    return spot_denoiser(tmp_path_factory.mktemp("diffusers"))


@pytest.fixture
def float64() -> Iterator[None]:
    """Everything built in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
