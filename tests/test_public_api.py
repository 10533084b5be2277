"""What `import xhat` offers, and what it costs."""

import subprocess
import sys

import xhat

LATE = {"diffusers", "transformers", "torchmetrics", "rich", "scipy", "skimage", "matplotlib", "torchvision"}


def test_public_names_are_sorted_and_there():
    """Constants, classes, functions, each from A to Z, as ruff has it."""
    assert xhat.__all__ == sorted(xhat.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert all(hasattr(xhat, name) for name in xhat.__all__)


def test_functions_are_not_hidden_by_modules_of_the_same_name():
    code = "import xhat.cli, xhat.restore, xhat.solve, xhat.simulate, xhat.likelihood as l, xhat; print(*map(callable, (xhat.restore, xhat.solve, xhat.simulate, xhat.likelihood)))"  # noqa: E501
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["True"] * 4


def test_importing_xhat_imports_nothing_heavy_but_torch():
    code = "import sys, xhat; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not LATE & set(out.split())
