"""What one plug-in may not do to the commands of every user, and what a `Plugin` refuses."""

import sys
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

import xhat
from xhat import registry
from xhat.bench.grid import load as load_grid
from xhat.cli.arguments import main
from xhat.cli.listing import option_names
from xhat.errors import DataError, MismatchError, SpecError
from xhat.files.readers.load import load
from xhat.files.record import _distributions
from xhat.metrics.base import Metric
from xhat.operators.building import operator_spec
from xhat.operators.hdr import HDR
from xhat.priors.checkpoints import Format, file_spec
from xhat.rng import Rng
from xhat.solvers import SOLVERS
from xhat.solvers.base import Estimator
from xhat.task.account import provenance
from xhat.testing.exact import smooth_field
from xhat.types import Data, Image


class Flip(xhat.LinearOperator):
    """y = x mirrored."""

    def forward(self, x: Image) -> Data:
        return x.flip(-1)


class Grey(xhat.LinearOperator):
    """y = x, of grey images, though its example is in colour."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape)
        if shape[0] != 1:
            raise ValueError("grey images only")

    def forward(self, x: Image) -> Data:
        return x


@dataclass(frozen=True)
class Needy(Estimator[xhat.LinearGaussian]):
    """A solver with an option that has no default."""

    strength: float = field(kw_only=True)
    steps: int = 2
    zeta: float = 1.0

    def estimate(self, x, t, prior, like, rng):
        return prior(x, t)


@dataclass(frozen=True)
class Confused(Estimator[xhat.LinearGaussian]):
    """A solver whose own code breaks when it is asked what it takes."""

    steps: int = 2
    zeta: float = 1.0

    def mismatch(self, prior, like):
        return like.no_such_thing

    def estimate(self, x, t, prior, like, rng):
        return prior(x, t)


def install(monkeypatch: pytest.MonkeyPatch, **parts) -> None:
    """A plug-in as if it were installed; that an entry point is found is tested in test_registry."""
    monkeypatch.setattr(registry, "_plugins", [*registry.plugins(), xhat.Plugin("plug", **parts)])


def test_a_solver_without_defaults_breaks_no_refusal_and_no_list(monkeypatch, capsys):
    install(monkeypatch, solvers={"needy": Needy, "confused": Confused})
    like = xhat.likelihood(A := HDR((3, 16, 16)), xhat.Gaussian(0.1), A(torch.zeros(1, 3, 16, 16)))
    with pytest.raises(MismatchError, match=r"Solvers that fit: .*dps") as refused:
        xhat.solve(SOLVERS["ddrm"](), xhat.build_prior("powerlaw"), like, Rng([0]))
    assert "needy" not in str(refused.value)
    assert main(["list", "solvers"]) == 0
    out = capsys.readouterr().out
    assert "needy\n    options: steps=2, zeta=1, strength" in out
    assert "not in the table: solver needy, with its options at their defaults: " in out
    assert "not in the table: solver confused, with its options at their defaults: AttributeError" in out
    assert main(["list", "solvers", "needy"]) == 0


def test_an_operator_that_refuses_its_example_is_named(monkeypatch, capsys):
    install(monkeypatch, operators={"grey": Grey})
    assert main(["list", "solvers"]) == 0
    assert (
        "not in the table: operator grey, for its `example` (3, 64, 64): ValueError: grey images only"
        in capsys.readouterr().out
    )


def test_a_broken_suite_hides_no_other(monkeypatch, tmp_path, capsys):
    (tmp_path / "code.toml").write_text("operators = ['evil:Code']\nnoises = ['gaussian']\n")
    install(monkeypatch, suites={"lost": tmp_path / "lost.toml", "code": tmp_path / "code.toml"})
    assert main(["list", "suites"]) == 0
    out = capsys.readouterr().out
    assert "lost\n    broken: suite lost: " in out
    assert "code\n    broken: " in out
    assert "evil:Code would run code" in out
    assert "\nquick\n" in out
    assert set(option_names()["suites"]) >= {"lost", "code", "quick"}
    with pytest.raises(DataError, match=r"suite lost: .*lost\.toml: no such grid"):
        load_grid("lost")


def builder(shape: tuple[int, ...]) -> xhat.LinearOperator:
    """A function that is not wrapped by `builds`."""
    return Flip(shape)


class Half(xhat.Operator):
    """An operator without a `forward`."""

    source = "nowhere"


def number(x: Image, reference: Image) -> torch.Tensor:
    """A metric without its row."""
    return (x - reference).flatten(1).mean(1)


@pytest.mark.parametrize(
    ("kind", "parts", "says"),
    [
        ("operators", {"flip": 3}, "'flip' must be a subclass of Operator or a function wrapped by builds, not 3"),
        ("operators", {"flip": builder}, "'flip' must be a subclass of Operator or a function wrapped by builds, not"),
        ("operators", {"flip": Flip((3, 8, 8))}, "'flip' must be a subclass of Operator"),
        ("operators", {"fl:ip": Flip}, "'fl:ip': a name has letters, digits and _ . + - only"),
        ("solvers", {"flip": Flip}, "'flip' must be a subclass of Solver or a function wrapped by builds, not the cla"),
        ("solvers", {"e": Estimator}, "'e' must be a class that can be built, and Estimator does not define estimate"),
        ("baselines", {"needy": Needy}, "'needy' must be a subclass of Baseline"),
        ("priors", {"flip": Flip}, "'flip' must be a subclass of Prior"),
        ("noises", {"flip": Flip}, "'flip' must be a subclass of Noise"),
        ("schedules", {"flip": Flip}, "'flip' must be a subclass of Schedule"),
        ("images", {"flip": Flip}, "'flip' must be a subclass of Images"),
        ("metrics", {"number": number}, "'number' must be a row of the class Metric, not a function"),
        ("numbers", {"number": number}, "'number' must be a row of the class Number, not a function"),
        ("formats", {"number": number}, "'number' must be a row of the class Format, not a function"),
        ("readers", {"dat": number}, "'dat' must be a suffix in small letters with its dot, \".dat\""),
        ("readers", {".XYZ": number}, "'.XYZ' must be a suffix in small letters with its dot, \".xyz\""),
        ("readers", {".nii.gz": number}, "'.nii.gz' must be a suffix in small letters with its dot, \".gz\""),
        ("readers", {".dat": 3}, "'.dat' must be a function (path, item) that returns a Measurement, not 3"),
        ("exports", {"obj": number}, "'obj' must be a pair of the library it needs"),
        ("generators", {"sea": 3}, "'sea' must be a function (count, size, seed) that returns pictures, not 3"),
        ("suites", {"tides": 3}, "'tides' must be the path of a TOML file, not 3"),
    ],
)
def test_a_part_of_another_kind_is_refused_where_the_plug_in_is_made(kind, parts, says):
    with pytest.raises(SpecError) as refused:
        xhat.Plugin("plug", **{kind: parts})
    assert str(refused.value).startswith(f"plug-in plug: {kind} {says}")
    assert "\n" not in str(refused.value)


def test_a_kind_is_a_table_of_parts_by_name():
    with pytest.raises((SpecError, TypeError), match=r"must be a table of parts by name, not|Type-check error"):
        xhat.Plugin("plug", operators=[Flip])


def test_every_kind_of_part_has_a_rule():
    from xhat.admission import CLASSES, OTHERS, ROWS

    assert sorted([*CLASSES, *ROWS, *OTHERS]) == sorted(registry.KINDS)
    for base, table in registry._registries.items():
        assert CLASSES[table.kind].rpartition(":")[2] == base.__name__


def test_parts_of_their_kind_are_taken():
    reader = lambda path, item: None
    xhat.Plugin("plug", operators={"flip": Flip}, solvers={"needy": Needy}, readers={".dat": reader, "/": reader})
    xhat.Plugin("plug", metrics={"number": Metric("number", number, higher=False)}, suites={"a": Path("a.toml")})


def shots(path: Path, item: int | None) -> xhat.Measurement:  # noqa: ARG001
    """A reader of HDF5 files with an entry `shots`."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path) as file:
        if "shots" not in file:
            raise xhat.Declined(f"{path}: has no entry 'shots'")
        return xhat.Measurement(torch.from_numpy(file["shots"][()]), origin=str(path))


