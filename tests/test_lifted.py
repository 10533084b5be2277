"""Videos and volumes: the frames of an operator, of a prior, of a random stream."""

import pytest
import torch
from PIL import Image

from operator_cases import double
from xhat.baselines import BASELINES
from xhat.errors import DataError, MismatchError, ShapeError, SpecError, XhatError
from xhat.likelihoods import likelihood
from xhat.loop import solve
from xhat.noise import Gaussian, Noiseless
from xhat.operators import OPERATORS
from xhat.operators.base import CellOperator, SpectralOperator
from xhat.operators.building import build_operator, operator_spec
from xhat.operators.lifted import frames
from xhat.operators.modality import VIDEO, VOLUME
from xhat.priors import GaussianPrior, build_prior
from xhat.priors.lifted import frames as frames_of
from xhat.priors.lifted import slices as slices_of
from xhat.rng import FrameRng, Rng
from xhat.schedule import EDM
from xhat.solvers import SOLVERS
from xhat.spec import build
from xhat.testing import check_operator, check_prior

FRAME, T = (3, 8, 16), 4
VIDEO_SHAPE = (3, T, 8, 16)
EACH = {"operator": ["(gaussian_blur:std=0.5)", "(gaussian_blur:std=1)", "denoise", "(inpaint:keep=0.5)"]}
LIFTED = [
    {"operator": "(gaussian_blur:std=1.5)"},
    {"operator": "(super_resolution:factor=2)"},
    {"operator": "(inpaint:seed=[1,2,3,4])"},  # a mask for each frame
    {"operator": "(jpeg:quality=40)"},
    {"operator": "(hdr)"},
    {"operator": "(blind_blur:size=3)"},
    {"operator": "(ct:angles=5)"},
    EACH,
]


def randn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gaussian(shape=FRAME, seed=3):
    """A Gaussian prior with a random covariance of frames."""
    n = int(torch.Size(shape).numel())
    root = randn(n, n, seed=seed, dtype=torch.float64) / n**0.5
    return GaussianPrior(shape, root @ root.T / 4 + 0.02 * torch.eye(n, dtype=torch.float64))


# --- operators --------------------------------------------------------------------------------


@pytest.mark.parametrize("options", LIFTED, ids=str)
@double
def test_a_lifted_operator_obeys_the_laws(options):
    shape = (1, *VIDEO_SHAPE[1:]) if "ct" in str(options) else VIDEO_SHAPE
    check_operator(OPERATORS["frames"](shape, **options))


@pytest.mark.parametrize("options", LIFTED, ids=str)
@double
def test_each_frame_is_what_the_operator_of_its_frame_gives(options):
    channels = 1 if "ct" in str(options) else 3
    A = OPERATORS["frames"]((channels, *VIDEO_SHAPE[1:]), **options)
    x = randn(2, channels, *VIDEO_SHAPE[1:], dtype=torch.float64).clamp(-1, 1)
    y = A(x)
    given = options["operator"]
    for f in range(T):
        text = given[f] if isinstance(given, list) else given.replace("[1,2,3,4]", str(f + 1))
        one = build(text.strip("()"), OPERATORS, (channels, *FRAME[1:]))
        assert torch.allclose(y.select(A.axis, f), one(x[:, :, f]), atol=1e-12)


@double
def test_a_video_of_each_batch_may_have_its_own_physics():
    """2 videos of 4 frames, 8 masks: the video `take` picks has its own four."""
    inner = build("inpaint:seed=[1,2,3,4,5,6,7,8]", OPERATORS, FRAME)
    A = frames(VIDEO_SHAPE, inner)
    x = randn(2, *VIDEO_SHAPE, dtype=torch.float64)
    y = A(x)
    assert A.batches() == [2]
    assert torch.equal(A.take(torch.tensor([1]))(x[1:]), y[1:])
    assert torch.equal(y[1, :, 2], inner.take(torch.tensor([6]))(x[1:, :, 2])[0])
    check_operator(A)


def test_a_lifted_operator_is_as_specific_as_its_part():
    assert isinstance(frames(VIDEO_SHAPE, "gaussian_blur:std=1"), SpectralOperator)
    assert isinstance(frames(VIDEO_SHAPE, "jpeg"), CellOperator)
    assert isinstance(frames(VIDEO_SHAPE, "gaussian_blur:std=1"), OPERATORS["frames"].kind)


def test_a_lifted_operator_is_written_and_read_as_a_spec():
    text = "frames:operator=(super_resolution:factor=2)"
    A = build_operator(text, data_shape=(3, T, 4, 8))
    assert A.shape == VIDEO_SHAPE
    assert build_operator(operator_spec(A), VIDEO_SHAPE).data_shape == (3, T, 4, 8)
    both = build_operator(
        "frames:operator=(super_resolution:factor=2) @ frames:operator=(gaussian_blur:std=1)", VIDEO_SHAPE
    )
    assert both.data_shape == (3, T, 4, 8)


