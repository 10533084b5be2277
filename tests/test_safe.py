"""Nothing in a file runs, nothing leads out of it, and what it says is shown as text: canaries and the laws behind."""

import ast
import json
import re
import shutil
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from conftest import untried
from xhat.bench.drive import bench
from xhat.bench.grid import read
from xhat.bench.options import Options
from xhat.bench.report.write import report
from xhat.cli.arguments import main
from xhat.cli.options import read_options
from xhat.errors import DataError, SpecError
from xhat.files.hdf5 import array as array_in
from xhat.files.inside import check_links, inside
from xhat.files.markup import latex, markdown
from xhat.files.pictures import load_image
from xhat.operators.kernels import load_kernel
from xhat.operators.masks import read_mask
from xhat.priors import build_prior, trusted
from xhat.priors.checkpoints.archive import FORBIDDEN
from xhat.schedule import Level
from xhat.science.mri.hdf5 import read as read_kspace
from xhat.spec import without_code
from xhat.train.images import read_images

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def calls(tree: ast.AST):
    """The calls in a module: the name that is called, dotted, and the arguments by keyword."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}


ONLY = {  # who alone may call what
    "torch.jit.load": "priors/checkpoints/programs.py",
    "onnxruntime.InferenceSession": "priors/checkpoints/programs.py",
    "h5py.File": "files/hdf5.py",
    "Image.open": "files/pictures.py",
}
NEVER = ("eval", "exec", "compile", "pickle.load", "pickle.loads", "marshal.loads", "os.system", "yaml.load")


def test_every_reader_is_one_that_runs_nothing():
    """A new `np.load`, `torch.load` or `Image.open` without its guard fails here."""
    for file in SOURCES:
        for name, given in calls(ast.parse(file.read_text(encoding="utf-8"))):
            if name == "np.load":
                assert given.get("allow_pickle") == "False", file
            if name == "torch.load":
                assert given.get("weights_only") == "True", file
            if name in ("Image.open", "Pillow.open"):
                assert "formats" in given, file
            assert name not in NEVER, (file, name)
            assert file.as_posix().endswith(ONLY.get(name, "")), (file, name)


# Pictures


@pytest.fixture
def postscript(tmp_path):
    """A PostScript program under the name of a picture: where Ghostscript is installed, Pillow would have it run."""
    file = tmp_path / "a.png"
    file.write_bytes(
        f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
        f"({tmp_path}/canary) (w) file closefile\nshowpage\n".encode()
    )
    return file


@pytest.mark.parametrize("reader", [load_image, lambda file: read_mask(file, (9, 9), fill=True), load_kernel])
def test_a_postscript_program_is_no_picture(postscript, reader, monkeypatch):
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *a, **k: pytest.fail("Ghostscript was started"))
    with pytest.raises(DataError, match=r"cannot (be read|identify|read)"):
        reader(postscript)


# HDF5


def h5_files(folder: Path):
    """An innocent file, and four that take their k-space from another file."""
    h5py = pytest.importorskip("h5py")
    k = np.ones((1, 2, 8, 8), np.complex64)
    (folder / "secret.bin").write_bytes(k.tobytes())
    secret = str(folder / "secret.h5")
    with h5py.File(secret, "w") as file:
        file["kspace"] = k
    with h5py.File(folder / "good.h5", "w") as file:
        file["kspace"] = k
        file["same"], file["loop/again"] = file["kspace"], h5py.SoftLink("/loop")
        file["loop/self"] = file["loop"]
    with h5py.File(folder / "link.h5", "w") as file:
        file["kspace"] = h5py.ExternalLink(secret, "/kspace")
    with h5py.File(folder / "soft.h5", "w") as file:
        file["a/b"] = h5py.ExternalLink(secret, "/")
        file["kspace"] = h5py.SoftLink("/a/b/kspace")
    with h5py.File(folder / "raw.h5", "w") as file:
        file.create_dataset("kspace", k.shape, "c8", external=[(str(folder / "secret.bin"), 0, k.nbytes)])
    with h5py.File(folder / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout(k.shape, "c8")
        layout[...] = h5py.VirtualSource(secret, "kspace", k.shape)
        file.create_virtual_dataset("kspace", layout)


def test_hdf5_takes_nothing_from_other_files(tmp_path):
    h5_files(tmp_path)
    assert read_kspace(tmp_path / "good.h5", None).y.shape[-2:] == (8, 8)
    for name, entry in (("link", "/kspace"), ("soft", "/a/b"), ("raw", "/kspace"), ("virtual", "/kspace")):
        with pytest.raises(DataError, match=f"{name}.h5.*{entry}.* (link to another file|lie in other files)"):
            read_kspace(tmp_path / f"{name}.h5", None)
        with pytest.raises(DataError, match="other file"):
            array_in(tmp_path / f"{name}.h5", ("kspace",), None)


# Folders


def test_links_out_of_a_folder_are_found(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "w").write_text("w")
    here = tmp_path / "model"
    (here / "unet").mkdir(parents=True)
    (here / "unet" / "same").symlink_to(here / "unet")  # a circle
    (here / "w").write_text("w")
    (here / "unet" / "w").symlink_to("../w")
    assert check_links(here) == here
    (here / "unet" / "far").symlink_to(tmp_path / "out" / "w")
    with pytest.raises(DataError, match=r"unet/far is a link, which leads out of .*model"):
        check_links(here)
    with pytest.raises(DataError, match=r"index names .*out/w"):
        inside(here / "../out/w", here, "the index")


def test_a_snapshot_of_hugging_face_is_whole(tmp_path):
    """Its files are links to the blobs beside it; a link to another model is none of them."""
    model = tmp_path / "models--a--b"
    here = model / "snapshots" / "0123" / "unet"
    here.mkdir(parents=True)
    (model / "blobs").mkdir()
    (model / "blobs" / "abc").write_text("w")
    (here / "w").symlink_to("../../../blobs/abc")
    check_links(here)
    check_links(here.parent)
    (here / "x").symlink_to(tmp_path / "models--c--d" / "blobs" / "abc")
    with pytest.raises(DataError, match="leads out"):
        check_links(here)


# Reports

EVIL = "T\n\\input{secret}\n\\write18{true} @@SCRIPT@@ <img src=x onerror=f()> [a](javascript:b) `c` $\\d$ ^^5c & | _e_"


def test_text_of_others_has_no_effect_in_markdown_and_latex():
    shown = markdown(EVIL)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)([<>`$|]|&(?!lt;)|\]\()", shown)
    assert markdown("gaussian_blur:std=1.5, ±3 %, k1+k2") == "gaussian_blur:std=1.5, ±3 %, k1+k2"  # readable as it is
    assert [markdown(s) for s in ("# a", "1. a", "- a", "1.5", "[a]: b", "psnr [dB]")] == [
        "\\# a",
        "1\\. a",
        "\\- a",
        "1.5",
        "\\[a\\]: b",
        "psnr [dB]",
    ]
    tex = latex(EVIL)
    assert "\n" not in tex
    assert "\\input" not in tex
    assert "\\write18" not in tex
    assert "^^" not in tex
    assert latex("\x07a\u202eb") == "a b"  # no bell, no text that runs backwards


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run whose suite tries to get into its report."""
    out = tmp_path_factory.mktemp("runs") / "run"
    grid = {
        "title": EVIL,
        "about": EVIL,
        "priors": ["powerlaw"],
        "data": ["fields:size=16,count=1,channels=3"],
        "solvers": [{"label": EVIL, "spec": "lmaps:steps=1"}, "ddrm:steps=1"],
        "tasks": {EVIL: {"operator": "inpaint:keep=0.4", "noise": "gaussian:sigma=0.05"}},
        "baseline": EVIL,
        "published": [
            {"source": EVIL, "data": EVIL, "metric": "psnr", "rows": [{"method": EVIL, "ours": EVIL, EVIL: 3.0}]}
        ],
    }
    bench(read(grid), out, Options(batch_size=1, keep=True, quiet=True))
    return out


