"""Single planes in files of other fields: numbers, units and place go out as they came in."""

import hashlib
import json

import numpy as np
import pytest
import torch
from scipy.io import savemat

import xhat
from xhat.cli.arguments import main
from xhat.errors import DataError
from xhat.files.matlab import arrays_of
from xhat.files.readers.load import load

fits = pytest.importorskip("astropy.io.fits")
mrcfile = pytest.importorskip("mrcfile")
PLAIN = ["--noise", "gaussian:sigma=0.1", "--solver", "tv:steps=2,lam=1e-9", "-q"]


def numbers(h=12, w=16):
    return np.random.default_rng(0).normal(30, 10, (h, w)).astype(np.float32)


def sky(path, values, **cards):
    header = fits.Header()
    for key, value in {
        "CTYPE1": "RA---TAN", "CRVAL1": 187.7, "CRPIX1": 8.5, "CDELT1": -2e-4,
        "CTYPE2": "DEC--TAN", "CRVAL2": 12.4, "CRPIX2": 6.5, "CDELT2": 2e-4,
        "BUNIT": "Jy/beam", **cards,
    }.items():  # fmt: skip
        header[key] = value
    fits.PrimaryHDU(values, header).writeto(path)


def micrograph(path, values, size=1.5):
    with mrcfile.new(path) as made:
        made.set_data(values)
        made.voxel_size = size


def test_a_fits_image_is_upright_and_goes_out_on_the_same_sky(tmp_path):
    """The first row of FITS is the lowest; astropy finds the same unit and the same coordinates in the result."""
    values = numbers()
    sky(tmp_path / "a.fits", values)
    found = load(tmp_path / "a.fits")
    assert np.allclose(found.native.scale.outside(found.y), values, atol=1e-4)
    assert torch.equal(found.y[0].argmax(), torch.from_numpy(values[::-1].copy()).argmax())
    argv = ["restore", f"{tmp_path}/a.fits", "--operator", "denoise", *PLAIN]
    assert main([*argv, "-o", f"{tmp_path}/out"]) == 0
    with fits.open(tmp_path / "out" / "restored.fits") as file:
        made, head = file[0].data, file[0].header
    assert np.allclose(made, values, atol=0.5)  # of 50: λ is nearly 0, so that little is smoothed
    assert head["BUNIT"] == "Jy/beam"
    assert (head["CRVAL1"], head["CRPIX1"], head["CDELT1"]) == (187.7, 8.5, -2e-4)


def test_smaller_pixels_of_a_fits_image_lie_at_the_same_place(tmp_path):
    """The corner of the sky is where it was, by astropy's own coordinates."""
    wcs = pytest.importorskip("astropy.wcs")
    sky(tmp_path / "a.fits", numbers())
    native = load(tmp_path / "a.fits").native
    ((name, put),) = native.files("restored", torch.zeros(1, 24, 32)).items()
    put(tmp_path / name)
    old, new = (wcs.WCS(fits.getheader(tmp_path / f)) for f in ("a.fits", name))
    assert np.allclose(old.wcs_pix2world([[-0.5, -0.5]], 0), new.wcs_pix2world([[-0.5, -0.5]], 0), atol=1e-9)
    assert np.allclose(old.wcs_pix2world([[15.5, 11.5]], 0), new.wcs_pix2world([[31.5, 23.5]], 0), atol=1e-9)


