"""Volumes in files: NIfTI, DICOM series and stacks of numbers, in and out."""

import json

import nibabel
import numpy as np
import pytest
import torch

import xhat
from xhat.cli.arguments import main
from xhat.errors import DataError
from xhat.files.readers.load import load
from xhat.files.volume import Grid, save_volume
from xhat.science.volumes import dicom

pydicom = pytest.importorskip("pydicom")

SHAPE = (4, 10, 8)  # slices, rows, columns
PLAIN = ["--operator", "slices:operator=denoise", "--prior", "slices:prior=brain", "--steps", "2"]


def numbers(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).integers(0, 1000, shape).astype(np.int16)


AFFINE = np.array([[-2.0, 0.1, 0, 30], [0.1, -3.0, 0, 40], [0, 0, 5.0, -20], [0, 0, 0, 1]])


def nifti(path, values=None, affine=AFFINE, **header):
    image = nibabel.Nifti1Image((numbers() if values is None else values).transpose(), affine)
    image.header.set_xyzt_units("mm", "sec")
    for key, value in header.items():
        image.header[key] = value
    nibabel.save(image, path)


def series(folder, values=None, order=None, spacing=2.5, slope=2.0, intercept=-1000.0, **changed):
    """A CT series whose files are not in the order of the slices; rows run to the back and columns to the left."""
    folder.mkdir(exist_ok=True)
    values = numbers() if values is None else values
    uid = pydicom.uid.generate_uid()
    for name, k in enumerate(order or np.random.default_rng(1).permutation(len(values))):
        meta = pydicom.dataset.FileMetaDataset()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        data = pydicom.dataset.Dataset()
        data.file_meta = meta
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        data.SeriesInstanceUID, data.InstanceNumber, data.Modality = uid, name + 1, "CT"
        data.Rows, data.Columns = values.shape[1:]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.PixelSpacing, data.SliceThickness = [0.7, 0.9], spacing
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [-11.0, -22.0, 33.0 + spacing * int(k)]
        data.RescaleSlope, data.RescaleIntercept = slope, intercept
        data.PixelData = values[k].tobytes()
        for key, value in changed.items():
            setattr(data, key, value)
        data.save_as(folder / f"IM{name:04d}", enforce_file_format=True)


# --- NIfTI ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_volume_goes_out_where_it_came_in(tmp_path, suffix):
    """The same voxels in the same order, the same affine, the same units and the same numbers."""
    nifti(tmp_path / f"a{suffix}")
    found = load(tmp_path / f"a{suffix}")
    assert found.y.shape == (1, *SHAPE)
    assert found.grid.spacing == pytest.approx((5.0, 3.0, 2.0), abs=0.01)
    save_volume(tmp_path / f"b{suffix}", found.y, found.grid)
    old, new = (nibabel.load(tmp_path / f"{n}{suffix}") for n in "ab")
    assert np.allclose(new.get_fdata(), old.get_fdata(), atol=1e-2)  # of 1000, in float32
    assert np.allclose(new.affine, old.affine, atol=1e-5)
    assert new.header.get_xyzt_units() == ("mm", "sec")


def test_pictures_of_a_volume_are_upright(tmp_path):
    """A file whose columns run to the right and rows to the front: the left is on the right, the front is above."""
    values = numbers()
    nifti(tmp_path / "a.nii", values, np.diag([1.0, 1, 1, 1]))
    found = load(tmp_path / "a.nii")
    assert found.grid.flipped == (False, True, True)
    back = found.grid.outside(found.y)
    assert np.allclose(back, values, atol=1e-2)
    assert torch.equal(found.y.flip(2, 3), found.grid.inside(values[:, ::-1, ::-1]))


def test_thin_slices_of_a_thick_volume_lie_between_its_faces():
    """Four slices of 5 mm as twenty of 1 mm: the outer faces stay, so that the first centre moves by 2 mm."""
    grid = Grid(AFFINE, SHAPE, 0.0, 1000.0).of((20, 10, 8))
    assert grid.spacing[0] == pytest.approx(1.0)
    assert grid.affine[2, 3] == pytest.approx(-20 - 2)
    corner = np.array([0, 0, -0.5, 1])
    assert np.allclose(grid.affine @ corner, AFFINE @ corner)
    assert np.allclose(grid.affine @ [0, 0, 19.5, 1], AFFINE @ [0, 0, 3.5, 1])