@pytest.mark.parametrize("text", ["frames:operator=({})", "frames:operator='({})'", "frames:operator=['{}']"])
def test_an_operator_in_brackets_may_be_composed(text):
    """An @ inside brackets or quotes is the inner operator's: it composes on each frame."""
    A = build_operator(text.format("super_resolution:factor=2 @ gaussian_blur:std=1"), data_shape=(3, T, 4, 8))
    assert A.shape == VIDEO_SHAPE
    x = torch.rand(2, *VIDEO_SHAPE, generator=torch.Generator().manual_seed(0))
    outside = "frames:operator=(super_resolution:factor=2) @ frames:operator=(gaussian_blur:std=1)"
    torch.testing.assert_close(A(x), build_operator(outside, VIDEO_SHAPE)(x))
    again = build_operator(f"{operator_spec(A)} @ frames:operator=(quantize:bits=4 @ denoise)", VIDEO_SHAPE)
    assert again.data_shape == A.data_shape


def test_the_kind_of_image():
    assert frames((1, T, 8, 8), "denoise").modality == VIDEO
    assert OPERATORS["slices"]((1, T, 8, 8)).modality == VOLUME


@pytest.mark.parametrize(
    ("shape", "given"),
    [(FRAME, "denoise"), (VIDEO_SHAPE, ["denoise", "denoise"]), (VIDEO_SHAPE, []), (VIDEO_SHAPE, 3)],
)
def test_what_does_not_fit_is_refused(shape, given):
    with pytest.raises((ShapeError, SpecError)):
        frames(shape, given)


def test_masks_of_another_number_of_frames_are_refused():
    with pytest.raises(ShapeError, match="3 pictures"):
        frames(VIDEO_SHAPE, "(inpaint:seed=[1,2,3])")


def test_numbered_pictures_are_a_mask_for_each_frame(tmp_path):
    """As a list of operators with one file each, on every frame and in windows; with composed and missing ones."""
    masks = randn(T, 8, 16) > 0.5
    for f, mask in enumerate(masks):
        Image.fromarray(255 * mask.numpy().astype("uint8")).save(tmp_path / f"m_{f + 7:02d}.png")
    A = build_operator(f"frames:operator=(inpaint:fill={tmp_path}/m_%02d.png)", VIDEO_SHAPE)
    listed = frames(VIDEO_SHAPE, [f"inpaint:fill={tmp_path}/m_{f + 7:02d}.png" for f in range(T)])
    x = randn(2, *VIDEO_SHAPE)
    assert torch.equal(A(x), listed(x))
    assert torch.equal(A(x)[0, 0] != 0, ~masks)
    assert torch.equal(A.support.expand(1, *VIDEO_SHAPE)[0, 0], ~masks)
    check_operator(A)
    part = A.section(1, 3)
    assert torch.equal(part.A(x[:, :, 1:3]), A(x)[:, :, 1:3])
    both = frames(VIDEO_SHAPE, f"inpaint:fill={tmp_path}/m_%02d.png @ gaussian_blur:std=1")
    assert torch.equal(both(x) != 0, A(x) != 0)
    with pytest.raises(ShapeError, match="4 pictures for 5 frames"):
        build_operator(f"frames:operator=(inpaint:fill={tmp_path}/m_%02d.png)", (3, T + 1, 8, 16))
    (tmp_path / "m_08.png").unlink()
    with pytest.raises(DataError, match="picture 8 is missing"):
        build_operator(f"frames:operator=(inpaint:fill={tmp_path}/m_%02d.png)", VIDEO_SHAPE)


# --- priors -----------------------------------------------------------------------------------


@double
def test_a_lifted_prior_obeys_the_laws():
    check_prior(frames_of(gaussian()), VIDEO_SHAPE)


def test_a_lifted_prior_says_of_each_frame_what_the_prior_says():
    prior, lifted = build_prior("photo", "cpu"), build_prior("frames:prior=(photo:dtype=float32)", "cpu")
    x, t = randn(2, 3, T, 16, 16), prior.schedule(0.5)
    found = lifted(x, t)
    for f in range(T):
        assert torch.allclose(found[:, :, f], prior(x[:, :, f].contiguous(), t), atol=1e-5)


