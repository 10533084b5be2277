"""Registries, plug-ins, builders, and specs of parts that were given as objects."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import xhat
from xhat.baselines import BASELINES
from xhat.bench.grid import load as xhat_grid
from xhat.errors import ShapeError, SpecError
from xhat.files.measurement import Measurement
from xhat.files.readers.load import load
from xhat.metrics.registry import metric, row_of
from xhat.noise import NOISES
from xhat.operators import OPERATORS
from xhat.operators.base import LinearOperator
from xhat.operators.building import build_operator, kind, operator_spec
from xhat.priors import PRIORS
from xhat.registry import Builder, Registry, builds, kind_of
from xhat.science.mri.multi_coil import MRI
from xhat.solvers import SOLVERS
from xhat.spec import Spec, build, build_as, names_code, spec_of

PLUGIN = """
import torch
from dataclasses import dataclass
import xhat
from xhat.types import Data, Image

class Flip(xhat.LinearOperator):
    '''y is x upside down.'''
    def __init__(self, shape: tuple[int, ...], axis: int = -2) -> None:
        super().__init__(shape)
        self.axis = axis
    def forward(self, x: Image) -> Data:
        return x.flip(self.axis)

@dataclass(frozen=True)
class Mine(xhat.Estimator[xhat.LinearGaussian]):
    '''The proximal map, and nothing else.'''
    needs = xhat.LinearGaussian
    steps: int = 2
    zeta: float = 1.0
    def estimate(self, x, t, prior, like, rng):
        return like.prox(prior(x, t), like.var / t.ratio**2)

PLUGIN = xhat.Plugin("mine", operators={"flip": Flip}, solvers={"mine": Mine})
"""


@pytest.fixture
def package(tmp_path):
    """A folder with the module `minexhat`, installed as far as entry points can tell."""
    (tmp_path / "minexhat.py").write_text(PLUGIN)
    info = tmp_path / "minexhat-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: minexhat\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[xhat.plugins]\nmine = minexhat:PLUGIN\n")
    return tmp_path


def python(folder: Path, code: str) -> str:
    path = ":".join([str(folder), *sys.path])
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": path})
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
def test_an_installed_plug_in_is_found_by_its_entry_point(package):
    code = """
import torch, xhat
from xhat.cli.arguments import main
A = xhat.build("flip", xhat.operators.OPERATORS, (1, 8, 8))
y = xhat.simulate(torch.zeros(1, 8, 8), "flip:axis=-1", "gaussian", seed=1)
r = xhat.restore(y, prior="powerlaw", solver="mine")
print(r.record["operator"], r.record["solver"], type(A).__name__, r.record["versions"]["minexhat"])
main(["list", "solvers", "mine"])
"""
    out = python(package, code)
    assert out.startswith("flip:axis=-1 mine:steps=2,zeta=1 Flip 1.0")
    assert "The proximal map, and nothing else." in out


def test_a_class_of_any_module_is_a_spec(package, monkeypatch):
    assert list(OPERATORS)  # looks for plug-ins now: the package is one, which would have a shorter name
    monkeypatch.syspath_prepend(package)
    A = build_operator("minexhat:Flip:axis=-1", (1, 4, 4))
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert torch.equal(A(x), x.flip(-1))
    assert operator_spec(A) == "minexhat:Flip:axis=-1"
    assert Spec.parse("minexhat:Flip:axis=-1").imported
    with pytest.raises(SpecError, match="not a subclass of Solver"):
        build("minexhat:Flip", SOLVERS)
    with pytest.raises(SpecError, match=r"package\.module:Class"):
        build("minexhat:Nobody", SOLVERS)
    with pytest.raises(SpecError, match="No module named"):
        build("no_such.module:Thing", SOLVERS)


@pytest.mark.slow
def test_a_broken_plug_in_is_named_and_left_out(package):
    (package / "minexhat.py").write_text("raise RuntimeError('not today')")
    code = """
import warnings
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    from xhat.operators import OPERATORS
    print("mri" in OPERATORS, "flip" in OPERATORS, [str(w.message) for w in seen])
