"""Recorded k-space as scanners and people write it: geometry, zero filling, calibration, partial echo, noise scans."""

import re

import numpy as np
import pytest
import torch

import xhat
from test_mri import COUNTERS, XML, fastmri_file, phantom
from xhat.errors import DataError, SpecError
from xhat.files.hdf5 import opened
from xhat.files.readers.load import load
from xhat.science.mri import hdf5
from xhat.science.mri.kspace import crop, fft2c, ifft2c, rss

h5py = pytest.importorskip("h5py")

LIMITS = "<kspace_encoding_step_1><minimum>0</minimum><maximum>{most}</maximum><center>{centre}</center>"
LIMITS += "</kspace_encoding_step_1>"
FILE = "<ismrmrdHeader><encoding><reconSpace><matrixSize><x>{n}</x><y>{n}</y></matrixSize></reconSpace>"
FILE += "<encodingLimits>{limits}</encodingLimits></encoding></ismrmrdHeader>"


def restored(source, operator, **options):
    options = {
        "noise": "gaussian:sigma=0.02",
        "solver": "lmaps:steps=3",
        "prior": lambda x, s: x / (1 + s**2),
    } | options
    return xhat.restore(source, operator=operator, **options)


# --- fastMRI ---


def test_the_image_has_the_field_of_view_of_the_files_own_reconstruction(tmp_path):
    _, k = phantom(64)
    target = crop(crop(rss(ifft2c(k)), 48, -1), 40, -2)
    path = fastmri_file(tmp_path / "a.h5", k.numpy(), reconstruction_rss=np.zeros((3, 40, 48), np.float32))
    found = load(f"{path}#1")
    assert found.image_shape == (2, 40, 48)
    torch.testing.assert_close(found.truth[0] * found.scale, target, atol=1e-5, rtol=1e-4)


def test_incomplete_data_keep_their_field_of_view_and_inversebench_squeezes(tmp_path):
    _, k = phantom(64)
    mask = (torch.arange(64) % 2 == 0) | ((torch.arange(64) - 32).abs() < 6)
    shown = {"reconstruction_rss": np.zeros((3, 64, 48), np.float32)}
    path = fastmri_file(tmp_path / "a.h5", (k * mask).numpy(), mask=mask.numpy(), **shown)
    assert load(f"{path}#1").image_shape == (2, 64, 64)
    with opened(path) as file:
        squeezed = hdf5.fastmri(file, path, 1, squeezed=True)
    torch.testing.assert_close(squeezed.y * squeezed.scale, crop(k * mask, 48, -1), atol=1e-6, rtol=1e-5)
    assert torch.equal(squeezed.physics["mask"][0], crop(mask, 48, -1))


@pytest.mark.parametrize("header", [True, False])
def test_zero_filling_is_no_missing_line_and_acceleration_is_obeyed(tmp_path, header):
    """Six columns of zeros at each end, as half of fastMRI's files have them."""
    _, k = phantom(64)
    k[..., :6] = k[..., 58:] = 0
    more = {"ismrmrd_header": FILE.format(n=64, limits=LIMITS.format(centre=26, most=51))} if header else {}
    path = fastmri_file(tmp_path / "a.h5", k.numpy(), **more)
    assert load(f"{path}#1").truth is not None
    r = restored(f"{path}#1", "mri:acceleration=4")
    assert r.problem.y.shape == (1, 4, 64 * 16, 2)
    assert r.record["operator"].startswith("mri:acceleration=4")


def test_the_header_tells_zero_filling_from_partial_fourier(tmp_path):
    _, k = phantom(48)
    k[..., :12] = 0
    path = fastmri_file(tmp_path / "a.h5", k.numpy())
    found = load(f"{path}#1")
    assert found.truth is None, "what is missing at one end alone was not measured"
    assert float(found.physics["mask"].float().mean()) == 0.75
    limits = LIMITS.format(centre=12, most=35)  # step 12 lies in the middle, so that nothing was skipped
    path = fastmri_file(tmp_path / "b.h5", k.numpy(), ismrmrd_header=FILE.format(n=64, limits=limits))
    assert load(f"{path}#1").truth is not None


def test_what_cannot_be_obeyed_is_refused(tmp_path):
    _, k = phantom(48)
    mask = (torch.arange(48) % 2 == 0) | ((torch.arange(48) - 24).abs() < 6)
    path = f"{fastmri_file(tmp_path / 'a.h5', (k * mask).numpy(), mask=mask.numpy())}#1"
    with pytest.raises(SpecError, match="acceleration=4 draws lines, and here the mask is given"):
        restored(path, "mri:acceleration=4")
    with pytest.raises(DataError, match="frequencies that were not recorded"):
        restored(path, "mri:mask=random")
    np.save(tmp_path / "fewer.npy", (mask & (torch.arange(48) != 0)).numpy())
    fewer = restored(path, f"mri:mask={tmp_path / 'fewer.npy'}")
    assert fewer.problem.y.shape[2] == 48 * (int(mask.sum()) - 1)


