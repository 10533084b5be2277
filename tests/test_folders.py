"""InverseBench's LMDB folders: values, ranges, and what is refused."""

import numpy as np
import pytest
import torch

from xhat.errors import DataError, SpecError
from xhat.files.readers.load import load, load_reference
from xhat.science.inversebench import Folder
from xhat.science.mri.kspace import fft2c

lmdb = pytest.importorskip("lmdb")


@pytest.fixture(scope="session")
def lmdbs(shared):
    path = shared / "golden" / "lmdb"
    if not path.is_dir():
        pytest.skip(f"no {path}")
    return path


def raw(folder, key, dtype):
    with lmdb.open(str(folder), readonly=True, lock=False) as env, env.begin() as records:
        return np.frombuffer(bytes(records.get(str(key).encode())), dtype)


def test_scattering(lmdbs):
    path = lmdbs / "inv-scatter-test"
    assert len(Folder(path)) == 3
    x = load(f"{path}#2").y
    assert x.shape == (1, 128, 128)
    np.testing.assert_allclose(x[0].numpy(), 2 * raw(path, 2, "<f4").reshape(128, 128) - 1, atol=1e-6)


def test_black_hole(lmdbs):
    path = lmdbs / "blackhole-test"
    x, numbers = load(f"{path}#1").y, raw(path, 1, "<f8")
    assert x.shape == (1, 64, 64)
    assert float(x.max()) == 1
    np.testing.assert_allclose(x[0].numpy(), 2 * numbers.reshape(64, 64) / numbers.max() - 1, atol=1e-6)


def test_velocity_counts_from_1_and_is_resized(lmdbs):
    path = lmdbs / "fwi-test-70"
    x, numbers = load(path).y, raw(path, 1, "<f4")
    assert x.shape == (1, 128, 128)
    corner = (numbers.reshape(70, 70)[0, 0] - 3000) / 1500  # bilinear resizing keeps the corners
    assert float(x[0, 0, 0]) == pytest.approx(corner, abs=1e-5)
    assert float(x.mean()) == pytest.approx(float((numbers.mean() - 3000) / 1500), abs=0.02)
    with pytest.raises(DataError, match="no item 0; the first are 1"):
        load(f"{path}#0")


def test_vorticity(lmdbs):
    path = lmdbs / "navier-stokes-test"
    x = load(path).y
    np.testing.assert_allclose(x[0].numpy(), raw(path, 0, "<f4").reshape(128, 128) / 10, rtol=1e-6)


def test_mri(lmdbs):
    """k-space, maps and target of one slice fit together, and the target's 99 % quantile is 1."""
    path = lmdbs / "knee_val_lmdb"
    found = load(path)
    maps, mvue = found.physics["maps"], load_reference(path)
    assert float(np.quantile(torch.linalg.vector_norm(mvue, dim=0).numpy(), 0.99)) == pytest.approx(1, abs=1e-5)
    z = torch.complex(mvue[0], mvue[1])
    torch.testing.assert_close(fft2c(maps * z), found.y, rtol=0, atol=5e-6)  # single precision of numbers up to 13
    k = raw(path / "kspace", 0, "<c8").reshape(4, 320, 320)
    np.testing.assert_allclose(found.y.numpy() * found.scale, k, rtol=0, atol=5e-6)


def test_refusals(lmdbs, tmp_path):
    with pytest.raises(DataError, match="holds 3 items; say which"):
        load(lmdbs / "inv-scatter-test")
    with pytest.raises(DataError, match="does not tell which of scatter, blackhole, fwi, navier"):
        load(copy(lmdbs / "fwi-test-70", tmp_path / "numbers"))
    with pytest.raises(DataError, match="19600 bytes are no record of the kind navier"):
        Folder(lmdbs / "fwi-test-70", "navier")[1]
    with pytest.raises(SpecError, match="choose from"):
        Folder(lmdbs / "fwi-test-70", "seismic")
    with pytest.raises(DataError, match="no LMDB folder"):
        load(tmp_path)
    cut = copy(lmdbs / "fwi-test-70", tmp_path / "fwi")
    (cut / "data.mdb").write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match="no LMDB file, or cut off"):
        load(cut)


def copy(folder, to):
    to.mkdir()
    (to / "data.mdb").write_bytes((folder / "data.mdb").read_bytes())
    return to


def test_one_image_of_an_array(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 6), np.uint8)
    np.savez(tmp_path / "stack.npz", x=pixels, side=np.ones(3))
    x = load(f"{tmp_path / 'stack.npz'}#1").y
    np.testing.assert_allclose(x.numpy(), pixels[1:2] / 127.5 - 1, atol=1e-6)
    with pytest.raises(DataError, match="no image 3, only 0 to 2"):
        load(f"{tmp_path / 'stack.npz'}#3")