def write(path: Path, **entries: np.ndarray) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, values in entries.items():
            file[name] = values
    return path


def test_readers_that_share_a_suffix_are_asked_one_after_the_other(monkeypatch, tmp_path, recwarn):
    install(monkeypatch, readers={".h5": shots})
    mine = load(write(tmp_path / "a.h5", shots=np.ones((2, 3), np.float32)))
    assert mine.y.shape == (2, 3)
    theirs = load(write(tmp_path / "b.h5", kspace=np.ones((1, 8, 8), np.complex64)))
    assert theirs.operator.startswith("mri")
    assert not recwarn.list


def test_a_file_that_all_readers_decline_says_who_was_asked(monkeypatch, tmp_path):
    path = write(tmp_path / "a.h5", nobody=np.ones(3))
    asked = [plugin.name for plugin in registry.plugins() if ".h5" in plugin.readers]
    with pytest.raises(DataError, match=r"a\.h5: .*is neither fastMRI's"):
        load(path)
    install(monkeypatch, readers={".h5": shots})
    with pytest.raises(DataError, match=r"a\.h5: no reader of \.h5 files knows it\. Asked were ") as refused:
        load(path)
    assert all(f"{name}: " in str(refused.value) for name in asked)
    assert str(refused.value).endswith("plug: has no entry 'shots'")