# --- arrays ---


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "k.npz", **{name: np.asarray(v) for name, v in arrays.items()})
    return tmp_path / "k.npz"


def test_k_space_in_an_array_goes_the_way_of_a_file(tmp_path):
    """Maps are estimated, the numbers are scaled, and neither hangs on where the array came from."""
    _, k = phantom(48)
    file = restored(f"{fastmri_file(tmp_path / 'a.h5', k.numpy())}#1", "mri:acceleration=2")
    for source in (saved(tmp_path, y=k), saved(tmp_path, y=64 * k), k, k.numpy()):
        r = restored(source, "mri:acceleration=2")
        torch.testing.assert_close(r.problem.A.maps, file.problem.A.maps, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(r.images, file.images, rtol=1e-4, atol=1e-4)


def test_whole_lines_of_zeros_were_not_measured(tmp_path):
    _, k = phantom(48)
    mask = (torch.arange(48) % 2 == 0) | ((torch.arange(48) - 24).abs() < 6)
    said = restored(saved(tmp_path, y=k * mask, mask=mask), "mri")
    seen = restored(saved(tmp_path, y=k * mask), "mri")
    assert seen.problem.y.shape == said.problem.y.shape == (1, 4, 48 * int(mask.sum()), 2)
    assert torch.equal(seen.problem.A.maps, said.problem.A.maps)


@pytest.mark.parametrize(("axes", "named"), [((-2, -1), "axis -2, -1"), ((-1,), "axis -1")])
def test_k_space_whose_centre_is_in_the_corner_is_noticed(tmp_path, axes, named):
    _, k = phantom(48)
    with pytest.raises(DataError, match=f"lies at the ends of {named}, and frequency 0 belongs in the middle"):
        restored(saved(tmp_path, y=torch.fft.ifftshift(k, axes)), "mri")


def test_an_array_that_is_no_plane_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"has the axes \(\[coils,\] h, w\)"):
        restored(saved(tmp_path, y=np.ones((2, 3, 8, 8), np.complex64)), "mri", shape=(2, 8, 8))
    with pytest.raises(DataError, match="its mask of shape"):
        restored(saved(tmp_path, y=phantom(48)[1], mask=np.ones(47)), "mri")


def test_a_reference_in_the_units_of_the_file_is_scaled_with_it():
    image, k = phantom(48)
    true = torch.stack([image.real, image.imag])
    small, large = (restored(f * k, "mri:acceleration=2", reference=f * true) for f in (1, 64))
    assert float(large.metrics["magnitude_psnr"]) == pytest.approx(float(small.metrics["magnitude_psnr"]), abs=1e-3)


# --- ISMRMRD ---

HEAD = np.dtype(
    [
        ("flags", "<u8"),
        *((n, "<u2") for n in ("number_of_samples", "active_channels", "center_sample", "encoding_space_ref")),
        ("sample_time_us", "<f4"),
        ("idx", COUNTERS),
    ]
)
IMAGE, NOISE, CALIBRATION, BOTH = 0, 1 << 18, 1 << 19, 1 << 20


PLACED = np.dtype([*HEAD.descr, *((n, "<f4", 3) for n in ("position", "read_dir", "phase_dir", "slice_dir"))])


def scan(path, lines, xml=XML, kind=HEAD):
    """A file of `lines`: (samples (coils, n), step, flags, centre, further fields of the head)."""
    table = np.zeros(len(lines), np.dtype([("head", kind), ("data", h5py.vlen_dtype(np.dtype("<f4")))]))
    for row, (samples, step, flags, centre, more) in zip(table, lines, strict=True):
        head = row["head"]
        head["number_of_samples"], head["active_channels"] = samples.shape[1], len(samples)
        head["center_sample"], head["flags"], head["idx"]["kspace_encode_step_1"] = centre, flags, step
        for name, value in more.items():
            head[name] = value
        row["data"] = np.ascontiguousarray(samples, np.complex64).view(np.float32).ravel()
    with h5py.File(path, "w") as file:
        group = file.create_group("dataset")
        group.create_dataset("xml", data=np.array([xml.encode()], dtype=object), dtype=h5py.string_dtype())
        group.create_dataset("data", data=table)
    return path