def test_a_suite_stays_text_in_every_report(run, tmp_path):
    files = {p.suffix: p.read_text(encoding="utf-8") for p in report(run, tmp_path) if p.suffix != ".png"}
    for name in (".md", ".html"):
        assert not re.search(r"(?<!\\)<img", re.sub(r'<script id="data".*?</script>', "", files[name], flags=re.S))
    assert "\\input{secret}" not in files[".tex"]
    assert not re.search(r"\\(input|write)\b", files[".tex"])
    assert "@@SCRIPT@@" in files[".html"].split("</title>")[0]
    assert not re.search(r"(?<!\\)(\]\(java|`c`|<img|\$)", files[".md"])
    assert main(["compare", str(run), str(run), "--all"]) == 0


def test_a_record_leads_to_no_picture_outside_its_run(run, tmp_path):
    lines = (run / "records.jsonl").read_text().splitlines()
    Image.new("RGB", (8, 8)).save(tmp_path / "private.png")
    for name, wrong in (("key", "../../private"), ("cell", "x"), ("reference_sha256", "/../../private")):
        row = json.loads(lines[0]) | {name: wrong}
        folder = tmp_path / name
        (folder / "images").mkdir(parents=True)
        (folder / "bench.json").write_bytes((run / "bench.json").read_bytes())
        (folder / "records.jsonl").write_text(json.dumps(row) + "\n")
        with pytest.raises(DataError, match=f"{name} is '.*', not .*hexadecimal digits"):
            report(folder)
    row, folder = json.loads(lines[0]), tmp_path / "linked"
    (folder / "images").mkdir(parents=True)
    (folder / "bench.json").write_bytes((run / "bench.json").read_bytes())
    (folder / "records.jsonl").write_text(lines[0] + "\n")
    (folder / "images" / f"{row['key']}.png").symlink_to(tmp_path / "private.png")
    with pytest.raises(DataError, match=r"is a link, which leads out of .*linked"):
        report(folder)


