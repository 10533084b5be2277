"""Arrays, batches and lists in Python are taken for what they are, or asked about."""

import pytest
import torch
from PIL import Image

import xhat
from xhat.errors import DataError, MismatchError, ShapeError, SpecError

G = torch.Generator().manual_seed(3)
Y = torch.rand(3, 12, 16, generator=G) * 2 - 1
QUICK = {"operator": "denoise", "noise": "gaussian:sigma=0.1", "solver": "lmaps:steps=2", "device": "cpu"}
WHITE = {"prior": lambda x, s: x / (1 + s**2)}
A = xhat.build("gaussian_blur:std=1", {"gaussian_blur": xhat.operators.OPERATORS["gaussian_blur"]}, (3, 12, 16))


def restore(y=Y, **changes):
    return xhat.restore(y, **{**QUICK, **WHITE, **changes})


def same(a, b):
    return torch.equal(a.images, b.images)


@pytest.mark.slow
def test_layouts_of_an_array_are_one_picture():
    for y in (Y.numpy(), Y.permute(1, 2, 0), Y.permute(1, 2, 0).numpy(), Y.double().numpy()):
        assert same(restore(y), restore())
        assert same(restore(y, operator=A), restore(operator=A))
    grey = Y[:1]
    for y in (grey[0], grey[0].numpy(), grey[0, :, :, None].numpy()):
        assert same(restore(y), restore(grey))


def test_pixels_of_any_layout():
    pixels = ((Y + 1) * 127.5).round().to(torch.uint8)
    like = restore(pixels.float() / 127.5 - 1)
    last = pixels.permute(1, 2, 0)
    for y in (pixels, last, last.numpy(), Image.fromarray(last.numpy())):
        assert torch.allclose(restore(y).images, like.images, atol=1e-6)


def test_data_of_an_operator_keep_their_layout():
    """Only pictures are turned upright: what an operator gives is its own."""
    f = xhat.operator(lambda x: x.permute(0, 2, 3, 1), (3, 12, 16), linear=True)
    r = restore(f(Y[None])[0], operator=f)
    assert tuple(r.y.shape) == (12, 16, 3)


@pytest.mark.parametrize(("white", "noise"), [(1, 0.05), (255, 12.75)])
def test_a_range_is_asked_for_and_then_taken(white, noise):
    y = (Y + 1) / 2 * white
    with pytest.raises(DataError, match=rf"go from .* value_range=\(0, {white}\), or value_range=\(-1, 1\)"):
        restore(y)
    with pytest.raises(DataError, match=rf"value_range=\(0, {white}\)"):
        restore(y + 0.05 * white * torch.randn(Y.shape, generator=G))  # noise goes below 0 and above white
    r = restore(y, value_range=(0, white), noise=noise)
    assert torch.allclose(r.images, restore(noise=0.1).images, atol=1e-5)
    assert r.record["noise"].startswith("gaussian:sigma=0.1")
    assert torch.allclose(restore(y, value_range=(0, white)).images, restore().images, atol=1e-5)
    r = restore(y, value_range=(0, white), reference=((Y + 1) / 2 * white).numpy())
    assert torch.allclose(r.reference, Y, atol=1e-5)
    own = restore(y / white, value_range=(-1, 1))
    assert torch.allclose(own.images, restore(xhat.Measurement(y / white)).images, atol=1e-5)


def test_what_is_not_asked():
    """A picture with dark places, a constant, data that are no pictures, and what simulate made."""
    restore(Y * 0.5)
    restore(torch.zeros(3, 12, 16))
    phase = xhat.simulate(Y, "phase_retrieval", 0.01)
    assert float(phase.y.min()) >= 0 or float(phase.y.min()) > -0.2
    restore(phase.y, operator="phase_retrieval", shape=(3, 12, 16), noise=0.01, solver="dps:steps=2")
    bright = xhat.simulate(Y.abs(), "denoise", 0.01)
    restore(bright)


def test_a_range_where_there_is_none_is_refused(tmp_path):
    xhat.save_image(tmp_path / "y.png", Y)
    with pytest.raises(SpecError, match="files and pixels say"):
        restore(tmp_path / "y.png", value_range=(0, 1))
    with pytest.raises(SpecError, match=r"\(black, white\) with white above black"):
        restore(value_range=(1, 0))


