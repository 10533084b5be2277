"""Long videos and volumes in windows of frames: bounded memory, and the same result as all at once."""

import pytest
import torch

import xhat
from xhat.cli.arguments import main
from xhat.errors import MismatchError, SpecError
from xhat.files.video import load_video, save_video
from xhat.noise import Gaussian
from xhat.operators import OPERATORS
from xhat.operators.building import build_operator
from xhat.operators.sections import grain, section
from xhat.priors import GaussianPrior
from xhat.priors.lifted import frames as frames_of
from xhat.rng import FrameRng
from xhat.schedule import EDM
from xhat.spec import build
from xhat.task import cost, windows
from xhat.task.windows import blended, covered, spans, windows_for

T, FRAME = 48, (1, 6, 8)
SHAPE = (1, T, 6, 8)


def randn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gaussian():
    root = randn(48, 48, seed=3, dtype=torch.float64) / 48**0.5
    return GaussianPrior(
        FRAME, root @ root.T / 4 + 0.02 * torch.eye(48, dtype=torch.float64), schedule=EDM(0.002, 20.0)
    )


def restored(operator, window=None, couple=None, penalty="gauss", noise="each", solver="lmaps:steps=5", **options):
    y = Gaussian(0.1).sample(operator(randn(1, *SHAPE, seed=8) / 4), xhat.Rng([1]))[0]
    prior = frames_of(gaussian(), couple=couple, penalty=penalty, noise=noise)
    return xhat.restore(y, operator, 0.1, prior, solver, window=window, device="cpu", **options)


# --- which windows ----------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "window"), [(40, 16), (17, 16), (16, 16), (100, 7), (5, 1), (9, 2)])
@pytest.mark.parametrize("step", [1, 2])
def test_windows_cover_all_frames_and_agree(count, window, step):
    where = spans(count, window, grain=step)
    assert where[0][0] == 0
    assert where[-1][1] == count
    assert all(end - begin <= max(window, step) for begin, end in where)
    assert all(begin % step == 0 for begin, _ in where)
    x = randn(2, 3, count, 4, 5)
    assert torch.allclose(blended([x[:, :, a:b] for a, b in where], where, count), x, atol=1e-6)


def test_a_window_has_no_say_in_the_frames_at_its_inner_ends():
    """Two windows of 24 of 32 frames: frames 8 to 13 are the first one's alone, frames 18 to 23 the second's."""
    where = spans(32, 24)
    assert where == [(0, 24), (8, 32)]
    found = blended([torch.zeros(1, 1, 24, 1, 1), torch.ones(1, 1, 24, 1, 1)], where, 32).flatten()
    assert not found[:14].any()
    assert (found[18:] == 1).all()
    assert (found[14:18].diff() > 0).all()


OF_PARTS = [
    "frames:operator=(gaussian_blur:std=0.5)",
    "frames:operator=(super_resolution:factor=2)",
    f"frames:operator=(inpaint:seed={list(range(T))})",
    "slices:operator=(ct:angles=4)",
    "temporal_average:window=4,stride=2",
    "thick_slices:factor=4",
    "drop_frames:every=3",
    "interlace",
    "scratches",
    "frames:operator=(gaussian_blur:std=0.5) @ scratches",
    "interlace @ frames:operator=(gaussian_blur:std=0.5)",
    "frames:operator=(jpeg:quality=40) @ flicker",
]


@pytest.mark.parametrize("name", OF_PARTS)
def test_a_section_measures_what_the_whole_measures_of_these_frames(name):
    shape = (1, T, 16, 16)
    A = build_operator(name, shape)
    step = grain(A)
    x = (randn(2, *shape, seed=1) / 3).clamp(-1, 1)
    y = A(x)
    for begin, end in ((0, 12), (12, 30), (36, T)):
        assert begin % step == 0
        part = section(A, begin, end)
        assert torch.allclose(part.A(x[:, :, begin:end]), part.data(y), atol=1e-5)
    assert covered(A, spans(T, 20, 10, step))


def test_what_mixes_all_frames_has_no_sections():
    A = build("snapshot", OPERATORS, SHAPE)
    assert section(A, 0, 8) is None
    with pytest.raises(SpecError, match="mixes all frames"):
        windows_for(A, frames_of(gaussian()), 8)
    with pytest.raises(SpecError, match="videos and volumes"):
        windows_for(build("denoise", OPERATORS, FRAME), gaussian(), 8)
    assert windows_for(A, frames_of(gaussian()), None) is None


def test_windows_share_as_many_frames_as_a_measurement_mixes():
    """Means over 12 frames: windows of 24 that share 8 would leave some of them out."""
    A = build("temporal_average:window=12,stride=1", OPERATORS, SHAPE)
    found = windows_for(A, frames_of(gaussian()), 24)
    assert found is not None
    assert covered(A, found.spans)
    assert not covered(A, spans(T, 24, 8))
    with pytest.raises(SpecError, match="fewer than what a measurement mixes"):
        windows_for(A, frames_of(gaussian()), 10)


def test_the_window_is_as_long_as_the_free_memory_allows(monkeypatch):
    A, prior = build("frames", OPERATORS, (3, 400, 16, 16)), frames_of(gaussian())
    a_frame = 4 * windows.HELD * 3 * 16 * 16
    for held in (40, 100):
        monkeypatch.setattr(windows, "free_memory", lambda held=held: a_frame * held / windows.ROOM)
        assert windows_for(A, prior, None).longest == held
        assert windows_for(A, prior, None, batch=2).longest == held // 2
    monkeypatch.setattr(windows, "free_memory", lambda: a_frame * 400 / windows.ROOM)
    assert windows_for(A, prior, None) is None


