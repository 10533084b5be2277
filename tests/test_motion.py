"""Motion between pictures that are each of several frames: dropped frames, long exposures."""

import pytest
import torch
from torch.nn import functional as F

import xhat
from xhat import Denoiser
from xhat.files.video import save_video
from xhat.likelihoods import likelihood
from xhat.loop import solve
from xhat.noise import Gaussian
from xhat.operators import OPERATORS
from xhat.operators.coupled import StillChain
from xhat.operators.flow import moving_chain, paced_chain
from xhat.priors import build_prior
from xhat.priors.lifted import frames as frames_of
from xhat.solvers import SOLVERS
from xhat.spec import build

pytest.importorskip("cv2", reason="motion needs OpenCV")


def panning(t, side=48):
    """A smooth picture that moves by (1.5, −0.5) pixels a frame, (1, 1, t, side, side)."""
    down, across = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    frame = lambda f: torch.sin((across - 1.5 * f) / 3) * torch.cos((down + 0.5 * f) / 4) * 0.8
    return torch.stack([frame(f) for f in range(t)])[None, None]


@pytest.mark.parametrize(
    "operator",
    ["drop_frames:every=3", "temporal_average:window=3,stride=3", "temporal_average:window=4,stride=2"],
)
def test_the_motion_between_pictures_of_several_frames_is_that_of_the_frames(operator):
    """The true film follows it, as far as it follows the motion that is found in itself: half a per cent of contrast.

    In a first estimate, where frames that were not measured have jumps or ghosts, it is off by up to all of it.
    """
    x = panning(10)
    A = build(operator, OPERATORS, tuple(x.shape[1:]))
    prior = frames_of(Denoiser(lambda x, sigma: x), couple=0.05, motion="dis")
    like = likelihood(A, Gaussian(0.01), A(x))
    inner = (..., slice(8, -8), slice(8, -8))
    still = StillChain(tuple(x.shape[1:]))(x)[inner].square().mean().sqrt()
    assert prior.problem(like).A.chain(x)[inner].square().mean().sqrt() < 0.2 * still
    assert moving_chain(prior.glimpse(like), 0.05)(x)[inner].square().mean().sqrt() > 0.15
    flickering = build(
        f"flicker:gains={[1.2, 0.8] * (A.data_shape[1] // 2) + [1.0] * (A.data_shape[1] % 2)}", OPERATORS, A.data_shape
    )
    lit = likelihood(flickering @ A, Gaussian(0.01), (flickering @ A)(x))
    assert prior.problem(lit).A.chain(x)[inner].square().mean().sqrt() < 0.2 * still


def test_times_of_pictures_are_where_their_frames_are():
    """Between pictures all moves evenly: 3 pixels in 2 frames are 1.5 in one, and beyond the ends as beside them."""
    x = panning(9)
    chain = paced_chain(x[:, :, 2:7:2], torch.tensor([2.0, 4.0, 6.0]), 9, 0.05)
    place = torch.stack(torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="xy"), -1)
    flow = ((chain.grid + 1) * 47 / 2 - place)[0, :, 8:-8, 8:-8]
    assert flow.shape[0] == 8
    assert (flow.flatten(1, 2).median(1).values - torch.tensor([-1.5, 0.5])).abs().max() < 0.1


def test_frames_that_were_dropped_come_back_where_they_move():
    """Two of three frames: 6 dB above linear interpolation, which shows two ghosts."""
    x = panning(10)
    A = build("drop_frames:every=3", OPERATORS, tuple(x.shape[1:]))
    y = A(x)
    ghosts = F.interpolate(y, size=(10, 48, 48), mode="trilinear", align_corners=True)
    prior = build_prior("frames:prior=photo,couple=0.05,motion=dis", "cpu")
    found = solve(
        build("hqs:steps=4", SOLVERS),
        prior,
        prior.problem(likelihood(A, Gaussian(0.02), y)),
        prior.streams(A.shape)([0]),
    )
    assert (found - x).square().mean() < 0.25 * (ghosts - x).square().mean()


@pytest.mark.parametrize(
    ("operator", "count"), [("interlace", 4), ("drop_frames:every=2", 7), ("temporal_average:window=2,stride=2", 4)]
)
def test_a_film_of_more_frames_plays_as_long(tmp_path, operator, count):
    x = panning(count)[0]
    save_video(tmp_path / "few.gif", x, 10)
    r = xhat.restore(tmp_path / "few.gif", operator, 0.05, "frames:prior=photo", "hqs:steps=1")
    assert r.rate == 20
    assert xhat.restore(tmp_path / "few.gif", "denoise", 0.05, "frames:prior=photo", "hqs:steps=1").rate == 10


def test_the_noise_of_interlaced_pictures_is_that_of_their_fields(tmp_path):
    """Rows of two times make combs at whatever moves, which are no noise: σ is found to a tenth."""
    x = panning(12, 64)
    y = build("interlace", OPERATORS, tuple(x.shape[1:]))(x)[0]
    y = y + 0.05 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    save_video(tmp_path / "a_%02d.png", y)
    r = xhat.restore(tmp_path / "a_%02d.png", "interlace", None, "frames:prior=photo", "hqs:steps=1")
    assert r.problem.noise.sigma == pytest.approx(0.05, rel=0.1)