# Programs


class Evil(nn.Module):
    """Overwrites a file as soon as it is loaded: its __setstate__ maps that file for writing."""

    def __init__(self, canary: str):
        super().__init__()
        self.w, self.canary, self.training = torch.zeros(1), canary, True

    @torch.jit.export
    def __getstate__(self):
        return self.w, self.canary, self.training

    @torch.jit.export
    def __setstate__(self, s: tuple[torch.Tensor, str, bool]):
        t = torch.from_file(s[1], True, 9, dtype=torch.uint8)
        t.fill_(88)
        self.w = s[0] + 0 * t.float().sum()
        self.canary, self.training = s[1], s[2]

    def forward(self, x, sigma: float):
        return x + self.w


class Saves(nn.Module):
    def forward(self, x, sigma):
        torch.save(x, "canary")
        return x


class Halves(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = nn.Sequential(nn.Identity(), nn.Identity())

    def forward(self, x, sigma):
        if x.shape[0] > 99:
            raise ValueError("too many")
        return self.steps(x) / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)


def script(net: nn.Module, file: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(net).save(str(file))
    return file


def rewritten(file: Path, old: str, new: str) -> Path:
    """The archive with other code in it."""
    with zipfile.ZipFile(file) as archive:
        held = {n: archive.read(n) for n in archive.namelist()}
    assert any(old.encode() in v for n, v in held.items() if n.endswith(".py"))
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content.replace(old.encode(), new.encode()) if name.endswith(".py") else content)
    return file


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """The path of a file that must stay as it is, in the current folder."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "canary"
    yield file
    assert file.read_text() == "untouched"


def test_nothing_that_is_opened_runs(canary, capsys):
    canary.write_text("x" * 9)
    script(Evil(str(canary)), Path("edm-ffhq.pt"))
    canary.write_text("untouched")
    assert main(["prior", "inspect", "edm-ffhq.pt"]) == 0
    assert "a program, trust means" in capsys.readouterr().out
    opened = [["restore", "edm-ffhq.pt", "-o", "out"]]
    for prior in (
        "edm-ffhq.pt",
        "edm-ffhq.pt:trust=true",
        "adm:path=edm-ffhq.pt",
        "denoiser:path=edm-ffhq.pt,trust=true",
    ):
        opened.append(
            ["restore", "y.npy", "--operator", "denoise", "--noise", "noiseless", "--prior", prior, "-o", "out"]
        )
    np.save("y.npy", np.zeros((3, 8, 8), np.float32))
    for command in [*opened, [*opened[1], "--trust"]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert main(command) == 2
        assert capsys.readouterr().err.startswith("xhat: ")


def test_a_program_runs_only_if_it_is_trusted(tmp_path):
    file = script(Halves(), tmp_path / "d.pt")
    with pytest.raises(DataError, match=r"was not run; .*trust=true .*--trust: trust means that code"):
        build_prior(str(file), "cpu")
    x = torch.ones(2, 3, 4, 4)
    prior = build_prior(f"{file}:trust=true", "cpu")
    assert torch.allclose(prior(x, Level(0.5, 1.0, 1.0)), x / 2)
    assert build_prior(trusted(str(file)), "cpu").given.options["trust"] is True
    with pytest.raises(SpecError, match="powerlaw is none"):
        trusted("powerlaw")


@pytest.mark.parametrize("text", ["denoiser:path=a.pt,trust=true", "a.pt:trust=1", "magnitude:prior=(x:trust=true)"])
def test_no_file_may_ask_for_trust(tmp_path, text):
    with pytest.raises(SpecError, match="no file may ask"):
        without_code({"priors": [text]}, "a grid")
    (tmp_path / "c.toml").write_text("trust = true\n")
    with pytest.raises(SpecError, match="no file may ask"):
        read_options(str(tmp_path / "c.toml"))


LINE = "torch.div(_0"
SNEAKS = [
    'torch.from_file("canary", True, 9)',
    'ops.aten.from_file("canary", True, 9)',
    'getattr(torch, "from_" "file")("canary", True, 9)',
    'getattr(torch, "from\\x5ffile")("canary", True, 9)',
    "ops.c10d.barrier(x)",
    "__torch__.torch.classes.a.B()",
]


@pytest.mark.parametrize("sneak", SNEAKS)
def test_trust_does_not_open_files(canary, sneak):
    canary.write_text("untouched")
    file = rewritten(script(Halves(), Path("d.pt")), "    _1 = torch.pow", f"    _9 = {sneak}\n    _1 = torch.pow")
    with pytest.raises(DataError, match="was not loaded, trusted or not"):
        build_prior(f"{file}:trust=true", "cpu")
    with pytest.raises(DataError, match=r"writes files \(save\)"):
        build_prior(f"{script(Saves(), Path('s.pt'))}:trust=true", "cpu")


def test_every_operator_of_torch_that_names_a_file_is_known():
    """Of the operators that code may use, those of aten and prim, all that take the name of a file are refused."""
    for schema in torch._C._jit_get_all_schemas():
        space, _, name = schema.name.partition("::")
        if space in ("aten", "prim") and any(
            re.search("file|path$", a.name) and "str" in str(a.type).lower() for a in schema.arguments
        ):
            assert any(p.search(f"ops.{space}.{name}(x)") for p in FORBIDDEN.values()), schema


# ONNX


def onnx_file(file: Path, location: str) -> Path:
    """y = x + w, with w in another file."""
    onnx = pytest.importorskip("onnx")
    real, info = onnx.TensorProto.FLOAT, onnx.helper.make_tensor_value_info
    w = onnx.TensorProto(name="w", data_type=real, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "4")):
        w.external_data.add(key=key, value=value)
    x, y = info("x", real, ["b", 3, "h", "w"]), info("y", real, ["b", 3, "h", "w"])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [w])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    file.write_bytes(model.SerializeToString())
    return file


def test_weights_of_onnx_lie_beside_it(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    here = tmp_path / "model"
    (here / "sub").mkdir(parents=True)
    for place in (here / "w.bin", here / "sub" / "w.bin", tmp_path / "secret.bin"):
        place.write_bytes(np.float32(0.5).tobytes())
    (here / "link.bin").symlink_to("../secret.bin")
    good = [untried(f"{onnx_file(here / 'm.onnx', n)}:sigma_max=1") for n in ("w.bin", "sub/w.bin")]
    for prior in good:
        assert torch.allclose(prior(torch.zeros(1, 3, 2, 2), Level(0.5, 1.0, 1.0)), torch.full((1, 3, 2, 2), 0.5))
    opened = lambda *a, **k: pytest.fail("onnxruntime opened it")
    monkeypatch.setattr("onnxruntime.InferenceSession", opened)
    for bad in ("../secret.bin", str(tmp_path / "secret.bin"), "sub/../../secret.bin", "link.bin", "none.bin",
                "..\\secret.bin", "C:\\secret.bin", "*/_ORT_MEM_ADDR_/*"):  # fmt: skip
        file = onnx_file(here / "m.onnx", bad)
        with pytest.raises(DataError, match=r"wants its weights|leads out of"):
            build_prior(f"{file}:sigma_max=1", "cpu")
        assert main(["prior", "inspect", str(file)]) == 2
    assert main(["prior", "inspect", str(onnx_file(here / "m.onnx", "w.bin"))]) == 0  # without onnxruntime


# Folders of diffusers, tars


def test_a_folder_of_diffusers_keeps_to_itself(tmp_path, diffusers_denoiser):
    here = tmp_path / "own"
    shutil.copytree(diffusers_denoiser, here)
    build_prior(str(here), "cpu")
    weights = next(here.rglob("*.safetensors"))
    index = weights.with_name(f"{weights.name}.index.json")
    for name in ("../../secret.safetensors", str(tmp_path / "secret.safetensors")):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(DataError, match=r"index.json names .*leads out of"):
            build_prior(str(here), "cpu")


@pytest.mark.parametrize("kind", ["diffusers", "network"])
def test_weights_are_no_link_out_of_a_folder(tmp_path, kind, diffusers_denoiser):
    here = tmp_path / kind
    shutil.copytree(diffusers_denoiser if kind == "diffusers" else ROOT / "src/xhat/priors/photo", here)
    weights = next(here.rglob("*.safetensors"))
    weights.rename(tmp_path / "w.safetensors")
    weights.symlink_to(tmp_path / "w.safetensors")
    with pytest.raises(DataError, match="is a link, which leads out of"):
        build_prior(str(here), "cpu")


def test_links_and_paths_in_a_tar_are_not_followed(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "private.png")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            member = tarfile.TarInfo(f"{kind!r}.png")
            member.type, member.linkname = kind, str(tmp_path / "private.png")
            archive.addfile(member)
        archive.add(tmp_path / "private.png", "../../up.png")
    before = sorted(tmp_path.parent.rglob("*"))
    assert [name for name, _ in read_images(tmp_path / "a.tar")] == [f"{tmp_path}/a.tar/../../up.png"]
    assert sorted(tmp_path.parent.rglob("*")) == before
