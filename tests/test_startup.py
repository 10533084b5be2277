"""What a command imports: nothing of torch to answer for itself, nothing of other libraries for a first picture."""

import ast
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import xhat
from xhat.cli import arguments, listing
from xhat.priors.generated import GENERATORS

LOADED = "\nprint('loaded', *(m for m in sys.argv[1].split(',') if m in sys.modules))"
ASK = "import sys\nfrom xhat.cli.arguments import main\ntry:\n    main({args})\nexcept SystemExit:\n    pass"


def loaded(args: list[str], names: str, cwd: Path) -> list[str]:
    """Which of the modules `names` are imported once the command `args` is done in a new process."""
    run = [sys.executable, "-c", ASK.format(args=args) + LOADED, names]
    out = subprocess.run(run, check=True, capture_output=True, text=True, cwd=cwd).stdout.splitlines()
    return next(line for line in out if line.startswith("loaded")).split()[1:]


@pytest.mark.parametrize(
    "args", [["--version"], ["--help"], ["restore", "--help"], ["train", "denoiser", "--help"], ["bench", "--help"]]
)
def test_xhat_answers_for_itself_without_torch_in_a_third_of_a_second(args, tmp_path):
    """Of the processor's time: 0.08 s on the machine where it was written, 2.2 s with torch."""
    before = os.times()
    assert loaded(args, "torch,numpy,PIL", tmp_path) == []
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 0.3


def test_xhat_list_imports_torch_once_for_each_installation(tmp_path, monkeypatch):
    monkeypatch.setenv("XHAT_CACHE", str(tmp_path))
    first, again = (loaded(["list"], "torch,numpy,PIL", tmp_path) for _ in range(2))
    assert "torch" in first
    assert again == []


@pytest.mark.parametrize(
    "more", [["--scratches", "m.png"], ["--scratches", "red"], ["--deblur"], ["--enlarge", "2"], []]
)
def test_fix_says_its_first_line_before_any_library_is_imported(more, tmp_path):
    """The command that it stands for needs no look at pixels; a name of a colour needs Pillow's list of them."""
    (tmp_path / "m.png").touch()
    code = (
        "import sys\nfrom xhat.cli import arguments, fix\nsaid = fix.say\n"
        "def say(made):\n    said(made)\n    print(*(m for m in ('torch', 'numpy') if m in sys.modules))\n"
        "    raise SystemExit\nfix.say = say\narguments.main(['fix', 'x.png', *sys.argv[1:]])"
    )
    run = [sys.executable, "-c", code, *more]
    done = subprocess.run(run, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr.startswith("xhat: xhat restore x.png -o x_fixed.png")
    assert done.stdout.split() == []


@pytest.mark.slow
def test_a_first_picture_needs_no_library_of_other_networks_and_metrics(tmp_path):
    from PIL import Image

    Image.new("RGB", (16, 16), "grey").save(tmp_path / "y.png")
    args = [
        "restore",
        "y.png",
        "--operator",
        "denoise",
        "--noise",
        "gaussian:sigma=0.1",
        "--solver",
        "lmaps:steps=1",
        "-o",
        "o.png",
    ]
    assert loaded(args, "torch,diffusers,transformers,torchmetrics", tmp_path) == ["torch"]
    assert (tmp_path / "o.png").exists()


def test_every_public_name_is_where_the_package_says():
    assert sorted([*xhat._HOME, "__version__"]) == sorted(xhat.__all__)
    tree = ast.parse(Path(str(xhat.__file__)).read_text(encoding="utf-8"))
    typed = {a.name: n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level for a in n.names}
    assert typed == xhat._HOME
    for name, home in xhat._HOME.items():
        assert getattr(xhat, name) is getattr(import_module(f"xhat.{home}"), name)
    assert xhat.solvers is import_module("xhat.solvers")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = xhat.nothing


def test_what_the_arguments_name_is_what_there_is():
    assert tuple(listing.KINDS) == arguments.LISTED
    assert tuple(sorted(GENERATORS)) == arguments.GENERATED


CTRL_C = """import runpy, sys
class Impatient:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Impatient())
sys.argv = ["xhat", "--version"]
runpy.run_module("xhat", run_name="__main__")
"""


@pytest.mark.parametrize("name", ["xhat.cli", "xhat.cli.arguments", "xhat.bench.arguments"])
def test_ctrl_c_is_one_line_while_the_program_is_imported(name, tmp_path):
    run = [sys.executable, "-c", CTRL_C.format(name=name)]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 130
    assert done.stderr == "xhat: interrupted\n"


def test_ctrl_c_is_one_line_while_the_parser_is_built(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(arguments, "parser", interrupted)
    assert arguments.main(["--version"]) == 130
    assert capsys.readouterr().err == "xhat: interrupted\n"


@pytest.mark.parametrize(("given", "policy"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(given, policy):
    """It is set before torch is loaded, which reads it then."""
    code = (
        "import os, sys, xhat.__main__ as cli; assert 'torch' not in sys.modules; sys.argv = ['xhat', '--version']\n"
        "try: cli.main()\nfinally: print(os.environ['OMP_WAIT_POLICY'])"
    )
    others = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**others, **given}, capture_output=True, text=True, check=False
    )
    assert done.stdout.split()[-1] == policy