def lines_of(k, steps, flags=IMAGE, first=0, **more):
    """The lines `steps` of k-space (coils, 96, 48) from sample `first` on. Step 22 is that of index 24 (`XML`)."""
    return [(k[:, first:, step].numpy(), step - 2, flags, 48 - first, more) for step in steps]


def oversampled(k):
    """k-space of twice the field of view along the readout, (coils, 96, 48)."""
    return fft2c(torch.nn.functional.pad(ifft2c(k), (0, 0, 24, 24)))


def test_names_of_the_header_may_have_a_prefix(tmp_path):
    _, k = phantom()
    plain = load(scan(tmp_path / "a.h5", lines_of(oversampled(k), range(2, 48))))
    prefixed = re.sub(r"<(/?)(\w)", r"<\1ns0:\2", XML)
    prefixed = prefixed.replace("Header>", 'Header xmlns:ns0="http://www.ismrm.org/ISMRMRD">', 1)
    found = load(scan(tmp_path / "b.h5", lines_of(oversampled(k), range(2, 48)), prefixed))
    assert torch.equal(found.y, plain.y)


def test_a_header_with_entities_is_refused(tmp_path):
    _, k = phantom()
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "cccc">]>' + XML.removeprefix('<?xml version="1.0"?>')
    with pytest.raises(DataError, match="has entities of its own"):
        load(scan(tmp_path / "a.h5", lines_of(oversampled(k), range(2, 48)), bomb))
    with pytest.raises(DataError, match="cannot be read"):
        load(scan(tmp_path / "b.h5", lines_of(oversampled(k), range(2, 48)), XML[:-20]))


def test_calibration_lines_that_were_recorded_apart_make_maps_and_no_data(tmp_path):
    """R = 2 without a full centre, and 24 lines of twice the gain beside it."""
    _, k = phantom()
    long, even, centre = oversampled(k), range(2, 48, 2), range(12, 36)
    found = load(scan(tmp_path / "a.h5", lines_of(long, even) + lines_of(2 * long, centre, CALIBRATION)))
    assert int(found.physics["mask"][0].sum()) == len(even)
    torch.testing.assert_close((found.y * found.scale)[..., 2::2], k[..., 2::2], atol=1e-3, rtol=1e-3)
    r = restored(tmp_path / "a.h5", None, noise=None)
    maps, size = torch.view_as_complex(r.problem.A.maps), rss(ifft2c(k))
    inside = size > 0.3 * size.max()
    true = ifft2c(k) / size
    torch.testing.assert_close(maps[:, inside].abs(), true[:, inside].abs(), atol=0.1, rtol=0)


def test_calibration_lines_that_are_image_lines_are_data(tmp_path):
    _, k = phantom()
    long = oversampled(k)
    lines = lines_of(long, range(2, 48, 2)) + lines_of(long, range(13, 36, 2), CALIBRATION | BOTH)
    found = load(scan(tmp_path / "a.h5", lines))
    assert int(found.physics["mask"][0].sum()) == 23 + 12


def test_samples_that_a_partial_echo_lacks_are_no_zeros(tmp_path):
    _, k = phantom()
    found = load(scan(tmp_path / "a.h5", lines_of(oversampled(k), range(2, 48), first=24)))
    assert found.truth is None
    mask = found.physics["mask"]
    assert not mask[:12].any(), "12 of 48 rows hold less than 24 of 96 did"
    assert mask[14:, 2:].all()
    torch.testing.assert_close((found.y * found.scale)[:, 15:, 2:], k[:, 15:, 2:], atol=2e-2, rtol=0)


def test_a_scan_of_noise_makes_coils_independent_and_tells_sigma(tmp_path):
    """Four coils of correlated noise. The scan of noise takes half of the time for a sample: it has twice the power."""
    _, k = phantom()
    g = np.random.default_rng(0)
    mix = np.eye(4) + 0.6 * g.normal(size=(4, 4))
    draw = lambda n, power: 0.02 * power**0.5 * (mix @ (g.normal(size=(4, n)) + 1j * g.normal(size=(4, n))))
    long = oversampled(k).numpy()
    lines = [(draw(256, 2.0), 0, NOISE, 0, {"sample_time_us": 1.0}) for _ in range(8)]
    lines += [(long[..., s] + draw(96, 1.0), s - 2, IMAGE, 48, {"sample_time_us": 2.0}) for s in range(2, 48)]
    found = load(scan(tmp_path / "a.h5", lines))
    assert "noise" not in found.guessed
    sigma = float(found.noise.split("=")[1])
    rim = found.y[:, :6, 2:].flatten(1)  # the signal there is small
    rim = torch.cat([rim.real, rim.imag], 1)
    covariance = rim @ rim.T / rim.shape[1] / sigma**2
    torch.testing.assert_close(covariance, torch.eye(4), atol=0.2, rtol=0)  # 552 numbers: 3 standard errors