def test_a_volume_is_seen_in_three_directions():
    """With planes=all the prior of a turned volume is the turned prior, and it is the mean over the directions."""
    prior = build_prior("slices:prior=(photo:dtype=float32),planes=all", "cpu")
    one, t = build_prior("slices:prior=(photo:dtype=float32)", "cpu"), EDM()(0.5)
    x = randn(1, 1, 16, 16, 16)
    turned = [one(x.transpose(2, axis).contiguous(), t).transpose(2, axis) for axis in (2, 3, 4)]
    assert torch.allclose(prior(x, t), sum(turned) / 3, atol=1e-5)
    assert not torch.allclose(turned[0], turned[1], atol=1e-3)


def test_pictures_are_no_videos():
    with pytest.raises(MismatchError, match="channels, frames"):
        frames_of(gaussian()).check(FRAME)
    assert slices_of(gaussian()).mismatch(likelihood(build("denoise", OPERATORS, FRAME), Gaussian(), randn(1, *FRAME)))


# --- one frame is the picture -----------------------------------------------------------------

PROBLEMS = [
    ("gaussian_blur:std=1", Gaussian(0.05)),
    ("inpaint:keep=0.5", Noiseless()),
    ("jpeg:quality=30", Noiseless()),
]


@pytest.mark.filterwarnings("ignore:jpeg")  # noise is no photograph, and its blocks are clipped
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p[0])
@pytest.mark.parametrize("solver", sorted(SOLVERS) + sorted(BASELINES))
def test_one_frame_equals_the_picture_bit_for_bit(solver, problem):
    """Every solver that takes the picture, with an exact prior."""
    A = build(problem[0], OPERATORS, FRAME)
    same((SOLVERS | BASELINES)[solver](steps=2), gaussian(), A, problem[1], "each")


def test_one_frame_with_shared_noise_equals_the_picture_bit_for_bit():
    same(build("lmaps:steps=4", SOLVERS), gaussian(), build("denoise", OPERATORS, FRAME), Gaussian(0.1), "shared")


@pytest.mark.parametrize("solver", ["lmaps:steps=3", "hqs:steps=3", "dds:steps=3", "diffpir:steps=3", "map_ga:steps=2"])
def test_one_frame_equals_the_photograph_bit_for_bit(solver):
    prior = build_prior("photo", "cpu")
    same(build(solver, SOLVERS), prior, build("gaussian_blur:std=1", OPERATORS, (3, 16, 16)), Gaussian(0.05), "each")


def same(solver, prior, A, noise, streams):
    x = (randn(2, *A.shape, seed=1) / 4).clamp(-1, 1)
    y = noise.sample(A(x), Rng([5, 6]))
    like = likelihood(A, noise, y)
    if solver.mismatch(prior, like):
        pytest.skip("the solver does not take the picture")
    shape = (A.shape[0], 1, *A.shape[1:])
    video, lifted = frames(shape, A), frames_of(prior, noise=streams)
    of_video = likelihood(video, noise, y.unsqueeze(video.axis))
    if solver.mismatch(lifted, of_video):
        assert solver.other_kind(lifted, solver.needs_prior) or not isinstance(of_video, solver.needs)
        pytest.skip(str(solver.mismatch(lifted, of_video)))
    try:
        expected = solve(solver, prior, like, Rng([1, 2]))
    except XhatError as e:
        pytest.skip(str(e))
    found = solve(solver, lifted, of_video, lifted.streams(shape)([1, 2]))
    assert torch.equal(found[:, :, 0], expected)


# --- streams ----------------------------------------------------------------------------------


def test_a_frame_draws_the_same_numbers_whatever_is_beside_it():
    x = torch.zeros(2, 3, 5, 4, 6)
    five, two = FrameRng([7, 8], 5).randn_like(x), FrameRng([7, 8], 2).randn_like(x[:, :, :2])
    assert torch.equal(five[:, :, :2], two)
    assert torch.equal(five[:, :, 0], Rng([7, 8]).randn_like(x[:, :, 0]))
    assert len(torch.unique(five)) > 0.99 * five.numel()


def test_shared_noise_is_the_same_in_all_frames():
    x = torch.zeros(2, 3, 5, 4, 6)
    found = FrameRng([7, 8], 5, shared=True).randn_like(x)
    assert torch.equal(found, found[:, :, :1].expand_as(found))
    assert torch.equal(found[:, :, 0], Rng([7, 8]).randn_like(x[:, :, 0]))
    assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize("shared", [False, True])
def test_the_streams_of_frames_go_on_where_they_were(shared):
    x = torch.zeros(2, 3, 5, 4, 6)
    rng = FrameRng([7, 8], 5, shared)
    rng.randn_like(x)
    state = rng.state_dict()
    after = rng.randn_like(x)
    again = FrameRng([0, 0], 5, shared)
    again.load_state_dict(state)
    assert torch.equal(again.randn_like(x), after)
