"""One runner, one record, and a fingerprint of exactly the code that decides a run."""

import ast
import hashlib
import json
import shlex
import sys

import pytest
import torch

import xhat
from xhat.bench.drive import bench
from xhat.bench.folder import open_run
from xhat.bench.grid import read
from xhat.bench.images import open_images
from xhat.bench.options import Options
from xhat.bench.schema import MORE
from xhat.cli.arguments import main
from xhat.noise import NOISES
from xhat.operators import OPERATORS
from xhat.priors import PRIORS
from xhat.solvers import SOLVERS
from xhat.task.fingerprint import RUNNER, Code, modules_of, path_of, text_of_module
from xhat.task.schema import FIELDS, validate

PARTS = (*SOLVERS.values(), *OPERATORS.values(), *NOISES.values(), *PRIORS.values())
MODULES = sorted(Code().reached({*RUNNER, *modules_of(PARTS)}))  # all that a fingerprint can cover
RESTORATION = ("measurement_scale", "record_every", "std_white", "files", "files_sha256")


# --- the fingerprint ----------------------------------------------------------------------------


NOW = Code()


def redocumented(text):
    """The module with another docstring wherever one can stand, and with comments."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node) is not None:
                node.body.pop(0)
            node.body.insert(0, ast.Expr(ast.Constant("Something else.")))
    return "# a comment\n" + ast.unparse(ast.fix_missing_locations(tree))


class Retyping(ast.NodeTransformer):
    """Other annotations everywhere, and an import that only they use."""

    def other(self, annotation):
        return ast.BinOp(annotation, ast.BitOr(), ast.Subscript(ast.Name("Elsewhere"), ast.Constant("Else | None")))

    def visit_arg(self, node):
        node.annotation = node.annotation and self.other(node.annotation)
        return node

    def visit_FunctionDef(self, node):
        node.returns = self.other(node.returns or ast.Constant(None))
        return self.generic_visit(node)

    def visit_AnnAssign(self, node):
        node.annotation = self.other(node.annotation)
        return node

    def visit_Return(self, node):
        if node.value is not None:
            node.value = ast.Call(ast.Name("sure_of"), [ast.Name("Elsewhere"), node.value], [])
        return node

    def visit_Module(self, node):
        self.generic_visit(node)
        used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        for module, name, alias in (("typing", "cast", "sure_of"), ("xhat.science.fwi.modality", "Y", "Elsewhere")):
            if alias in used:
                node.body.insert(0, ast.ImportFrom(module, [ast.alias(name, alias)], 0))
        return node


def retyped(text):
    """The module with other annotations and casts."""
    tree = ast.parse(text)
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    assert not future
    return ast.unparse(ast.fix_missing_locations(Retyping().visit(tree)))


def reformulated(text):
    """The module with the first product, sum or difference in a function turned into another operation."""
    tree = ast.parse(text)
    inside = (n for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for line in f.body for n in ast.walk(line))
    found = next(n for n in inside if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Mult | ast.Add | ast.Sub))
    found.op = ast.Sub() if isinstance(found.op, ast.Add) else ast.Add()
    return ast.unparse(tree)


def edited(name, change):
    """The code as it would be if the module `name` were changed; what is known of the others is taken over."""
    code = Code(lambda asked: change(text_of_module(asked)) if asked == name else text_of_module(asked))
    for known in ("_trees", "_hashes", "_imports"):
        setattr(code, known, {k: v for k, v in getattr(NOW, known).items() if k != name})
    return code


@pytest.mark.slow
def test_a_docstring_changes_no_fingerprint():
    then = Code(lambda name: redocumented(text) if (text := text_of_module(name)) else None)
    for name in MODULES:
        assert NOW.hash(name) == then.hash(name), name
    assert NOW.fingerprint(SOLVERS["dps"]()) == then.fingerprint(SOLVERS["dps"]())


@pytest.mark.slow
def test_an_annotation_changes_no_fingerprint():
    """Nor does a cast, or an import that only they use."""
    then = Code(lambda name: retyped(text) if (text := text_of_module(name)) else None)
    for name in MODULES:
        assert NOW.hash(name) == then.hash(name), name
        assert NOW.imports(name) == then.imports(name), name
    assert NOW.fingerprint(SOLVERS["dps"]()) == then.fingerprint(SOLVERS["dps"]())


def test_what_a_part_looks_like_changes_no_fingerprint():
    base = "class A:\n    def run(self):\n        return 1\n"
    shown = base + "    def extra_repr(self):\n        return 'a'\n"
    one, other, formula = (
        Code(lambda _, t=t: t).hash("m") for t in (base, shown, shown.replace("return 1", "return 2"))
    )
    assert one == other != formula


def test_a_field_and_its_default_are_no_annotations():
    base = "@dataclass\nclass A:\n    a: int\n    b: int = 1\n"
    others = (("b: int = 1", "b: int = 2"), ("b: int", "c: int"), ("    a: int\n", ""))
    texts = [base, *(base.replace(*change) for change in others)]
    hashes = [Code(lambda _, text=text: text).hash("m") for text in texts]
    assert len(set(hashes)) == 4
    assert Code(lambda _: base.replace("int", "float")).hash("m") == hashes[0]


def test_a_formula_changes_the_fingerprints_of_its_solver_and_of_no_other():
    """Others change with it only if they are made of it: if their module imports that of the solver."""
    before = {name: NOW.fingerprint(cls) for name, cls in SOLVERS.items()}
    for module in ("dps", "lmaps", "ddrm", "mmps"):
        then = edited(f"xhat.solvers.{module}", reformulated)
        changed = {name for name, cls in SOLVERS.items() if then.fingerprint(cls) != before[name]}
        made_of_it = {n for n, c in SOLVERS.items() if f"xhat.solvers.{module}" in NOW.reached([c.__module__])}
        assert changed == made_of_it
        assert module in changed
        assert len(changed) < 4


def test_a_solver_around_another_one_changes_with_it():
    then = edited("xhat.solvers.lgd", lambda text: f"{text}\nmore = 1\n")
    for inner, changes in (("lgd", True), ("dps", False)):
        solver = xhat.build(f"diffstategrad:inner={inner}", SOLVERS)
        assert (then.fingerprint(solver) != NOW.fingerprint(solver)) == changes


@pytest.mark.parametrize("module", ["loop", "numerics.linalg", "schedule", "rng", "transition", "likelihoods.base"])
def test_what_all_runs_share_changes_all_fingerprints(module):
    then = edited(f"xhat.{module}", lambda text: f"{text}\nmore = 1\n")
    assert all(then.fingerprint(cls) != NOW.fingerprint(cls) for cls in SOLVERS.values())


@pytest.mark.parametrize("module", ["cli.commands", "bench.report.text", "figures.panel", "train.loop", "exact.report"])
def test_what_decides_no_run_is_in_no_fingerprint(module):
    assert f"xhat.{module}" not in MODULES


@pytest.mark.slow
def test_a_fingerprint_follows_parts_of_parts_and_code_of_others(tmp_path, monkeypatch):
    """A prior inside a prior, and an operator outside the package with what it imports beside it."""
    inner = xhat.build_prior("powerlaw")
    assert {"xhat.priors.latent", "xhat.priors.powerlaw"} <= modules_of(
        [xhat.priors.Autoencoded(inner, xhat.operators.decoder.Identity())]
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "physics.py").write_text("GAIN = 2.0\n")
    (tmp_path / "mine" / "flip.py").write_text(
        "from xhat.operators.base import LinearOperator\nfrom .physics import GAIN\n"
        "class Flip(LinearOperator):\n    def forward(self, x):\n        return GAIN * x.flip(-1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from mine.flip import Flip

    A = Flip((1, 4, 4))
    before = Code().fingerprint(A)
    (tmp_path / "mine" / "physics.py").write_text("GAIN = 2.0  # as measured\n")
    assert Code().fingerprint(A) == before
    (tmp_path / "mine" / "physics.py").write_text("GAIN = 3.0\n")
    assert Code().fingerprint(A) != before
    assert path_of("mine.nothing") is None
    for name in [n for n in sys.modules if n.partition(".")[0] == "mine"]:
        del sys.modules[name]


# --- the record ---------------------------------------------------------------------------------

GRID = {
    "priors": ["powerlaw"],
    "data": ["fields:size=16,count=2"],
    "solvers": ["lmaps:steps=3", "dps:steps=4"],
    "tasks": {
        "pixels": {"operator": "inpaint:keep=0.4", "noise": "gaussian:sigma=0.05"},
        "phase": {"operator": "phase_retrieval", "noise": "gaussian:sigma=0.05"},
        "code": {"operator": "jpeg:quality=5", "noise": "noiseless"},
    },
    "metrics": ["psnr", "ssim"],
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    out = tmp_path_factory.mktemp("task") / "run"
    bench(read(GRID), out, Options(batch_size=1, quiet=True))
    return [r for r in open_run(out)[1] if r["status"] == "ok"]


def by_hand(row, **options):
    """The restoration of the image of a record, from its measurement simulated anew."""
    x = open_images(row["data"]).load(row["image"])
    spec = f"{row['operator']},seed={row['stream']}" if row["per_image"] else row["operator"]
    y = xhat.simulate(x, spec, row["noise"], row["stream"])
    solver, seed = row["solver"], row["stream"]
    return xhat.restore(y, prior=row["prior"], solver=solver, seed=seed, reference=x, device="cpu", **options)


@pytest.mark.slow
def test_restore_and_bench_give_the_same_numbers_for_the_same_task(rows):
    assert len(rows) >= 10
    same = ("noise", "solver", "schedule", "image_shape", "data_shape", "seeds", "samples", "returns", "residual")
    same += ("expected_residual", "residual_ratio", "smallest_residual", "stopped_at_step", "metrics", "calls", "code")
    same += ("measurement_sha256", "reference_sha256", "operator_sha256", "prior_sha256", "versions")
    for row in rows:
        found = json.loads(json.dumps(by_hand(row).record))
        assert {k: found[k] for k in same} == {k: row[k] for k in same}


def test_both_records_have_the_same_fields(rows, tmp_path):
    by_hand(rows[0]).save(tmp_path)
    record = json.loads((tmp_path / "record.json").read_text())
    validate(record, "record.json", dict.fromkeys(RESTORATION, (object,)))
    validate(rows[0], "the line", MORE)
    assert record.keys() & rows[0].keys() == FIELDS.keys()


def test_a_record_says_what_it_was_made_from_and_how(tmp_path, monkeypatch):
    x = open_images("fields:size=16,count=1").load("field000")
    xhat.simulate(x, "denoise", "gaussian:sigma=0.1").save(tmp_path / "y.npz")
    command = ["restore", str(tmp_path / "y.npz"), "--prior", "powerlaw", "--solver", "lmaps:steps=2", "-q"]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/xhat", *command, "-o", str(tmp_path / "out dir")])
    assert main(sys.argv[1:]) == 0
    record = json.loads((tmp_path / "out dir" / "record.json").read_text())
    made = record["provenance"]
    assert shlex.split(made["command"]) == ["xhat", *command, "-o", str(tmp_path / "out dir")]
    assert made["file_sha256"] == hashlib.sha256((tmp_path / "y.npz").read_bytes()).hexdigest()
    assert made["threads"] == torch.get_num_threads()
    assert {"xhat", "torch", "numpy", "python"} <= record["versions"].keys()
    assert record["prior_sha256"] != record["measurement_sha256"]


@pytest.mark.slow
def test_an_image_that_has_changed_makes_its_records_stale(tmp_path, capsys):
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    for name in "ab":
        xhat.save_image(
            images / f"{name}.png", torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(ord(name)))
        )
    grid = read({**GRID, "data": [str(images)], "solvers": ["lmaps:steps=2"], "tasks": {"a": GRID["tasks"]["pixels"]}})
    bench(grid, out, Options(batch_size=1, quiet=True))
    assert capsys.readouterr().err == ""
    xhat.save_image(images / "a.png", torch.zeros(1, 16, 16))
    bench(grid, out, Options(batch_size=1, quiet=True))
    assert "1 records were made with another image" in capsys.readouterr().err
    bench(grid, out, Options(batch_size=1, quiet=True, fresh=True))
    bench(grid, out, Options(batch_size=1, quiet=True))
    assert "another" not in capsys.readouterr().err.partition("made again")[2]