def test_one_of_a_series_of_volumes(tmp_path):
    four = np.stack([numbers(i).transpose() for i in range(3)], -1)
    nibabel.save(nibabel.Nifti1Image(four, AFFINE), tmp_path / "f.nii.gz")
    with pytest.raises(DataError, match="3 volumes; say which one"):
        load(tmp_path / "f.nii.gz")
    nifti(tmp_path / "one.nii", numbers(2))
    assert torch.equal(load(f"{tmp_path}/f.nii.gz#2").y, load(tmp_path / "one.nii").y)


def test_the_command_restores_a_volume_file(tmp_path):
    nifti(tmp_path / "a.nii.gz", numbers(shape=(2, 16, 16)))
    common = ["restore", f"{tmp_path}/a.nii.gz", "--sigma", "0.2", *PLAIN, "-q"]
    assert main([*common, "-o", f"{tmp_path}/b.nii.gz", "--record"]) == 0
    old, new = (nibabel.load(tmp_path / f"{n}.nii.gz") for n in "ab")
    assert np.allclose(new.affine, old.affine, atol=1e-5)
    assert new.shape == old.shape
    assert 100 < new.get_fdata().mean() < 900  # in the numbers of the file
    assert json.loads((tmp_path / "b.nii.record.json").read_text())["files"] == ["b.nii.gz"]
    thick = [*common, "-o", f"{tmp_path}/out"]
    thick[thick.index("slices:operator=denoise")] = "thick_slices:factor=2"
    assert main(thick) == 0
    thin = nibabel.load(tmp_path / "out" / "restored.nii.gz")
    assert thin.shape == (16, 16, 4)
    assert nibabel.affines.voxel_sizes(thin.affine)[2] == pytest.approx(2.5)
    assert (tmp_path / "out" / "panel.png").is_file()


@pytest.mark.slow
def test_thick_slices_come_out_thinner_with_no_prior_named(tmp_path):
    """A soft ball in slices four times as thick as wide: nearer to the truth than each slice repeated.

    Seen in one direction only, what lies between thick slices is made up, and is farther from it.
    """
    line = torch.linspace(-1, 1, 32)
    z, y, x = torch.meshgrid(line[::2], line, line, indexing="ij")
    ball = 1000 * torch.sigmoid(12 * (0.7 - (x**2 + y**2 + z**2).sqrt()))
    thick = ball.reshape(4, 4, 32, 32).mean(1)
    thick = thick + 10 * torch.randn(thick.shape, generator=torch.Generator().manual_seed(0))
    nifti(tmp_path / "thick.nii", thick.numpy().astype("int16"))
    argv = ["restore", f"{tmp_path}/thick.nii", "--operator", "thick_slices:factor=4", "--steps", "8", "-q"]
    assert main([*argv, "-o", f"{tmp_path}/thin.nii"]) == 0
    thin = torch.from_numpy(nibabel.load(tmp_path / "thin.nii").get_fdata()).permute(2, 1, 0)
    error = lambda v: float((v - ball).square().mean().sqrt())
    assert error(thin) < 0.75 * error(thick.repeat_interleave(4, 0))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p.write_bytes(b"nothing at all" * 40), "cannot be read as NIfTI"),
        (lambda p: nifti(p, np.zeros(SHAPE, dtype=[(c, "u1") for c in "RGB"])), "holds colours, no grey volume"),
        (lambda p: nifti(p, np.zeros((3, 4), dtype=np.int16)), "a volume has three axes"),
        (lambda p: nifti(p, np.full(SHAPE, np.nan, dtype=np.float32)), "NaN"),
        (lambda p: (nifti(p), p.write_bytes(p.read_bytes()[:400])), "cannot be read as NIfTI"),
    ],
)
def test_what_is_no_volume_is_one_line(tmp_path, make, said):
    path = tmp_path / "a.nii"
    make(path)
    with pytest.raises(DataError, match=said) as e:
        load(path)
    assert "a.nii" in str(e.value)
    assert "\n" not in str(e.value)


# --- DICOM ------------------------------------------------------------------------------------


def test_a_series_is_sorted_by_place_and_rescaled(tmp_path):
    values = numbers()
    series(tmp_path / "s", values)
    found = load(tmp_path / "s")
    assert found.y.shape == (1, *SHAPE)
    assert found.grid.spacing == pytest.approx((2.5, 0.7, 0.9))
    assert np.allclose(found.grid.outside(found.y), 2.0 * values - 1000, atol=1e-2)
    # DICOM's (−11, −22, 33) to the left and back is (11, 22, 33) to the right and front
    assert np.allclose(found.grid.affine[:3, 3], [11, 22, 33])
    assert found.grid.flipped == (False, False, False)


