"""What `import xhat` offers, and what it costs."""

import pkgutil
import subprocess
import sys
from importlib import import_module

import xhat

LATE = {"diffusers", "transformers", "torchmetrics", "rich", "scipy", "skimage", "matplotlib", "torchvision"}


def test_public_names_are_sorted_and_there():
    """Constants, classes, functions, each from A to Z, as ruff has it."""
    assert xhat.__all__ == sorted(xhat.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert all(hasattr(xhat, name) for name in xhat.__all__)
    assert all(hasattr(xhat.metrics, name) for name in xhat.metrics.__all__)


def test_no_function_hides_a_module_of_its_name():
    """`import xhat.a.b` must give the module, in every package: an attribute that is a function is in its way."""
    names = [m.name for m in pkgutil.walk_packages(xhat.__path__, "xhat.") if not m.name.endswith("__main__")]
    hidden = []
    for name in names:
        import_module(name)
        parent, _, leaf = name.rpartition(".")
        if getattr(sys.modules[parent], leaf) is not sys.modules[name]:
            hidden.append(name)
    assert hidden == []


def test_dir_shows_the_public_names_only():
    assert dir(xhat) == sorted(xhat.__all__)
    assert dir(xhat.metrics) == sorted(xhat.metrics.__all__)


def test_importing_xhat_imports_nothing_heavy_but_torch():
    code = "import sys, xhat, xhat.metrics; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not LATE & set(out.split())
