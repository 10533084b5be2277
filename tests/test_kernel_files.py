"""Measured kernels as people have them: convolution and correlation, files of many kinds, what is odd about them."""

import logging
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from scipy.ndimage import convolve, correlate

from xhat.errors import DataError, SpecError
from xhat.files.matlab import arrays_of
from xhat.operators.building import build_operator
from xhat.operators.kernels import load_kernel

K = np.array([[0.0, 1.0, 3.0, 0.0, 0.0], [0.0, 2.0, 9.0, 4.0, 0.0], [0.0, 1.0, 1.0, 5.0, 0.0]]) / 26
SHAPE = (1, 12, 17)


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    np.save("k.npy", K)


@pytest.mark.parametrize("shape", [(3, 5), (4, 6), (5, 2), (6, 3)])
def test_a_psf_is_a_convolution_and_a_kernel_a_correlation(shape):
    """Against SciPy, with sides of any parity; the centre is size // 2."""
    rng = np.random.default_rng(0)
    k, x = rng.random(shape), rng.random(SHAPE[1:])
    k /= k.sum()
    np.save("psf.npy", k)
    here = torch.from_numpy(x)[None, None].float()
    for option, oracle in (("kernel", correlate), ("psf", convolve)):
        A = build_operator(f"blur:{option}=psf.npy,boundary=circular", SHAPE)
        wanted = oracle(x, k, mode="wrap")
        assert np.abs(A(here)[0, 0].numpy() - wanted).max() < 1e-5
    with pytest.raises(SpecError, match=r"either kernel=.* or psf="):
        build_operator("blur", SHAPE)
    with pytest.raises(SpecError, match=r"either kernel=.* or psf="):
        build_operator("blur:kernel=k.npy,psf=k.npy", SHAPE)


def test_every_file_holds_the_same_kernel():
    np.savetxt("k.csv", K, delimiter=",")
    np.savetxt("semicolon.csv", K, delimiter=";")
    np.savetxt("k.txt", K)
    savemat("k.mat", {"psf": K, "other": np.ones((4, 4)), "note": "a point"})
    savemat("one.mat", {"anything": K, "n": 3.0 * np.ones((1,))[0]})
    torch.save(torch.from_numpy(K), "k.pt")
    torch.save({"kernel": torch.from_numpy(K)[None, None], "epoch": 3}, "named.pt")
    np.savez("k.npz", psf=K, other=np.ones((4, 4)))
    expected = load_kernel(K)
    for name in ("k.csv", "semicolon.csv", "k.txt", "k.mat", "k.pt", "named.pt", "k.npz", "k.npy"):
        torch.testing.assert_close(load_kernel(name), expected, msg=name)
    Image.fromarray((K / K.max() * 255).round().astype(np.uint8)).save("k.png")
    assert (load_kernel("k.png") - expected).abs().max() < 1e-3  # half a grey level of the largest, 0.35
    np.savez("two.npz", a=K, b=K)
    with pytest.raises(DataError, match="which is the kernel"):
        load_kernel("two.npz")
    with pytest.raises(DataError, match="cannot read a kernel"):
        load_kernel("nothing.mat")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["f8", "f4", "i2", "u1", "i4", ">f8"])
def test_matlabs_files_hold_what_scipy_writes(compressed, kind):
    k = (100 * np.arange(35).reshape(5, 7) / 35).astype(kind)
    long = {"a_name_of_more_letters": k, "k": k[:, :1], "text": "x", "c": 1j * k, "cell": np.array(["a", k[0]], object)}
    savemat("k.mat", long, do_compression=compressed)
    found = arrays_of(Path("k.mat"))
    assert {*found} == {"a_name_of_more_letters", "k"}
    assert (found["a_name_of_more_letters"] == k).all()
    assert (found["k"] == k[:, :1]).all()


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_file_of_matlab_is_one_error_or_an_array(compressed):
    """SciPy's reader ends the process on one of these."""
    savemat("k.mat", {"kernel": np.ones((3, 3))}, do_compression=compressed)
    content = Path("k.mat").read_bytes()
    for i in range(128, len(content)):
        for mask in (0xFF, 0x01, 0x80):
            Path("bad.mat").write_bytes(content[:i] + bytes([content[i] ^ mask]) + content[i + 1 :])
            with suppress(DataError):
                arrays_of(Path("bad.mat"), 10**6)
        Path("cut.mat").write_bytes(content[:i])
        with suppress(DataError):
            arrays_of(Path("cut.mat"), 10**6)
    Path("h5.mat").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(200))
    with pytest.raises(DataError, match="-v7"):
        arrays_of(Path("h5.mat"))


def test_a_pickle_in_a_pt_is_not_run():
    class Bad:
        def __reduce__(self):
            return print, ("run",)

    torch.save({"kernel": Bad()}, "bad.pt")
    with pytest.raises(DataError, match="cannot read a kernel"):
        load_kernel("bad.pt")


def test_what_is_odd_is_said(caplog):
    def told(kernel):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "xhat"):
            load_kernel(kernel)
        return caplog.text

    assert told("k.npy") == ""
    np.save("sum.npy", 7 * K)
    assert "sum.npy: sums to 7 and is divided by it" in told("sum.npy")
    off = np.zeros((9, 9))
    off[6, 3] = 1
    np.save("off.npy", off)
    text = told("off.npy")
    assert "2.0 pixels below and -1.0 to the right of its centre (row 4, column 4)" in text
    assert text.count("\n") == 1
    Image.fromarray((K * 500).astype(np.uint8)).save("k.png")
    assert told("k.png") == ""  # the numbers of a picture have no scale
    x = torch.zeros(1, 1, 12, 17)  # and it does what was said: the picture moves
    x[..., 6, 6] = 1
    y = build_operator("blur:psf=off.npy,boundary=circular", SHAPE)(x)
    assert y.flatten().argmax() == (6 + 2) * 17 + 6 - 1