def test_files_of_a_series_go_out_as_a_volume(tmp_path):
    series(tmp_path / "s", numbers(shape=(2, 16, 16)))
    assert main(["restore", f"{tmp_path}/s", "--sigma", "0.2", "-o", f"{tmp_path}/b.nii.gz", *PLAIN, "-q"]) == 0
    new = nibabel.load(tmp_path / "b.nii.gz")
    assert nibabel.aff2axcodes(new.affine) == ("L", "P", "S")
    assert nibabel.affines.voxel_sizes(new.affine) == pytest.approx((0.9, 0.7, 2.5))


def test_several_series_in_a_folder_are_named(tmp_path):
    series(tmp_path / "s", numbers(1), SeriesNumber=2)
    (tmp_path / "t").mkdir()
    series(tmp_path / "t", numbers(2), SeriesNumber=1)
    for file in (tmp_path / "t").iterdir():
        file.rename(tmp_path / "s" / f"other_{file.name}")
    with pytest.raises(DataError, match="holds 2 series"):
        load(tmp_path / "s")
    first = load(f"{tmp_path}/s#0")
    assert np.allclose(first.grid.outside(first.y), 2.0 * numbers(2) - 1000, atol=1e-2)


def test_links_and_directories_of_dicom_are_not_followed(tmp_path):
    series(tmp_path / "s")
    series(tmp_path / "far", numbers(5))
    (tmp_path / "s" / "link").symlink_to(tmp_path / "far" / "IM0000")
    (tmp_path / "s" / "DICOMDIR").write_bytes((tmp_path / "far" / "IM0001").read_bytes())
    (tmp_path / "s" / "notes.txt").write_text("no DICOM")
    assert load(tmp_path / "s").y.shape == (1, *SHAPE)
    assert not dicom.is_dicom(tmp_path / "s" / "link")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "no grey ones"),
        ({"NumberOfFrames": 2}, "files of several frames; give one of them"),
        ({"PixelData": b"\0\0" * 3}, "pixels cannot be read"),
        ({"ImagePositionPatient": [0, 0, 5]}, "mm apart"),
    ],
)
def test_what_is_no_series_is_one_line(tmp_path, changed, said):
    series(tmp_path / "s", **changed)
    with pytest.raises(DataError, match=said) as e:
        load(tmp_path / "s")
    assert "\n" not in str(e.value)


def test_a_missing_slice_is_seen(tmp_path):
    values = numbers(shape=(6, 10, 8))
    series(tmp_path / "s", values, order=[0, 1, 2, 4, 5])
    with pytest.raises(DataError, match="one is missing"):
        load(tmp_path / "s")


def test_one_file_of_dicom_is_a_slice(tmp_path):
    series(tmp_path / "s")
    (tmp_path / "s" / "IM0000").rename(tmp_path / "a.dcm")
    assert load(tmp_path / "a.dcm").y.shape == (1, 10, 8)


def enhanced(path, values, places=None, dimensions=None, grouped=True, **changed):
    """One file of frames (n, rows, columns), place and scale of each in its functional groups; `places` are the numbers
    of their slices, and `dimensions` their indices by (tag, label).
    """
    item = lambda **entries: _dataset(**entries)
    places = list(range(len(values))) if places is None else places
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedMRImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    data = item(
        SOPClassUID=meta.MediaStorageSOPClassUID, SOPInstanceUID=meta.MediaStorageSOPInstanceUID, Modality="MR",
        SeriesInstanceUID=pydicom.uid.generate_uid(), NumberOfFrames=len(values), SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2", Rows=values.shape[1], Columns=values.shape[2], BitsAllocated=16,
        BitsStored=16, HighBit=15, PixelRepresentation=1, PixelData=values.tobytes(),
    )  # fmt: skip
    data.file_meta = meta
    if grouped:
        data.SharedFunctionalGroupsSequence = [
            item(
                PixelMeasuresSequence=[item(PixelSpacing=[0.7, 0.9], SliceThickness=2.0)],
                PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            )
        ]
        frames = []
        for i, k in enumerate(places):
            scale = item(RescaleSlope=2.0 + i, RescaleIntercept=-1000.0, RescaleType="US")
            content = item() if dimensions is None else item(DimensionIndexValues=[v[i] for v in dimensions.values()])
            position = [item(ImagePositionPatient=[-11.0, -22.0, 33.0 + 2.5 * k])]
            frames.append(
                item(
                    PlanePositionSequence=position, PixelValueTransformationSequence=[scale],
                    FrameContentSequence=[content],
                )
            )  # fmt: skip
        data.PerFrameFunctionalGroupsSequence = frames
        if dimensions is not None:
            data.DimensionIndexSequence = [
                item(DimensionIndexPointer=tag, DimensionDescriptionLabel=label) for tag, label in dimensions
            ]
    for key, value in changed.items():
        setattr(data, key, value)
    data.save_as(path, enforce_file_format=True)
    return path