def test_a_reader_that_declines_a_picture_leaves_it_to_the_usual_one(monkeypatch, tmp_path):
    def decline(path: Path, item: int | None) -> xhat.Measurement:  # noqa: ARG001
        raise xhat.Declined(f"{path}: is only a picture")

    install(monkeypatch, readers={".png": decline, ".npy": decline})
    PIL.Image.new("L", (5, 4)).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", np.zeros((1, 4, 5), np.float32))
    assert load(tmp_path / "a.png").y.shape == load(tmp_path / "a.npy").y.shape == (1, 4, 5)


def test_a_reader_that_returns_no_measurement_is_named(monkeypatch, tmp_path):
    install(monkeypatch, readers={".odd": lambda path, item: None})
    (tmp_path / "a.odd").write_text("3")
    with pytest.raises(DataError, match=r"a\.odd: the reader of plug returned None, and no Measurement"):
        load(tmp_path / "a.odd")


OWN = """
import torch
import xhat

class Calm(xhat.Prior):
    '''White images of a standard deviation.'''
    def __init__(self, width: float = 1.0, around: xhat.Prior | None = None) -> None:
        super().__init__()
        self.schedule, self.width = xhat.EDM(0.02, 10.0), width
    def forward(self, x, t):
        return x / t.alpha * self.width**2 / (self.width**2 + t.ratio**2)

def read(path, item):
    return xhat.Measurement(torch.zeros(1, 4, 4), operator="denoise", noise="gaussian:sigma=0.1", origin=str(path))

@xhat.builds(xhat.LinearOperator)
def halves(shape, axis: int = -1):
    return xhat.operator(lambda x: x.narrow(axis, 0, x.shape[axis] // 2), shape, linear=True)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The module `ownparts`, of a distribution that no entry point names."""
    (tmp_path / "ownparts.py").write_text(OWN)
    info = tmp_path / "own_parts-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-parts\nVersion: 2.5\n")
    (info / "top_level.txt").write_text("ownparts\n")
    (info / "RECORD").write_text("ownparts.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    _distributions.cache_clear()
    yield import_module("ownparts")
    sys.modules.pop("ownparts")
    _distributions.cache_clear()


def recorded(prior, shape: tuple[int, ...] = (1, 4, 4)) -> dict:
    y = xhat.simulate(torch.zeros(shape), "denoise", "gaussian:sigma=0.1", seed=1)
    return xhat.restore(y, prior=prior, solver="lmaps:steps=2").record


def test_the_record_names_a_prior_that_was_given_as_an_object_so_that_it_can_be_run_again(own):
    one, other = recorded(own.Calm(2.0)), recorded(own.Calm(3.0))
    assert (one["prior"], other["prior"]) == ("ownparts:Calm:width=2", "ownparts:Calm:width=3")
    again = recorded(one["prior"])
    assert (again["prior"], again["residual"]) == (one["prior"], one["residual"])
    assert recorded(own.Calm(around=own.Calm(3.0)))["prior"] == "ownparts:Calm:around='ownparts:Calm:width=3'"
    assert recorded(xhat.priors.PowerLaw())["prior"] == "powerlaw"


def test_a_prior_of_a_network_or_function_goes_by_its_class():
    assert recorded(xhat.Denoiser(lambda x, sigma: x / (1 + sigma**2)))["prior"] == "Denoiser"
    assert recorded(smooth_field(), (1, 8, 8))["prior"] == "GaussianPrior"


def test_a_builder_that_is_not_registered_goes_by_its_own_name(own):
    assert operator_spec(own.halves((1, 4, 4), axis=-2)) == "ownparts:halves:axis=-2"


def test_the_record_states_the_distribution_of_parts_that_took_part(own):
    assert recorded(own.Calm())["versions"]["own-parts"] == "2.5"
    assert "own-parts" not in recorded("powerlaw")["versions"]


def test_the_record_states_the_distribution_of_the_reader(own, monkeypatch, tmp_path):
    install(monkeypatch, readers={".own": own.read})
    (tmp_path / "y.own").touch()
    record = xhat.restore(tmp_path / "y.own", prior="powerlaw", solver="lmaps:steps=2").record
    assert record["versions"]["own-parts"] == "2.5"


def test_the_record_states_a_command_that_can_be_typed(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/lib/python3/site-packages/xhat/__main__.py", "restore", "a b.png"])
    assert provenance()["command"] == "xhat restore 'a b.png'"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/xhat", "list"])
    assert provenance()["command"] == "xhat list"


def coast() -> dict:
    """What the example of CONTRIBUTING defines, run as it stands there."""
    page = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    block = page.split("## Add a checkpoint format")[1].split("```python\n")[1].split("```")[0]
    names: dict = {"__name__": "coast"}
    exec(block, names)
    return names


def brings(monkeypatch, *rows: Format) -> None:
    made = [xhat.Plugin(f"plug{i}", formats={row.name: row}) for i, row in enumerate(rows)]
    monkeypatch.setattr(registry, "_plugins", [*registry.plugins(), *made])


def test_a_checkpoint_format_is_one_file_and_one_row(monkeypatch, tmp_path, capsys):
    """From outside the package: the file is known, the spec that is recommended is taken, and so is the bare path."""
    made = coast()
    brings(monkeypatch, made["COASTNET"])
    torch.save(made["Net"](4).state_dict(), file := tmp_path / "c.pt")
    assert main(["prior", "inspect", str(file)]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert shown["layout"] == "CoastNet state dict"
    assert shown["prior"] == f"coastnet:path={file}"
    for spec in (shown["prior"], str(file)):
        prior = xhat.build_prior(f"{spec}{',' if '=' in spec else ':'}trial=false", "cpu")
        assert type(prior) is made["CoastNet"]
    assert prior(torch.zeros(1, 1, 8, 8), prior.schedule(0.5)).shape == (1, 1, 8, 8)


def test_two_formats_of_the_same_tensors_are_told_by_the_name_of_the_file(monkeypatch, tmp_path, capsys):
    made = coast()
    row = made["COASTNET"]
    other = replace(row, name="shorenet", known_as="ShoreNet", files=("shore",))
    brings(monkeypatch, row, other)
    paths = [tmp_path / name for name in ("c.pt", "shore_1.pt")]
    for path in paths:
        torch.save(made["Net"](4).state_dict(), path)
    with pytest.raises(
        SpecError, match=r"CoastNet; ShoreNet: the tensors do not tell.*coastnet:path=.* or --prior shore"
    ):
        file_spec(paths[0])
    assert file_spec(paths[1]) == f"shorenet:path={paths[1]}"
    assert main(["prior", "inspect", str(paths[0])]) == 0
    assert "CoastNet state dict, or ShoreNet" in capsys.readouterr().out


def test_a_row_has_the_name_under_which_it_is_brought():
    with pytest.raises(SpecError, match="plug-in plug: formats 'other' must have the name of its row, 'coastnet'"):
        xhat.Plugin("plug", formats={"other": coast()["COASTNET"]})