def test_scaled_numbers_of_a_fits_file_are_those_that_are_meant(tmp_path):
    image = fits.PrimaryHDU(np.arange(12, dtype=np.int16).reshape(3, 4))
    image.header["BSCALE"], image.header["BZERO"] = 0.5, 100.0
    image.writeto(tmp_path / "a.fits")
    found = load(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits") as file:
        meant = file[0].data
    assert np.allclose(found.native.scale.outside(found.y), meant, atol=1e-3)


def test_an_image_of_a_radio_array_is_read_again(tmp_path):
    """What xhat writes for black holes can be a reference."""
    sky(tmp_path / "a.fits", np.abs(numbers())[None, None])
    assert load(tmp_path / "a.fits").y.shape == (1, 12, 16)


@pytest.mark.parametrize("kind", [np.float32, np.int16, np.uint16, np.float16])
def test_a_micrograph_keeps_its_numbers_and_the_size_of_its_pixels(tmp_path, kind):
    values = numbers().astype(kind)
    micrograph(tmp_path / "a.mrc", values)
    found = load(tmp_path / "a.mrc")
    assert np.allclose(found.native.scale.outside(found.y), values, atol=1e-3)
    ((name, put),) = found.native.files(
        "restored", torch.nn.functional.interpolate(found.y[None], scale_factor=2)[0]
    ).items()
    put(tmp_path / name)
    with mrcfile.open(tmp_path / name) as made:
        assert made.data.shape == (24, 32)
        assert float(made.voxel_size.x) == pytest.approx(0.75)
        assert np.allclose(made.data[::2, ::2], values, atol=1e-3)


def test_one_of_a_stack_is_named(tmp_path):
    stack = np.stack([numbers(), 2 * numbers()])
    micrograph(tmp_path / "a.mrcs", stack)
    with pytest.raises(DataError, match="2 images; say which one"):
        load(tmp_path / "a.mrcs")
    found = load(f"{tmp_path}/a.mrcs#1")
    assert np.allclose(found.native.scale.outside(found.y), stack[1], atol=1e-3)


def test_arrays_of_matlab_are_those_of_an_npz(tmp_path):
    """y and what it was made with, complex and real; a whole double that is stored in bytes stays a double."""
    rng = np.random.default_rng(0)
    y = (rng.normal(size=(2, 8, 8)) + 1j * rng.normal(size=(2, 8, 8))).astype(np.complex64)
    savemat(tmp_path / "a.mat", {"y": y, "maps": y.astype(np.complex128), "wavelength": 0.3, "mask": np.ones((1, 8))})
    found = load(tmp_path / "a.mat")
    assert torch.equal(found.y, torch.from_numpy(y))
    assert found.physics["wavelength"] == 0.3
    assert found.physics["mask"].shape == (8,)
    assert found.physics["maps"].is_complex()
    savemat(tmp_path / "b.mat", {"image": np.arange(64.0).reshape(8, 8)})
    assert load(tmp_path / "b.mat").y.dtype == torch.float32
    assert arrays_of(tmp_path / "b.mat")["image"].dtype == np.float64
    savemat(tmp_path / "c.mat", {"image": np.full((8, 8, 3), 255, np.uint8)})
    assert torch.equal(load(tmp_path / "c.mat").y, torch.ones(3, 8, 8))


CUBE = {
    "CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CRPIX3": 2.0, "CDELT3": 1e6, "CUNIT3": "Hz",
    "CTYPE4": "STOKES", "CRVAL4": 1.0, "CRPIX4": 1.0, "CDELT4": 1.0,
}  # fmt: skip


def test_a_plane_of_a_cube_is_named_and_keeps_its_coordinates(tmp_path, caplog):
    """Two polarisations of three channels, Stokes slowest: astropy finds sky, frequency and polarisation of plane 4."""
    wcs = pytest.importorskip("astropy.wcs")
    cube = np.stack([[numbers() + 100 * s + 10 * f for f in range(3)] for s in range(2)]).astype(np.float32)
    sky(tmp_path / "a.fits", cube, **CUBE)
    with pytest.raises(DataError, match="holds 6 planes; say which one"):
        load(tmp_path / "a.fits")
    found = load(f"{tmp_path}/a.fits#4")
    assert "plane 4 of 6 is taken, STOKES 2, FREQ 1.4e+09 Hz" in " ".join(caplog.text.split()) or (
        "FREQ 1.4e+09 Hz, STOKES 2" in caplog.text
    )
    assert np.allclose(found.native.scale.outside(found.y), cube[1, 1], atol=1e-3)
    found.native.write(tmp_path / "b.fits", found.y)
    with fits.open(tmp_path / "a.fits") as old, fits.open(tmp_path / "b.fits") as new:
        assert new[0].data.shape == (1, 1, 12, 16)
        assert np.allclose(new[0].data[0, 0], cube[1, 1], atol=1e-3)
        there = wcs.WCS(new[0].header).all_pix2world([[3, 5, 0, 0]], 0)
        assert np.allclose(there, wcs.WCS(old[0].header).all_pix2world([[3, 5, 1, 1]], 0))
    again = load(tmp_path / "b.fits")  # one plane, which need not be named
    assert torch.allclose(again.y, found.y, atol=1e-5)


def test_planes_of_several_images_are_counted_through_the_file(tmp_path):
    """Scaled integers, and a cube in an extension."""
    parts = [fits.PrimaryHDU(numbers()), fits.ImageHDU(np.stack([numbers() + 1, numbers() + 2]).astype(np.int16))]
    parts[1].header["BUNIT"] = "K"
    fits.HDUList(parts).writeto(tmp_path / "a.fits")
    for i, values in enumerate([parts[0].data, *parts[1].data]):
        found = load(f"{tmp_path}/a.fits#{i}")
        assert np.allclose(found.native.scale.outside(found.y), values, atol=1e-3)
    with pytest.raises(DataError, match="no plane 3, only 0 to 2"):
        load(f"{tmp_path}/a.fits#3")


def saved73(path, **arrays):
    """A file as MATLAB writes it with -v7.3: 512 bytes of its own, then HDF5 with its axes in reverse."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in arrays.items():
            if isinstance(value, str):
                file[name] = np.frombuffer(value.encode("utf-16-le"), np.uint16)[:, None]
                file[name].attrs["MATLAB_class"] = np.bytes_("char")
            elif isinstance(value, dict):
                file.create_group(name).attrs["MATLAB_class"] = np.bytes_("struct")
            else:
                stored = np.asarray(value).T
                if stored.dtype.kind == "c":
                    pairs = np.empty(stored.shape, [("real", stored.real.dtype), ("imag", stored.real.dtype)])
                    pairs["real"], pairs["imag"] = stored.real, stored.imag
                    stored = pairs
                file[name] = stored.astype(np.uint8) if stored.dtype == bool else stored
                kinds = {"float64": "double", "float32": "single", "complex128": "double", "bool": "logical"}
                kind = str(np.asarray(value).dtype)
                file[name].attrs["MATLAB_class"] = np.bytes_(kinds.get(kind, kind))
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: now HDF5 schema 1.00 .".ljust(116) + b" " * 8)
        file.write(b"\x00\x02IM")
    return path


def test_arrays_of_matlab_7_3_are_those_of_matlab_7(tmp_path):
    rng = np.random.default_rng(0)
    fields = {
        "y": rng.normal(size=(2, 8, 5)) + 1j * rng.normal(size=(2, 8, 5)), "maps": rng.normal(size=(2, 8, 5)),
        "wavelength": np.array([[0.3]]), "mask": np.ones((1, 8)), "image_shape": np.array([[1.0, 8, 5]]),
    }  # fmt: skip
    savemat(tmp_path / "old.mat", fields)
    old = load(tmp_path / "old.mat")
    new = load(saved73(tmp_path / "new.mat", **fields, text="hello", more={}))
    assert torch.equal(new.y, old.y)
    assert new.image_shape == old.image_shape == (1, 8, 5)
    assert new.physics.keys() == old.physics.keys()
    for name, value in old.physics.items():
        assert torch.equal(torch.as_tensor(new.physics[name]), torch.as_tensor(value))
    picture = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    savemat(tmp_path / "p.mat", {"image": picture})
    assert torch.equal(load(saved73(tmp_path / "q.mat", image=picture)).y, load(tmp_path / "p.mat").y)
    found = load(saved73(tmp_path / "l.mat", image=np.eye(6) > 0, text="hello", more={}))
    assert torch.equal(found.y, torch.eye(6))
    with pytest.raises(DataError, match=r"only a, b, and more \(struct\), text \(char\), which are left out"):
        load(saved73(tmp_path / "m.mat", a=np.eye(3), b=np.eye(4), text="hello", more={}))


def test_a_file_of_matlab_takes_nothing_from_other_files(tmp_path):
    h5py = pytest.importorskip("h5py")
    saved73(tmp_path / "secret.mat", y=np.eye(3))
    path = saved73(tmp_path / "a.mat", x=np.eye(3))
    with h5py.File(path, "r+") as file:
        file["y"] = h5py.ExternalLink("secret.mat", "/y")
    with pytest.raises(DataError, match="link to another file"):
        load(path)


def write(path, what):
    values = numbers()
    if what == "blank":
        values[3, 4] = np.nan
        sky(path, values)
    elif what == "cube":
        sky(path, np.stack([values, values]))
    elif what == "table":
        fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([fits.Column("A", "1J", array=[1])])]).writeto(
            path
        )
    elif what == "complex":
        micrograph(path, values.astype(np.complex64))
    elif what == "cut off":
        path.write_bytes(saved73(path, y=numbers(64, 64)).read_bytes()[:9000])
    elif what == "arrays":
        savemat(path, {"a": values, "b": values})
    else:
        path.write_bytes(b"nothing of the kind" * 100)


@pytest.mark.parametrize(
    ("name", "what", "said"),
    [
        ("a.fits", "blank", "1 of its 192 pixels are blank"),
        ("a.fits", "cube", "holds 2 planes; say which one"),
        ("a.fits", "table", "holds no image"),
        ("a.fits", "junk", "cannot be read as FITS"),
        ("a.mrc", "complex", "no plane of real ones"),
        ("a.mrc", "junk", "cannot be read as MRC"),
        ("a.mat", "arrays", "has no array y, only a, b"),
        ("a.mat", "junk", "no MATLAB file"),
        ("a.mat", "cut off", "cannot be read as HDF5"),
    ],
)
def test_what_is_no_plane_is_one_line(tmp_path, name, what, said):
    write(tmp_path / name, what)
    with pytest.raises(DataError, match=said) as caught:
        load(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_record_names_every_file_and_library(tmp_path):
    """Measurement, angles and mask of a run, each with what sha256sum prints, and the library that read it."""
    sky(tmp_path / "a.fits", numbers(8, 8))
    np.save(tmp_path / "mask.npy", np.arange(64).reshape(8, 8) % 3 > 0)
    argv = ["restore", f"{tmp_path}/a.fits", "--operator", f"inpaint:mask={tmp_path}/mask.npy", *PLAIN]
    assert main([*argv, "--reference", f"{tmp_path}/a.fits", "-o", f"{tmp_path}/out"]) == 0
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    said = record["provenance"]["files"]
    for name in ("a.fits", "mask.npy"):
        assert said[f"{tmp_path}/{name}"] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert "astropy" in record["versions"]


def test_the_parts_of_a_scan_are_all_in_the_record(tmp_path):
    """A sinogram with its description, angles and fields: five files."""
    n = 16
    y = xhat.simulate(torch.zeros(1, n, n), "ct:angles=6,detectors=16,pixel=1,pitch=1,white=0.05", 0.01, seed=0).y[0]
    np.save(tmp_path / "a.npy", (1e4 * np.exp(-y.numpy())).astype(np.float32))
    np.save(tmp_path / "flat.npy", np.full((5, 16), 1e4) + np.random.default_rng(0).normal(0, 100, (5, 16)))
    np.save(tmp_path / "dark.npy", np.zeros((2, 16)))
    (tmp_path / "theta.txt").write_text(" ".join(str(30 * i) for i in range(6)))
    (tmp_path / "a.toml").write_text(
        '[scan]\nkind = "counts"\nflat = "flat.npy"\ndark = "dark.npy"\ntheta = "theta.txt"\npixel = 1\npitch = 1\n'
    )
    r = xhat.restore(tmp_path / "a.toml", solver="fbp")
    names = {name.rpartition("/")[2] for name in r.record["provenance"]["files"]}
    assert {"a.toml", "a.npy", "flat.npy", "dark.npy", "theta.txt"} <= names


def test_a_changed_field_beside_a_scan_is_restored_again(tmp_path):
    """`--resume` looks at every file that a result was made of, not at the one that was named alone."""
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.full((6, 16), 5e3, np.float32))
        (tmp_path / f"{name}.toml").write_text(
            f'[scan]\nkind = "counts"\nflat = "flat_{name}.npy"\npixel = 1\npitch = 1\nwhite = 0.05\n'
        )
        np.save(tmp_path / f"flat_{name}.npy", np.full((1, 16), 1e4))
    argv = ["restore", *(f"{tmp_path}/{name}.toml" for name in "ab"), "--solver", "fbp", "-o", f"{tmp_path}/out"]
    assert main(argv) == 0
    records = [tmp_path / "out" / name / "record.json" for name in "ab"]
    first = [path.read_text() for path in records]
    np.save(tmp_path / "flat_b.npy", np.full((1, 16), 2e4))
    assert main([*argv, "--resume"]) == 0
    assert [path.read_text() == was for path, was in zip(records, first, strict=True)] == [True, False]
