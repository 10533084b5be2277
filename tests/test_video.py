"""Video files in and out, and `xhat restore film.mp4`."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import xhat
from xhat.cli.arguments import main
from xhat.errors import DataError
from xhat.files.readers.load import load
from xhat.files.video import load_video, save_video
from xhat.task.film import lifted_operator, lifted_prior


def film(t=5, h=24, w=32, noise=0.0):
    """A soft spot that moves over a slope, (3, t, h, w)."""
    down, across = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    frames = [torch.exp(-((across - 8 - 2 * f) ** 2 + (down - h / 2) ** 2) / 30.0) for f in range(t)]
    spot = torch.stack(frames)[None]
    x = torch.cat([1.2 * spot - 0.6, 0.8 * spot - 0.2, 0.02 * across + 0 * spot - 0.3])
    return x + noise * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


def rms(a, b):
    return float((a - b).square().mean().sqrt())


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_coded_video_is_read_as_it_was_written(tmp_path, suffix):
    pytest.importorskip("av")
    save_video(tmp_path / f"a{suffix}", film(), 12.5)
    read = load_video(tmp_path / f"a{suffix}")
    assert read.x.shape == (3, 5, 24, 32)
    assert read.rate == pytest.approx(12.5)
    assert rms(read.x, film()) < 0.03  # of 2: lossy, and colours have half the resolution


def test_a_gif_is_read_as_it_was_written(tmp_path):
    x = film().mean(0, keepdim=True)
    save_video(tmp_path / "a.gif", x, 10)
    read = load_video(tmp_path / "a.gif")
    assert read.x.shape == (1, 5, 24, 32)
    assert read.rate == pytest.approx(10)
    assert rms(read.x, x) < 0.01  # 256 greys


def test_numbered_pictures_are_a_video(tmp_path):
    save_video(tmp_path / "f_%03d.png", film())
    assert (tmp_path / "f_004.png").is_file()
    assert (load_video(tmp_path / "f_%03d.png").x - film()).abs().max() <= 1 / 255 + 1e-6
    (tmp_path / "f_002.png").unlink()
    with pytest.raises(DataError, match="picture 2 is missing"):
        load_video(tmp_path / "f_%03d.png")


def test_one_frame_of_a_video_is_a_picture(tmp_path):
    save_video(tmp_path / "a.gif", film().mean(0, keepdim=True), 10)
    whole = load(tmp_path / "a.gif")
    assert whole.rate == pytest.approx(10)
    assert torch.equal(load(f"{tmp_path}/a.gif#3").y, whole.y[:, 3])
    with pytest.raises(DataError, match="frame"):
        load(f"{tmp_path}/a.gif#5")


def test_a_gif_of_one_frame_is_a_picture(tmp_path):
    Image.fromarray(np.zeros((8, 9), dtype=np.uint8)).save(tmp_path / "one.gif")
    assert load(tmp_path / "one.gif").y.shape == (3, 8, 9)


def test_what_is_no_video_is_refused(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "a.mp4").write_bytes(b"no video at all" * 20)
    for path in (tmp_path / "a.mp4", tmp_path / "none.mp4", tmp_path / "no_%d.png"):
        with pytest.raises(DataError):
            load(path)


# --- what is lifted ---------------------------------------------------------------------------


def test_operators_and_priors_of_pictures_are_lifted_and_others_stay():
    two = "jpeg @ super_resolution:factor=2"
    assert lifted_operator(two) == "frames:operator=(jpeg) @ frames:operator=(super_resolution:factor=2)"
    assert lifted_operator("frames:operator=denoise") == "frames:operator=denoise"
    assert lifted_prior("frames:prior=photo", "frames:operator=denoise") == "frames:prior=photo"
    assert "couple" not in lifted_prior("photo", "frames:operator=(jpeg)")


def test_what_mixes_frames_or_slices_is_given_a_prior_that_joins_them(monkeypatch):
    thick, helical = "thick_slices:factor=4", "slices:operator=denoise"
    assert lifted_prior("brain", thick, "slices") == "slices:prior=(brain),planes=all"
    assert lifted_prior("brain", helical, "slices") == "slices:prior=(brain)"
    monkeypatch.setattr("xhat.task.film.find_spec", lambda _: None)
    assert lifted_prior("photo", "drop_frames", "frames") == "frames:prior=(photo),couple=0.05"
    assert lifted_prior("photo", "frames:operator=denoise", "frames") == "frames:prior=(photo)"


# --- the command ------------------------------------------------------------------------------


def test_one_command_restores_a_video(tmp_path):
    noisy = film(4, noise=0.15).mean(0, keepdim=True)
    save_video(tmp_path / "old.gif", noisy, 10)
    out = tmp_path / "new.gif"
    assert main(["restore", f"{tmp_path}/old.gif", "-o", str(out), "--steps", "3", "--record", "-q"]) == 0
    truth = film(4).mean(0, keepdim=True)
    assert rms(load_video(out).x, truth) < 0.5 * rms(load_video(tmp_path / "old.gif").x, truth)
    record = json.loads((tmp_path / "new.record.json").read_text())
    assert record["operator"] == "frames:operator=(denoise)"
    assert record["noise"] == record["provenance"]["guessed"]["noise"]
    assert record["image_shape"] == [1, 4, 24, 32]
    assert record["files"] == ["new.gif"]


def test_a_gif_of_one_frame_becomes_one(tmp_path):
    save_video(tmp_path / "one.gif", film(1, noise=0.1), 10)
    r = xhat.restore(tmp_path / "one.gif", noise=0.1, prior="photo", solver="hqs:steps=2")
    r.save(tmp_path / "new.gif")
    with Image.open(tmp_path / "new.gif") as picture:
        assert (picture.size, getattr(picture, "n_frames", 1)) == ((32, 24), 1)


def test_a_video_becomes_a_folder_and_numbered_pictures(tmp_path):
    save_video(tmp_path / "in_%02d.png", film(3, noise=0.1))
    r = xhat.restore(tmp_path / "in_%02d.png", noise=0.1, prior="frames:prior=photo", solver="hqs:steps=2")
    r.save(tmp_path / "out")
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"restored.npy", "panel.png", "record.json"} <= names
    assert {"restored", "side_by_side"} <= {n.split(".")[0] for n in names}
    r.save(tmp_path / "new" / "f_%02d.png")
    assert (load_video(tmp_path / "new" / "f_%02d.png").x - r.first.clamp(-1, 1)).abs().max() <= 1 / 255 + 1e-6
    with pytest.raises(DataError, match="is there already"):
        r.save(tmp_path / "new" / "f_%02d.png")