def test_a_list_is_restored_one_by_one():
    other = torch.rand(1, 9, 11, generator=G) - 0.6
    found = restore([Y, other], noise=["gaussian:sigma=0.1", 0.2], operator=["denoise", "gaussian_blur:std=1"], seed=4)
    assert isinstance(found, list)
    assert same(found[0], restore(seed=4))
    assert same(found[1], restore(other, noise=0.2, operator="gaussian_blur:std=1", seed=4))
    assert same(restore((Y,))[0], restore())
    assert restore([]) == []
    with pytest.raises(SpecError, match="2 of noise for 1 measurements"):
        restore([Y], noise=[0.1, 0.2])
    with pytest.raises(SpecError, match="checkpoint keeps the run of one"):
        restore([Y], checkpoint="c.pt")


def test_a_data_set_is_a_list():
    data = torch.utils.data.TensorDataset(torch.stack([Y, Y / 2]), torch.zeros(2))
    found = restore(data)
    assert [same(a, restore(y)) for a, y in zip(found, (Y, Y / 2), strict=True)] == [True, True]


@pytest.mark.slow
def test_a_batch_of_pictures_is_a_list():
    batch = torch.stack([Y, Y / 2])
    network = {"prior": "photo:dtype=float32"}
    one = restore(Y / 2, **network)
    for y in (batch, batch.numpy(), batch.permute(0, 2, 3, 1).numpy()):
        found = restore(y, **network, reference=batch)
        assert len(found) == 2
        assert same(found[1], one)
        assert found[1].reference.equal(Y / 2)
    assert same(restore(batch, operator=A)[1], restore(Y / 2, operator=A))  # the operator says it, too
    assert same(restore(batch, shape=(3, 12, 16))[1], restore(Y / 2))


def test_an_operator_with_a_part_for_each_image_of_a_batch():
    masks = xhat.operators.OPERATORS["inpaint"]
    mine = masks((3, 12, 16), mask=torch.rand(2, 1, 12, 16, generator=G) > 0.3)
    found = restore([Y, Y / 2], operator=mine)
    assert max(mine.batches()) == 2
    for i, y in enumerate((Y, Y / 2)):
        assert same(found[i], restore(y, operator=mine.take(torch.tensor([i]))))


def test_a_video_is_one_measurement():
    """A function as prior takes any shape, and (3, frames, h, w) is a video."""
    video = torch.rand(3, 4, 8, 8, generator=G) - 0.7
    assert restore(video).images.shape == (1, 3, 4, 8, 8)
    with pytest.raises((MismatchError, ShapeError)):
        restore(video[None], prior="photo")


def test_save_image_names_the_order():
    with pytest.raises(DataError, match="takes the path first"):
        xhat.save_image(Y, "o.png")


class Shell:
    kernel = "a notebook has one"


def test_progress_is_told(capsys):
    seen = []
    restore(samples=2, batch_size=1, progress=seen.append, operator="inpaint:keep=0.9")
    assert [p.done for p in seen] == [1, 2, 3, 4]
    assert {p.total for p in seen} == {4}
    assert "expected" in seen[-1].note
    assert seen[-1].left == 0

    class Stop(Exception):
        pass

    def stop(_):
        raise Stop

    with pytest.raises(Stop):
        restore(progress=stop)
    restore()  # nothing in a script
    assert capsys.readouterr().err == ""
    restore(progress=True, operator="inpaint:keep=0.9")
    assert "2/2" in capsys.readouterr().err


def test_a_notebook_shows_a_bar_by_itself(monkeypatch, capsys):
    import sys
    from types import SimpleNamespace

    told = []
    handle = SimpleNamespace(update=told.append)
    display = SimpleNamespace(HTML=str, display=lambda html, display_id: handle)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=Shell, display=display))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    restore(operator="inpaint:keep=0.9")
    assert told[-1].startswith('<progress value="2" max="2">')
    restore(progress=False, operator="inpaint:keep=0.9")
    assert len(told) == 2
    assert capsys.readouterr().err == ""