def test_of_several_encodings_the_first_is_read(tmp_path):
    _, k = phantom()
    other = "<encoding>" + XML.split("<encoding>")[1].split("</encoding>")[0].replace("<x>96</x>", "<x>32</x>")
    xml = XML.replace("</encoding></ismrmrdHeader>", f"</encoding>{other}</encoding></ismrmrdHeader>")
    first = lines_of(oversampled(k), range(2, 48))
    second = [(samples[:, :32], step, flags, 16, {"encoding_space_ref": 1}) for samples, step, flags, *_ in first]
    assert torch.equal(load(scan(tmp_path / "a.h5", first + second, xml)).y, load(scan(tmp_path / "b.h5", first)).y)


# --- where pixels lie ---


def point(place, fields, size, seen, turned):
    """k-space lines of one spin at `place` in the patient, by the phase of each frequency, in `fields` mm and `size`
    samples: an oblique slice about `seen`, with the directions of columns, rows and slices `turned`.
    """
    across, along, _ = turned @ (np.asarray(place) - seen)
    n, lines = size
    kx = (np.arange(n) - n // 2) / fields[0]
    more = dict(zip(("position", "phase_dir", "read_dir", "slice_dir"), (seen, *turned), strict=True))
    return [
        (np.exp(-2j * np.pi * (kx * along + (y - lines // 2) / fields[1] * across))[None], y, IMAGE, n // 2, more)
        for y in range(lines)
    ]


def test_nifti_says_where_a_spin_lies(tmp_path):
    """A spin at a known place in the patient: nibabel finds the brightest voxel there, in the magnitude and in the
    complex image. Scanners count to the left and to the back, NIfTI to the right and to the front.
    """
    nibabel = pytest.importorskip("nibabel")
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    seen, fields, size = np.array([10.0, -20.0, 30.0]), (240.0, 180.0, 5.0), (48, 40)
    place = seen + np.array([7 * 180 / 40, -5 * 240 / 48, 0]) @ turned
    space = "".join(f"<{axis}>{v}</{axis}>" for axis, v in zip("xyz", fields, strict=True))
    matrix = "".join(f"<{axis}>{v}</{axis}>" for axis, v in zip("xyz", (*size, 1), strict=True))
    inside = f"<matrixSize>{matrix}</matrixSize><fieldOfView_mm>{space}</fieldOfView_mm>"
    xml = f"<ismrmrdHeader><encoding><encodedSpace>{inside}</encodedSpace><reconSpace>{inside}</reconSpace>"
    xml += "<encodingLimits>" + LIMITS.format(most=39, centre=20) + "</encodingLimits></encoding></ismrmrdHeader>"
    path = scan(tmp_path / "a.h5", point(place, fields, size, seen, turned), xml, PLACED)
    r = restored(path, "mri:acceleration=1,maps=estimate", solver="adjoint", noise=0.01)
    r.save(tmp_path / "out", formats=["nii"])
    for name in ("restored.nii", "restored_complex.nii"):
        image = nibabel.load(tmp_path / "out" / name)
        values = np.asarray(image.dataobj)
        where = np.unravel_index(np.abs(values).argmax(), values.shape)
        world = image.affine @ [*where, 1]
        assert np.allclose(world[:3], place * [-1, -1, 1], atol=1e-3)  # half a voxel would be 2.5 mm
        assert np.allclose(image.header.get_zooms(), (4.5, 5.0, 5.0), atol=1e-5)
    assert np.iscomplexobj(values)
    found = np.load(tmp_path / "out" / "restored.npy") * r.record["measurement_scale"]  # NIfTI is in units of the file
    assert np.allclose(values[..., 0].T, found)


def test_pixels_of_fastmri_have_their_size(tmp_path):
    """Its headers tell fields of view and no directions; cropping in the image keeps the size of pixels."""
    _, k = phantom(64)
    fields = "<fieldOfView_mm><x>256</x><y>128</y><z>4</z></fieldOfView_mm>"
    header = f"<ismrmrdHeader><encoding><encodedSpace>{fields}</encodedSpace></encoding></ismrmrdHeader>"
    shown = {"reconstruction_rss": np.zeros((3, 40, 48), np.float32)}
    path = fastmri_file(tmp_path / "a.h5", k.numpy(), ismrmrd_header=header, **shown)
    found = load(f"{path}#1")
    h = k.shape[-2]
    assert np.allclose(np.abs(np.diag(found.affine))[:3], (128 / 64, 256 / h, 4))
    assert np.allclose(found.affine @ [24, 20, 0, 1], [0, 0, 0, 1])