def _dataset(**entries):
    made = pydicom.dataset.Dataset()
    for key, value in entries.items():
        setattr(made, key, value)
    return made


STACK, PLACE, ECHO = (0x00209056, "stack"), (0x00209057, "slice"), (0x00189082, "echo time")


def test_frames_of_one_file_are_a_volume(tmp_path):
    """Frames that are not in the order of the slices, each with a scale of its own; gaps between them count."""
    values, places = numbers(), [2, 0, 3, 1]
    found = load(enhanced(tmp_path / "a.dcm", values, places))
    assert found.grid.spacing == pytest.approx((2.5, 0.7, 0.9))
    order = np.argsort(places)
    expected = np.stack([values[i] * (2.0 + i) - 1000 for i in order])
    assert np.allclose(found.grid.outside(found.y), expected, atol=1e-2)
    assert np.allclose(found.grid.affine[:3, 3], [11, 22, 33])
    (tmp_path / "s").mkdir()
    (tmp_path / "a.dcm").rename(tmp_path / "s" / "IM0000")
    assert torch.equal(load(tmp_path / "s").y, found.y)
    one = load(enhanced(tmp_path / "b.dcm", values[:1]))
    assert one.y.shape == (1, *SHAPE[1:])
    assert one.native.grid.spacing == pytest.approx((2.0, 0.7, 0.9))


def test_echoes_in_one_file_are_volumes_of_their_own(tmp_path, caplog):
    values = numbers()
    told = {STACK: [1, 1, 1, 1], PLACE: [1, 1, 2, 2], ECHO: [1, 2, 1, 2]}
    path = enhanced(tmp_path / "a.dcm", values, [0, 0, 1, 1], told)
    with pytest.raises(DataError, match="holds 2 volumes"):
        load(path)
    second = load(f"{path}#1")
    assert np.allclose(second.grid.outside(second.y), np.stack([values[1] * 3.0, values[3] * 5.0]) - 1000, atol=1e-2)
    assert "volume 1 of 2 is taken, stack 1, echo time 2" in caplog.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"grouped": False}, "holds 4 frames and says the place of 0"),
        ({"places": [0, 0, 1, 1]}, "0 mm apart"),
        ({"places": [0, 0, 0, 0]}, "4 frames lie at one place"),
        ({"places": [0, 1, 2, 4]}, "frame 3 and frame 4 are 5 mm apart, others 2.5 mm"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "no grey ones"),
        ({"PixelData": b"\0\0" * 8}, "pixels cannot be read"),
        ({"SharedFunctionalGroupsSequence": []}, "frame 1 does not say the size of its pixels"),
    ],
)
def test_frames_that_are_no_volume_are_one_line(tmp_path, options, said):
    with pytest.raises(DataError, match=said) as e:
        load(enhanced(tmp_path / "a.dcm", numbers(), **options))
    assert "\n" not in str(e.value)


def test_low_numbers_may_be_bright(tmp_path):
    """MONOCHROME1: the picture is turned, the numbers that go out are not."""
    values = numbers()
    series(tmp_path / "s", values, PhotometricInterpretation="MONOCHROME1")
    series(tmp_path / "t", values)
    turned, plain = load(tmp_path / "s"), load(tmp_path / "t")
    assert torch.allclose(turned.y, -plain.y, atol=1e-5)
    assert np.allclose(turned.grid.outside(turned.y), 2.0 * values - 1000, atol=1e-2)


# --- stacks of numbers ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float32, np.uint8, np.uint16])
def test_a_stack_is_a_volume(tmp_path, kind):
    """(slices, h, w) without an axis of channels; pixels are black to white, floats as they are."""
    x = np.random.default_rng(0).random((4, 16, 16), dtype=np.float32)
    white = 1.0 if kind == np.float32 else np.iinfo(kind).max
    np.save(tmp_path / "a.npy", (2 * x - 1) if kind == np.float32 else (x * white).astype(kind))
    r = xhat.restore(
        tmp_path / "a.npy", "thick_slices:factor=2", 0.1, "slices:prior=brain", "lmaps:steps=2", device="cpu"
    )
    assert r.first.shape == (1, 8, 16, 16)
    assert np.allclose(r.y.numpy(), (2 * x - 1)[None], atol=2 / 255)
