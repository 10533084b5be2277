"""Slices of one file of k-space, restored by one command, come out as one volume."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from test_mri import fastmri_file, phantom
from test_mri_files import LIMITS, PLACED, point, scan
from xhat.cli.arguments import main
from xhat.errors import DataError
from xhat.files.folder import sha256
from xhat.files.readers.load import load
from xhat.files.stacking import stacked
from xhat.files.targets import sources
from xhat.science.mri.kspace import ifft2c, rss

h5py, nibabel = pytest.importorskip("h5py"), pytest.importorskip("nibabel")
RUN = ["--operator", "mri:acceleration=1", "--solver", "adjoint", "--noise", "0.01"]
FIELDS = "<fieldOfView_mm><x>256</x><y>128</y><z>4</z></fieldOfView_mm>"
HEADER = f"<ismrmrdHeader><encoding><encodedSpace>{FIELDS}</encodedSpace></encoding></ismrmrdHeader>"


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def three_slices(name="scan.h5"):
    """A file with slices of 1, 2 and 3 times the signal, and their true images in its units, (3, 48, 48)."""
    _, k = phantom(48)
    fastmri_file(name, k.numpy(), ismrmrd_header=HEADER)
    with h5py.File(name, "r+") as file:
        file["kspace"][...] = np.stack([k.numpy() * n for n in (1, 2, 3)])
    return torch.stack([rss(ifft2c(k)) * n for n in (1, 2, 3)]).numpy()


def test_one_command_makes_one_volume_in_the_units_of_the_file(capsys, caplog):
    """Each slice is divided by a number of its own on its way in; in the volume they can be compared."""
    truth = three_slices()
    assert main(["restore", "scan.h5#all", *RUN, "--reference", "scan.h5#all", "-o", "out"]) == 0
    image = nibabel.load("out/scan.nii.gz")
    found = np.asarray(image.dataobj).transpose(2, 1, 0)
    inside = truth > 0.3 * truth.max((1, 2), keepdims=True)
    assert np.allclose(found[inside], truth[inside], rtol=0.05)  # maps are estimated: their floor is 2 % of the maximum
    assert np.allclose(image.header.get_zooms(), (128 / 48, 256 / 48, 4))
    assert np.allclose(image.affine @ [24, 24, 0, 1], [0, 0, 0, 1], atol=1e-4)
    assert "scan.h5: does not say where its slices lie" in caplog.text
    whole = nibabel.load("out/scan_complex.nii.gz")
    assert np.allclose(np.abs(np.asarray(whole.dataobj)), np.asarray(image.dataobj), rtol=1e-5)
    one = np.load("out/scan_1/restored.npy")
    record = json.loads(Path("out/scan.json").read_text())
    scales = [row["measurement_scale"] for row in record["slices"]]
    assert np.allclose(np.asarray(whole.dataobj)[..., 1].T, one * scales[1], rtol=1e-5)
    assert np.allclose(np.array(scales) / scales[0], [1, 2, 3], rtol=1e-5)
    assert record["provenance"]["files"] == {"scan.h5": sha256(Path("scan.h5"))}
    assert record["files_sha256"]["scan.nii.gz"] == sha256(Path("out/scan.nii.gz"))
    assert [row["slice"] for row in record["slices"]] == ["scan.h5#0", "scan.h5#1", "scan.h5#2"]
    each = [json.loads(Path(f"out/scan_{i}/record.json").read_text())["metrics"]["magnitude_psnr"][0] for i in range(3)]
    assert record["metrics"]["magnitude_psnr"] == pytest.approx(np.mean(each))
    assert Path("out/scan.png").exists()
    said = capsys.readouterr().out
    assert "scan.nii.gz" in said
    assert "grey levels" not in said  # k-space has none


def test_a_complex_image_of_nifti_is_a_reference_and_no_measurement(capsys):
    """What was written in the units of the file is found again to the last bit that PSNR shows; so is a target."""
    truth = three_slices()
    assert main(["restore", "scan.h5#1", *RUN, "--formats", "nii", "-q", "-o", "out"]) == 0
    target = nibabel.Nifti1Image(truth[1].T[..., None].astype(np.complex64), np.eye(4))
    nibabel.save(target, "target.nii.gz")
    for name, least in (("out/restored_complex.nii", 79), ("target.nii.gz", 40)):
        assert main(["restore", "scan.h5#1", *RUN, "--reference", name, "-q", "--overwrite", "-o", "again"]) == 0
        found = json.loads(Path("again/record.json").read_text())
        assert found["metrics"]["magnitude_psnr"][0] > least
        assert name in found["provenance"]["files"]
    assert main(["restore", "target.nii.gz", "--operator", "mri", "--solver", "tv", "-q", "-o", "no"]) == 2
    assert "target.nii.gz: holds a complex image that lies in space, and no k-space" in capsys.readouterr().err


def test_a_range_of_slices_resume_and_what_is_not_ours(capsys):
    three_slices()
    assert main(["restore", "scan.h5#1-2", *RUN, "-q", "-o", "out"]) == 0
    assert nibabel.load("out/scan.nii.gz").shape == (48, 48, 2)
    assert {p.name for p in Path("out").iterdir() if p.is_dir()} == {"scan_1", "scan_2"}
    Path("out/scan.nii.gz").unlink()
    assert main(["restore", "scan.h5#1-2", *RUN, "-o", "out", "--resume"]) == 0
    assert "2 were done already" in capsys.readouterr().out
    assert nibabel.load("out/scan.nii.gz").shape == (48, 48, 2)
    Path("out/scan.png").write_bytes(b"a picture of the user's")
    assert main(["restore", "scan.h5#1-2", *RUN, "-q", "-o", "out"]) == 2
    assert "scan.png: is there already" in capsys.readouterr().err
    assert Path("out/scan.png").read_bytes() == b"a picture of the user's"


def test_without_one_of_its_slices_there_is_no_volume(capsys):
    _, k = phantom(48)
    fastmri_file("scan.h5", k.numpy())  # the first slice holds only zeros
    assert main(["restore", "scan.h5#all", *RUN, "-q", "-o", "out"]) == 1
    said = capsys.readouterr().err
    assert "1 of 3 failed" in said
    assert "no volume of scan.h5, since scan.h5#0 is missing; scan.h5#A-B names the slices A to B" in said
    assert not list(Path("out").glob("*.nii.gz"))


def test_what_names_no_slices_is_one_line():
    three_slices()
    np.save("stack.npy", np.zeros((3, 8, 8)))
    with pytest.raises(DataError, match=r"stack.npy: is no file of slices of one volume; name its items one by one"):
        sources(["stack.npy#all"])
    with pytest.raises(DataError, match=r"scan.h5#1-3: scan.h5 has the slices 0 to 2"):
        sources(["scan.h5#1-3"])
    with pytest.raises(DataError, match=r"none.h5: no such file"):
        sources(["none.h5#all"])
    with h5py.File("other.h5", "w") as file:
        file["something"] = np.zeros(3)
    with pytest.raises(DataError, match=r"other.h5: is no file of slices"):
        sources(["other.h5#all"])
    assert [s.path for s in sources(["*an.h5#all"])] == ["scan.h5#0", "scan.h5#1", "scan.h5#2"]


def test_slices_of_ismrmrd_lie_where_they_were_taken():
    """Five oblique slices, every second first, as scanners take them; a spin in each, at a known place in the patient.

    nibabel finds each at its place in the one volume, whose slices are in the order in which they lie.
    """
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    fields, size, apart = (240.0, 180.0, 3.0), (48, 40), 4.5  # a thickness of 3 mm, and gaps of 1.5
    space = "".join(f"<{axis}>{v}</{axis}>" for axis, v in zip("xyz", fields, strict=True))
    matrix = "".join(f"<{axis}>{v}</{axis}>" for axis, v in zip("xyz", (*size, 1), strict=True))
    inside = f"<matrixSize>{matrix}</matrixSize><fieldOfView_mm>{space}</fieldOfView_mm>"
    xml = f"<ismrmrdHeader><encoding><encodedSpace>{inside}</encodedSpace><reconSpace>{inside}</reconSpace>"
    xml += "<encodingLimits>" + LIMITS.format(most=39, centre=20) + "</encodingLimits></encoding></ismrmrdHeader>"
    lines, spins = [], {}
    for number, layer in enumerate((0, 2, 4, 1, 3)):
        seen = np.array([10.0, -20.0, 30.0]) + apart * layer * turned[2]
        spins[layer] = seen + np.array([(layer - 2) * 180 / 40, layer * 240 / 48, 0]) @ turned
        for samples, step, flags, centre, more in point(spins[layer], fields, size, seen, turned):
            lines.append((samples, step, flags, centre, more | {"idx": (step, 0, 0, number, *[0] * 5)}))
    scan("a.h5", lines, xml, PLACED)
    run = ["--operator", "mri:acceleration=1,maps=estimate", "--solver", "adjoint", "--noise", "0.01"]
    assert main(["restore", "a.h5#all", *run, "-q", "-o", "out"]) == 0
    for name in ("a.nii.gz", "a_complex.nii.gz"):
        image = nibabel.load(f"out/{name}")
        values = np.abs(np.asarray(image.dataobj))
        assert values.shape == (40, 48, 5)
        assert np.allclose(image.header.get_zooms(), (4.5, 5.0, apart), atol=1e-5)
        for layer, place in spins.items():
            slice_ = next(
                i for i in range(5)
                if np.allclose(
                    (image.affine @ [*np.unravel_index(values[..., i].argmax(), (40, 48)), i, 1])[:3],
                    place * [-1, -1, 1], atol=1e-3,
                )
            )  # fmt: skip
            assert slice_ == layer
    record = json.loads(Path("out/a.json").read_text())
    assert record["placed"]
    assert [row["slice"] for row in record["slices"]] == [f"a.h5#{i}" for i in (0, 3, 1, 4, 2)]


def test_slices_at_uneven_distances_are_no_volume():
    affines = [np.eye(4) for _ in range(4)]
    for affine, z in zip(affines, (0, 2, 4, 7), strict=True):
        affine[2, 3] = z
    with pytest.raises(DataError, match="slices c and d are 3 mm apart, others 2 mm"):
        stacked(affines, "abcd", "scan")
    affines[3][2, 3], affines[1][0, 0] = 6, 1.1
    with pytest.raises(DataError, match="b: lies in another direction"):
        stacked(affines, "abcd", "scan")


def test_slices_that_run_downwards_stay_so_and_keep_their_places():
    """The order is along the slices' own direction; a voxel keeps its place either way."""
    affines = [np.diag([2.0, 2.0, -3.0, 1.0]) for _ in range(3)]
    for affine, z in zip(affines, (0, 4, 8), strict=True):
        affine[2, 3] = z
    found = stacked(affines, "abc", "scan")
    assert found.order == (2, 1, 0)
    assert np.allclose([(found.affine @ [0, 0, i, 1])[2] for i in range(3)], [8, 4, 0])


