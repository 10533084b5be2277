"""`xhat.metrics.psnr(a, b)` takes whatever holds a picture, and one picture is one number."""

import inspect

import numpy as np
import pytest
import torch
from PIL import Image

import xhat
from xhat import metrics
from xhat.errors import DataError, ShapeError, SpecError, XhatError
from xhat.metrics.registry import METRICS
from xhat.task.intake import taken

G = torch.Generator().manual_seed(0)
X = torch.randint(256, (3, 12, 20), generator=G) / 127.5 - 1  # numbers that 8 bits hold
Y = torch.randint(256, (3, 12, 20), generator=G) / 255 - 0.5 + X / 2
Y = ((Y + 1) * 127.5).round() / 127.5 - 1


def pixels(x):
    return ((x + 1) * 127.5).round().to(torch.uint8)


def forms(tmp_path):
    """A picture in every form in which people have one, by what `value_range` it needs."""

    def of(x, name):
        last = pixels(x).permute(1, 2, 0)
        xhat.save_image(tmp_path / name, x)
        yield from ((v, None) for v in (x, x.double(), x.numpy(), x.permute(1, 2, 0).numpy(), pixels(x), last))
        yield from ((v, None) for v in (last.numpy(), Image.fromarray(last.numpy()), tmp_path / name))
        yield (x + 1) / 2, (0, 1)
        yield ((x + 1) * 127.5).permute(1, 2, 0).numpy(), (0, 255)
        yield pixels(x).numpy().astype(np.uint16) * 257, None

    return zip(of(X, "x.png"), of(Y, "y.png"), strict=True)


@pytest.mark.parametrize("name", ["psnr", "ssim", "relative_l2"])
def test_one_picture_in_any_form_is_one_number(name, tmp_path):
    f, want = getattr(metrics, name), float(METRICS[name](Y[None], X[None])[0])
    for (x, values), (y, _) in forms(tmp_path):
        found = f(y, x, values)
        assert isinstance(found, float)
        assert found == pytest.approx(want, rel=2e-3)  # pixels round
        assert f(y, pixels(X), values) == pytest.approx(want, rel=2e-3)  # the forms may be mixed


def test_a_batch_has_a_number_for_each_and_one_truth_is_for_all():
    batch = torch.stack([Y, X, -X])
    want = METRICS["psnr"](batch, X.expand_as(batch))
    for b in (batch, batch.numpy(), batch.permute(0, 2, 3, 1).numpy()):
        for truth in (X, torch.stack([X] * 3)):
            assert torch.allclose(metrics.psnr(b, truth), want)
    grey = metrics.psnr(Y[0], X[0].numpy())
    assert isinstance(grey, float)
    assert grey == pytest.approx(float(METRICS["psnr"](Y[None, :1], X[None, :1])))


WRONG = [
    (Y[:, :11], X, ShapeError, r"20 x 11 pixels in colour and the reference 20 x 12 pixels in colour; they must be"),
    (Y[:1], X, ShapeError, r"in grey and the reference .* in colour"),
    (torch.stack([Y, Y]), torch.stack([X] * 3), ShapeError, r"a batch of 2, .* a batch of 3"),
    (Y[:2], X, ShapeError, r"x is an array of shape \(2, 12, 20\), and no picture \(c, h, w\)"),
    (Y, torch.zeros(2, 12, 20), ShapeError, r"the reference is an array of shape \(2, 12, 20\)"),
    (Y * 1j, X, ShapeError, "complex numbers"),
    ((Y + 1) / 2, (X + 1) / 2, DataError, r"x: its numbers go from .* to .* Say .* value_range=\(0, 1\)"),
    (Y, X * float("nan"), DataError, "the reference: holds 720 values that are NaN or infinite"),
    ("nothere.png", X, DataError, r"nothere\.png: no such file"),
    (np.array(["a"]), X, DataError, "holds <U1 values, not numbers"),
    (torch.zeros(0, 3, 8, 8), X, DataError, "is empty"),
    ([Y], X, SpecError, "x must be a file, a PIL image, a tensor or an array, not a list"),
    (Y, None, SpecError, "the reference must be a file, a PIL image, a tensor or an array, not None"),
    (0.5, X, SpecError, "not 0.5"),
]


@pytest.mark.parametrize("at", range(len(WRONG)))
def test_what_is_no_pair_of_pictures_is_named_in_one_line(at):
    x, reference, kind, says = WRONG[at]
    with pytest.raises(kind, match=says) as e:
        metrics.psnr(x, reference)
    assert str(e.value).startswith("nothere" if x is WRONG[8][0] else "psnr: ")
    for name in ("ssim", "relative_l2"):
        with pytest.raises(XhatError):
            getattr(metrics, name)(x, reference)


@pytest.mark.parametrize("values", [3, (1, 0), (0,), "01", (0, 1, 2)])
def test_a_range_is_two_numbers(values):
    r = xhat.restore(Y, operator="denoise", noise=0.1, prior=lambda x, s: x, solver="lmaps:steps=1", device="cpu")
    for f in (lambda: metrics.psnr(Y, X, values), lambda: r.to_numpy(values)):
        with pytest.raises(SpecError, match=r"value_range is \(black, white\) with white above black"):
            f()


def test_a_range_of_restore_is_two_numbers():
    with pytest.raises(SpecError, match="value_range is"):
        taken(Y, None, None, (1, 0))


def test_every_metric_of_pictures_can_be_called():
    """A new row needs its function; what is asked for and is not there is answered with what is."""
    assert set(METRICS.own) <= set(metrics.__all__)
    for name in METRICS.own:
        f = getattr(metrics, name)
        assert list(inspect.signature(f).parameters) == ["x", "reference", "value_range"]
        assert inspect.getdoc(f)
    with pytest.raises(AttributeError, match=r"has no attribute 'fid'; it has METRICS, .*psnr"):
        metrics.fid  # noqa: B018