"""
    assert python(package, code).startswith("True False ['plug-in mine (minexhat:PLUGIN) cannot be loaded: not today")


@pytest.mark.slow
def test_a_name_that_is_taken_keeps_its_first_part(package):
    text = (package / "minexhat.py").read_text().replace('"flip"', '"inpaint"')
    (package / "minexhat.py").write_text(text)
    code = """
import warnings
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    from xhat.operators import OPERATORS
    print(sorted(OPERATORS)[0], OPERATORS["inpaint"].__name__, [str(w.message) for w in seen][:1])
"""
    assert "Inpaint [\"plug-in mine: operators 'inpaint' exists already\"]" in python(package, code)


def test_registries_hold_builders_of_their_kind():
    for registry in (OPERATORS, PRIORS, SOLVERS):
        for name, part in registry.items():
            assert issubclass(kind_of(part), registry.base), name


@pytest.mark.parametrize("text", ["mri:coils=2", "mri:coils=2,mask=equispaced"])
def test_what_a_builder_builds_is_of_its_kind(text):
    A = build_operator(text, (2, 32, 32))
    assert isinstance(A, MRI)
    assert isinstance(A, OPERATORS["mri"])
    assert not isinstance(A, OPERATORS["black_hole_array"])


OBJECTS = [
    ("motion_blur:size=9,seed=3", (3, 32, 32)),
    ("mri:coils=2", (2, 32, 32)),
    ("gaussian_blur:std=1.5", (3, 32, 32)),
    ("jpeg:quality=75 @ super_resolution:factor=2", (3, 32, 32)),
    ("black_hole_array:fov=160,flux=0.6", (1, 16, 16)),
    ("inpaint:mask=box", (3, 32, 32)),
    ("ct:angles=7", (1, 16, 16)),
]


@pytest.mark.parametrize(("text", "shape"), OBJECTS)
def test_an_operator_remembers_the_spec_that_builds_it(text, shape):
    A = build_operator(text, shape)
    assert operator_spec(A) == text
    again = build_operator(operator_spec(A, full=True), shape)
    assert operator_spec(again) == text
    assert operator_spec(A.take(torch.tensor([0]))) == text


def test_an_operator_and_a_prior_show_what_they_were_made_of():
    """The options that were given; an array as its shape, and a part in a line of its own, once."""
    assert repr(OPERATORS["gaussian_blur"]((3, 8, 8), std=1.5)) == "GaussianBlur((3, 8, 8), std=1.5)"
    assert repr(OPERATORS["blur"]((3, 8, 8), torch.eye(3))).endswith("((3, 8, 8), Tensor (3, 3))")
    assert repr(build("powerlaw:std=0.3", PRIORS)) == "PowerLaw(std=0.3)"
    assert repr(build("magnitude:prior=(powerlaw:std=0.3)", PRIORS)).count("PowerLaw(std=0.3)") == 1


def test_a_tensor_in_a_spec_is_told_by_its_numbers():
    kernel = torch.ones(3, 3)
    one, other = (operator_spec(OPERATORS["blur"]((3, 16, 16), k)) for k in (kernel, kernel.cumsum(0)))
    assert one.startswith("blur:kernel=sha256-")
    assert one != other


def test_compositions_infer_the_shape_through_all_parts():
    A = build_operator("quantize:bits=4 @ denoise", data_shape=(3, 8, 8))
    assert A.shape == A.data_shape == (3, 8, 8)
    assert kind("quantize:bits=4 @ mri") is MRI
    with pytest.raises(ShapeError, match="not known"):
        build_operator("denoise")


@pytest.mark.parametrize("text", ["magnitude:prior=powerlaw", "magnitude:prior=(powerlaw:std=0.3)"])
def test_priors_inside_priors(text):
    prior = build(text, PRIORS)
    assert type(prior.inner) is kind_of(PRIORS["powerlaw"])
    assert build(spec_of(prior, PRIORS), PRIORS).inner.std == prior.inner.std
    assert isinstance(build_as(xhat.Prior, "powerlaw"), xhat.Prior)


def test_a_spec_is_a_value():
    spec = Spec.parse("dps:zeta=0.5")
    assert spec == Spec("dps", {"zeta": 0.5})
    assert str(spec.with_(steps=20, zeta=1.0)) == "dps:zeta=1,steps=20"
    name, options = spec
    assert (name, options) == ("dps", {"zeta": 0.5})


@builds(LinearOperator)
def identity(shape: tuple[int, ...], times: float = 1.0) -> LinearOperator:
    """x times a number."""
    return xhat.operator(lambda x: times * x, shape, linear=True)


def test_a_builder_answers_as_its_kind_and_is_pickled_by_name():
    assert isinstance(identity, Builder)
    assert identity.image_shape((3, 4, 4)) == (3, 4, 4)
    assert identity.__doc__ == "x times a number."
    assert pickle.loads(pickle.dumps(identity)) is identity
    A = identity((1, 2, 2), times=3.0)
    assert spec_of(A, {"identity": identity}) == "identity:times=3"


def test_there_is_no_registry_of_unknown_kinds():
    with pytest.raises(SpecError, match="no kind of part called trees"):
        Registry("trees", None, {})


@pytest.mark.parametrize(
    "text",
    [
        "minexhat:Flip",
        "minexhat.ops:flip:axis=1",
        "denoise @ minexhat:Flip",
        "magnitude:prior=minexhat:Prior",
        "magnitude:prior=(minexhat:Prior:std=1)",
        "diffstategrad:inner='minexhat:Mine:steps=2'",
    ],
)
def test_a_file_that_names_code_is_refused(text, tmp_path):
    assert names_code({"tasks": [{"operator": text}]})
    np.savez(tmp_path / "y.npz", y=np.zeros((1, 4, 4), np.float32), operator=text, noise="gaussian")
    with pytest.raises(SpecError, match=r"y\.npz: minexhat.* would run code"):
        load(tmp_path / "y.npz")
    (tmp_path / "grid.toml").write_text(f"solvers = [{text!r}]\noperators = ['denoise']\nnoises = ['gaussian']\n")
    with pytest.raises(SpecError, match="would run code"):
        xhat_grid(tmp_path / "grid.toml")


def test_a_measurement_by_an_operator_of_ones_own_is_read_again(tmp_path, caplog):
    """What xhat writes it reads: a file that named the class was refused even beside an operator that was given."""
    made = Measurement(torch.zeros(1, 4, 4), operator="minexhat:Flip:axis=1", noise="gaussian:sigma=0.05")
    made.save(tmp_path / "y.npz")
    found = load(tmp_path / "y.npz")
    assert (found.operator, found.noise) == (None, "gaussian:sigma=0.05")
    assert "minexhat:Flip is code, which no file may name; give it to restore" in caplog.text


@pytest.mark.parametrize("text", ["gaussian:sigma=0.05", "inpaint:mask=C:/a/b.png", "ffhq.pt:label=3", "denoise", 3])
def test_ordinary_specs_name_no_code(text):
    assert names_code(text) is None


@pytest.mark.parametrize("parts", [OPERATORS, NOISES, PRIORS, SOLVERS, BASELINES], ids=lambda parts: parts.kind)
def test_a_part_is_abstract_or_final(parts):
    """No part derives from another one, whose change would then change both; what two share is an abstract class."""
    classes = [part for part in parts.values() if isinstance(part, type)]
    derived = [(a, b) for a in classes for b in classes if a is not b and issubclass(a, b)]
    assert derived == []


@pytest.mark.parametrize(
    "text",
    [
        "consistency:path=a @ ,denoiser=evil:Code",  # a text that holds the sign of composition
        "magnitude:prior=( evil:Code )",
        "magnitude:prior=((magnitude:prior=( evil:Code )))",
        "denoise @ ( evil:Code )",
    ],
)
def test_what_a_part_would_import_is_seen_however_it_is_written(text):
    assert names_code([text]) == "evil:Code"


def test_the_name_of_a_metric_in_a_file_imports_nothing(tmp_path, monkeypatch):
    """A grid may not name a row `module:row`; one in a record, which is only read, is looked up and not imported."""
    (tmp_path / "evil.py").write_text("from pathlib import Path\nPath('ran').touch()\nrow = ROW = None\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match="unknown metric 'evil:row'"):
        metric("evil:row")
    assert row_of("evil:row") is row_of("evil:ROW") is None
    assert not Path("ran").exists()