def test_a_pair_of_bart_needs_no_suffix():
    """As BART itself names it; a file or folder of that very name comes first."""
    _, k = phantom(48)
    np.asfortranarray(k.numpy().transpose(1, 2, 0)[:, :, None]).ravel(order="F").tofile("scan.cfl")
    Path("scan.hdr").write_text("# Dimensions\n48 48 1 4 1 1\n")
    assert [s.path for s in sources(["scan"])] == ["scan.cfl"]
    assert main(["restore", "scan", *RUN, "-q", "-o", "out"]) == 0
    assert json.loads(Path("out/record.json").read_text())["image_shape"] == [2, 48, 48]
    Path("scan").mkdir()
    assert [s.path for s in sources(["scan"])] == ["scan"]


def test_a_slice_is_counted_as_it_is_read():
    """What is counted by heads alone is what the reader numbers."""
    three_slices()
    with pytest.raises(DataError, match="3 slices"):
        load("scan.h5")
    assert len(sources(["scan.h5#all"])) == 3


def test_the_time_of_all_slices_is_told_once(monkeypatch, caplog):
    import xhat.task.cost as cost

    three_slices()
    monkeypatch.setattr(cost, "trial", lambda prior, shape, device: (10.0, 1e6))
    run = [
        "--operator",
        "mri:acceleration=1",
        "--noise",
        "0.01",
        "--solver",
        "ddnm+:steps=4",
        "--prior",
        "magnitude:prior=powerlaw",
    ]
    assert main(["restore", "scan.h5#all", *run, "-q", "-o", "out"]) in (0, 1)
    assert caplog.text.count("3 files take 2 minutes or more") == 1
    assert "this takes" not in caplog.text
