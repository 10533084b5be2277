import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference data outside the repository: $XHAT_SHARED, or ../shared; tests that need it are skipped without."""
    path = Path(os.environ.get("XHAT_SHARED", Path(__file__).parents[2] / "shared"))
    if not path.is_dir():
        pytest.skip("no reference data: set XHAT_SHARED")
    return path


@pytest.fixture(scope="session")
def golden(shared):
    """`golden("name")` is the content of shared/golden/name.npz or .json."""

    def load(name: str):
        path = shared / "golden" / name
        if path.with_suffix(".npz").exists():
            with np.load(path.with_suffix(".npz")) as arrays:
                return {k: torch.from_numpy(arrays[k]) for k in arrays.files}
        if path.with_suffix(".json").exists():
            return json.loads(path.with_suffix(".json").read_text())
        pytest.skip(f"no {path}")

    return load


@pytest.fixture
def float64() -> Iterator[None]:
    """Everything built in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
