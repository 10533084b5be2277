"""A restoration in Python: a line, pictures in a notebook, PIL images and arrays, which all say the same."""

import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

import xhat
from xhat.errors import DataError

X = torch.rand(3, 10, 14, generator=torch.Generator().manual_seed(0)) * 2 - 1
QUICK = {"noise": 0.1, "prior": lambda x, s: x / (1 + s**2), "solver": "lmaps:steps=2", "device": "cpu"}


def restored(x=X, **changes):
    return xhat.restore(x, **{"operator": "denoise", **QUICK, **changes})


def test_a_short_line():
    r = restored(reference=X, samples=2)
    assert re.fullmatch(
        r"<Restoration: 3 x 10 x 14, 2 samples, denoise, gaussian:sigma=0.1, lmaps with <?lambda>?, "
        r"residual \d+\.\d\d of the expected: [a-z ]+, psnr [\d.]+, [\d.]+ s>",
        repr(r),
    )
    assert repr(xhat.simulate(X, "denoise", 0.1)) == "<Measurement: 3 x 10 x 14, denoise, gaussian:sigma=0.1>"


def test_pil_and_numpy_are_the_first_image(tmp_path):
    r = restored(samples=2)
    xhat.save_image(tmp_path / "x.png", r.first)
    assert np.array_equal(np.asarray(r.image), np.asarray(Image.open(tmp_path / "x.png")))
    x = r.to_numpy()
    assert (x.shape, x.dtype) == ((10, 14, 3), np.float32)
    assert np.allclose(x, (r.first.permute(1, 2, 0).numpy() + 1) / 2, atol=1e-6)
    assert np.allclose(r.to_numpy((0, 255)), x * 255, atol=1e-3)
    again = restored(x, value_range=(0, 1)) if "value_range" in xhat.restore.__doc__ else None
    assert again is None or np.allclose(again.y, r.first, atol=1e-6)
    grey = restored(X[:1])
    assert grey.to_numpy().shape == (10, 14)
    assert grey.image.mode == "L"


def test_what_is_no_picture_keeps_its_numbers():
    flat = xhat.restore(X[:, 0, 0], operator=lambda x: x, shape=(3,), **QUICK)
    assert flat.to_numpy().shape == (3,)
    with pytest.raises(DataError, match=r"is no picture; its numbers are in images and to_numpy\(\)"):
        flat.image  # noqa: B018
    assert "<img" not in flat._repr_html_()


def test_a_notebook_shows_a_measurement():
    shown = xhat.simulate(X, "gaussian_blur:std=0.5", 0.1)._repr_html_()
    assert "3 x 10 x 14, gaussian_blur:std=0.5, gaussian:sigma=0.1" in shown
    assert pictures(shown)[0].size == (14, 10)
    assert "<img" not in xhat.Measurement(torch.zeros(7))._repr_html_()
    assert len(pictures(xhat.Measurement(torch.ones(1, 4, 6, dtype=torch.complex64))._repr_html_())) == 1


def pictures(html):
    return [Image.open(BytesIO(b64decode(p))) for p in re.findall(r'src="data:image/png;base64,([^"]+)"', html)]


def test_a_notebook_shows_the_pictures():
    r = restored(reference=X, samples=2)
    html = r._repr_html_()
    assert re.findall(r"<figcaption[^>]*>([^<]*)<", html) == [
        "measurement",
        "restored, first sample",
        "mean of the samples",
        "truth",
    ]
    shown = pictures(html)
    assert [p.size for p in shown] == [(14, 10)] * 4
    assert np.array_equal(np.asarray(shown[1]), np.asarray(r.image))
    assert "http" not in html
    assert "2 samples, denoise" in html
    assert "&lt;lambda&gt;" in html  # text is text, whatever is in it


def test_a_large_picture_stays_small_in_a_notebook():
    r = restored(torch.zeros(1, 8, 2000))
    assert max(max(p.size) for p in pictures(r._repr_html_())) == 512
    assert len(r._repr_html_()) < 20_000


def test_plot_is_the_panel_that_is_saved(tmp_path):
    r = restored(reference=X)
    r.save(tmp_path / "o")
    assert np.array_equal(np.asarray(r.plot()), np.asarray(Image.open(tmp_path / "o" / "panel.png")))