# --- what a run in windows gives --------------------------------------------------------------


def test_frames_that_are_not_coupled_are_the_same():
    """A frame draws its own numbers in any window, which solvers with random numbers show."""
    A = OPERATORS["frames"](SHAPE, operator="(gaussian_blur:std=0.5)")
    for solver in ("lmaps:steps=4", "diffpir:steps=6"):
        whole, parts = restored(A, solver=solver), restored(A, 20, solver=solver)
        # a prior in closed form multiplies matrices of other sizes, which rounds in another order
        assert torch.allclose(parts.first, whole.first, atol=1e-4), solver
        assert parts.record["windows"] == [[0, 20], [10, 30], [20, 40], [30, 48]]
    assert torch.allclose(parts.residual, whole.residual, atol=1e-4)


@pytest.mark.parametrize(
    ("operator", "penalty", "solver"),
    [
        ("frames:operator=(gaussian_blur:std=0.5)", "gauss", "lmaps:steps=5"),
        ("frames:operator=(gaussian_blur:std=0.5)", "tv", "hqs:steps=3"),
        ("drop_frames:every=2", "gauss", "lmaps:steps=5"),
        ("frames:operator=denoise", "gauss", "dds:steps=5"),
    ],
)
def test_a_coupling_of_short_reach_is_that_of_the_whole(operator, penalty, solver):
    """σ = σ_c = 0.1: a frame's weight on one that is d frames away is about (3 − √5)/2 to the power of d, which over
    the guard of 6 frames is 0.003. Where every second frame is missing it is 0.02 of images whose deviation is 0.5.
    """
    A = build(operator, OPERATORS, SHAPE)
    whole = restored(A, couple=0.1, penalty=penalty, solver=solver)
    parts = restored(A, 32, couple=0.1, penalty=penalty, solver=solver)
    assert (parts.first - whole.first).abs().max() < 0.02
    apart = restored(A, solver=solver).first
    assert (apart - whole.first).abs().max() > 0.1  # the coupling itself does much more


def test_the_frames_in_a_call_of_the_network_and_of_the_operator_are_those_of_a_window(monkeypatch):
    """400 frames, at most 24 at a time."""
    seen, count = [], 400
    inner = gaussian()
    look = GaussianPrior.forward
    monkeypatch.setattr(GaussianPrior, "forward", lambda self, x, t: seen.append(len(x)) or look(self, x, t))
    A = OPERATORS["frames"]((1, count, 6, 8), operator="denoise")
    y = A(randn(1, 1, count, 6, 8) / 4)[0]
    r = xhat.restore(y, A, 0.1, frames_of(inner, couple=0.1), "lmaps:steps=2", window=24, device="cpu")
    assert r.first.shape == (1, count, 6, 8)
    assert max(seen) == 24
    assert sum(seen) < 2.2 * 2 * count  # 24 frames of which 12 are shared: each is seen twice, in each of two steps


def test_a_run_in_windows_goes_on_bit_for_bit(tmp_path):
    A = OPERATORS["frames"](SHAPE, operator="denoise")
    whole = restored(A, 20, couple=0.1, samples=2, batch_size=1)
    calls = []

    def stop(progress):
        calls.append(progress)
        if len(calls) == 13:  # the third of eight windows
            raise KeyboardInterrupt

    kept = {"couple": 0.1, "samples": 2, "batch_size": 1, "checkpoint": tmp_path / "c.pt"}
    with pytest.raises(KeyboardInterrupt):
        restored(A, 20, progress=stop, **kept)
    assert calls[-1].total == 5 * 8
    with pytest.raises(MismatchError, match="windows"):
        restored(A, 24, resume=True, **kept)
    more = []
    again = restored(A, None, resume=True, progress=more.append, **kept)  # the file says in which windows
    assert torch.equal(again.images, whole.images)
    assert len(more) == 5 * 8 - 13


def test_time_and_memory_are_told_before_a_long_run(monkeypatch, caplog):
    """Of each window as often as there are windows; a short run begins without a word."""
    A = OPERATORS["frames"](SHAPE, operator="denoise")
    monkeypatch.setattr(cost, "estimating", lambda: True)
    monkeypatch.setattr(cost, "trial", lambda *_: (7.0, 2e6))
    restored(A, 20)
    assert "this takes 2.3 minutes or more" in caplog.text  # 7 s, five steps, four windows
    caplog.clear()
    monkeypatch.setattr(cost, "trial", lambda *_: (0.1, 2e6))
    restored(A, 20)
    assert "minutes" not in caplog.text


def test_streams_of_a_window_are_those_of_its_frames():
    x = torch.zeros(2, 3, 9, 4, 6)
    whole = FrameRng([7, 8], 9).randn_like(x)
    assert torch.equal(FrameRng([7, 8], 4, first=3).randn_like(x[:, :, :4]), whole[:, :, 3:7])
    shared = FrameRng([7, 8], 9, shared=True).randn_like(x)
    assert torch.equal(FrameRng([7, 8], 4, shared=True, first=3).randn_like(x[:, :, :4]), shared[:, :, 3:7])


def test_the_command_restores_in_windows(tmp_path, caplog):
    save_video(tmp_path / "f_%03d.png", (randn(1, 20, 16, 16, seed=2) / 4).clamp(-1, 1))
    said = ["--prior", "frames:prior=photo", "--steps", "2", "--window", "12", "-q", "--record"]
    assert main(["restore", f"{tmp_path}/f_%03d.png", "-o", f"{tmp_path}/new_%03d.png", *said]) == 0
    assert load_video(tmp_path / "new_%03d.png").x.shape == (1, 20, 16, 16)
    assert "20 frames in 3 windows of 12 that share 6" in caplog.text
