"""The light of old film that flickers: how it is found in the film alone, and what is left as it is."""

import json
import math

import pytest
import torch
from torch.nn import functional as F

import xhat
from xhat import Gaussian, likelihood
from xhat.cli.arguments import main
from xhat.errors import SpecError
from xhat.files.video import load_video, save_video
from xhat.likelihoods import LinearGaussian
from xhat.operators.base import AffineOperator
from xhat.operators.building import build_operator, operator_spec
from xhat.spec import short
from xhat.task.film import lifted_prior, lit
from xhat.task.flicker import course, estimate_gains, slow
from xhat.testing import check_operator

NEEDS_FLOW = pytest.importorskip("cv2", reason="motion needs OpenCV")


def texture(h, w, seed=0, wide=3):
    """A smooth random picture (1, 1, h, w) from −0.6 to 0.4: brightened by half, it is not cut off yet."""
    x = torch.randn(1, 1, h + 8 * wide, w + 8 * wide, generator=torch.Generator().manual_seed(seed))
    for _ in range(3):
        x = F.avg_pool2d(x, 2 * wide + 1, 1, wide)
    x = x[..., 4 * wide : 4 * wide + h, 4 * wide : 4 * wide + w]
    return (x - x.min()) / (x.max() - x.min()) - 0.6


def panning(t=16, side=64, seed=0, noise=0.0, object=True):
    """A picture that moves by a pixel a frame, and a square of another that moves against it, (1, t, side, side)."""
    wide, other = texture(side, side + t, seed), texture(side // 4, side // 4, seed + 1)
    frames = [wide[..., f : f + side].clone() for f in range(t)]
    for f, frame in enumerate(frames if object else []):
        frame[..., 8 : 8 + side // 4, 4 + 2 * f % (side // 2) : 4 + 2 * f % (side // 2) + side // 4] = other + 0.1
    x = torch.cat(frames)[None, :, 0]
    return x + noise * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 2))


def gains_of(t, sd, seed=3):
    return (sd * torch.randn(t, generator=torch.Generator().manual_seed(seed))).exp()


def lighted(x, g):
    return (x + 1) * g[:, None, None] - 1


def of_trend(g):
    """Known gains against a line through them, as logarithms: what can be found where the light has no slow course."""
    return g.double().log() - slow(g.double().log(), 1e7)


# --- what is found ----------------------------------------------------------------------------


@pytest.mark.parametrize(("noise", "allowed"), [(0.0, 0.004), (0.1, 0.008)])
@pytest.mark.parametrize("sd", [0.05, 0.1, 0.15])
def test_known_gains_are_found(sd, noise, allowed):
    """`allowed`, of log gains: bilinear motion of a square blurs its rim; 144 parts of 25 pixels with noise 0.05 of
    light 0.4 give a median within 0.003, and a sum of two errors and the noise's clipping at black come on top."""
    g = gains_of(16, sd)
    x = panning()
    noisy = lighted(x, g) + noise * torch.randn(x.shape, generator=torch.Generator().manual_seed(9))
    found = torch.tensor(estimate_gains(noisy.clamp(-1, 1)), dtype=torch.float64).log()
    assert (found - of_trend(g)).square().mean().sqrt() < allowed


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("t", [6, 16, 30])
def test_a_film_that_moves_and_does_not_flicker_keeps_its_light(t, noise):
    for seed in range(3):
        assert estimate_gains(panning(t, 48, seed, noise).clamp(-1, 1)) is None


def test_fades_cuts_lamps_and_flashes_are_no_flicker():
    x, t = panning(30), 30
    line = torch.linspace(0, 1, t)
    assert estimate_gains(lighted(x, 1 - 0.9 * line)) is None  # to black
    assert estimate_gains(lighted(x, 0.6 + 0.3 * torch.sin(2 * math.pi * line))) is None
    assert estimate_gains(lighted(x, torch.where(line < 0.5, 1.0, 0.5))) is None  # a lamp goes off
    assert estimate_gains(lighted(x, torch.where(torch.arange(t) == 12, 0.4, 1.0))) is None  # one dark frame
    cut = torch.cat([panning(10, seed=s)[:, :10] * (1 - s / 40) - s / 40 for s in (0, 5, 9)], 1)
    assert estimate_gains(cut) is None


def test_cuts_fades_and_steps_stay_where_a_film_flickers():
    g = gains_of(40, 0.05)
    step = torch.where(torch.arange(40) < 20, 1.0, 0.6)
    whole = torch.cat([panning(20, seed=0), 0.7 * panning(20, seed=7) - 0.3], 1)
    for x in (lighted(panning(40), step), whole):
        found = torch.tensor(estimate_gains(lighted(x, g))).log().double()
        # each half has a mean of its own; a ratio is off by 0.003, and a sum of 20 of them by √20 times that
        for part in (slice(0, 20), slice(20, 40)):
            assert (found[part] - of_trend(g[part])).abs().max() < 0.015
    fade = 1 - 0.7 * torch.linspace(0, 1, 40)
    found = torch.tensor(estimate_gains(lighted(panning(40), fade * g))).log()
    assert (found - of_trend(g)).abs().max() < 0.05  # of a fall by 1.2


@pytest.mark.parametrize("t", [12, 40])
def test_a_steady_light_is_taken_for_a_line_and_a_fade_to_black_is_kept(t):
    """Independent numbers have hardly more slow power than is allowed: of twenty films one may get more of a trend."""
    g = torch.Generator().manual_seed(1)
    noises = 0.1 * torch.randn(20, t, generator=g, dtype=torch.float64)
    assert sum(float(course(n, 0.1).diff(2).abs().max()) > 1e-6 for n in noises) <= 1
    fade = (1 - 0.8 * torch.linspace(0, 1, t, dtype=torch.float64)).log()
    for n in noises:
        d = course(fade + n, 0.1) - fade
        assert d.std() < 0.47 / 3  # a constant is wrong by 0.47


def test_the_slow_course_of_the_light_is_kept():
    line = 0.3 - 0.05 * torch.arange(40.0, dtype=torch.float64)
    torch.testing.assert_close(slow(line), line, rtol=0, atol=1e-10)  # a fade by the same factor each frame
    wave = torch.sin(2 * math.pi * torch.arange(200.0, dtype=torch.float64) / 25)
    middle = slow(wave)[75:125] / wave[75:125]
    assert middle.median() == pytest.approx(0.5, abs=0.01)  # a Gaussian halves the period it is made for


def test_reversed_frames_have_the_reversed_gains():
    y = lighted(panning(), gains_of(16, 0.1))
    there, back = (torch.tensor(estimate_gains(v)).log() for v in (y, y.flip(1)))
    assert (there - back.flip(0)).abs().max() < 0.01  # the flow is found from the other side


def test_without_motion_a_still_film_tells_all(monkeypatch):
    monkeypatch.setattr("xhat.task.flicker.find_spec", lambda _: None)
    g = gains_of(16, 0.1)
    y = lighted(panning(1).expand(-1, 16, -1, -1), g)
    found = torch.tensor(estimate_gains(y), dtype=torch.float64).log()
    torch.testing.assert_close(found, of_trend(g), rtol=0, atol=1e-4)  # rounded to four digits


# --- the operator -----------------------------------------------------------------------------


def test_a_mask_hides_what_flickered_and_the_gains_of_long_exposures_are_those_of_the_pictures():
    g = [1.1, 0.9, 1.0, 0.8]
    A = build_operator(lit(g, "inpaint:keep=0.5"), (3, 4, 16, 16))
    seen = build_operator("inpaint:keep=0.5", (3, 16, 16)).support[0]
    x = torch.randn(1, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    y = torch.where(seen[:, None], lighted(x, torch.tensor(g)), torch.tensor(5.0))
    like = likelihood(A, Gaussian(0.1), y)
    torch.testing.assert_close(like.residual(x), torch.zeros_like(x), rtol=0, atol=1e-5)  # nothing hidden is looked at
    assert lit([1.1, 0.9], "temporal_average:window=2,stride=2").startswith("flicker:")


@pytest.mark.parametrize(
    "inner", ["frames:operator=(gaussian_blur:std=1)", "frames:operator=(super_resolution:factor=2)"]
)
def test_an_affine_operator_after_a_linear_one_is_affine(inner):
    spec = f"flicker:gains=[1.1,0.9,1.0,0.8] @ {inner}"
    A = build_operator(spec, (3, 4, 16, 16))
    assert isinstance(A, AffineOperator)
    check_operator(A)
    B = build_operator(operator_spec(A), (3, 4, 16, 16))
    x = torch.randn(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(A(x), B(x))
    torch.testing.assert_close(A.linear(x) + A.offset, A(x), rtol=0, atol=1e-5)
    like = likelihood(A, Gaussian(0.1), A(x))
    assert isinstance(like, LinearGaussian)
    torch.testing.assert_close(like.residual(x), torch.zeros_like(like.y), rtol=0, atol=1e-5)


def test_the_frames_of_a_film_that_flickers_are_coupled():
    assert "couple" in lifted_prior("photo", "flicker:gains=[1,0.9]")


def test_noise_of_a_film_that_flickers_is_a_noise_level_of_images():
    """As that of a film that does not: no gain may change how a solver weighs its prior (by 4 dB, in one film)."""
    for gains in ([1.0] * 4, [1.31, 0.77, 0.95, 1.05], [1.6, 0.7, 0.9, 1.1]):
        A = build_operator(f"flicker:gains={gains}", (3, 4, 16, 16))
        assert likelihood(A, Gaussian(0.1), torch.zeros(1, *A.data_shape)).level_of_images
    A = build_operator("flicker:gains=[5,5,4,6]", (3, 4, 16, 16))  # in other units
    assert not likelihood(A, Gaussian(0.1), torch.zeros(1, *A.data_shape)).level_of_images


def test_long_lists_are_short_for_people():
    gains = ",".join(["0.9871"] * 40)
    assert short(f"flicker:gains=[{gains}] @ denoise") == "flicker:gains=[0.9871,0.9871,…] @ denoise"
    assert short("inpaint:seed=[1,2,3]") == "inpaint:seed=[1,2,3]"


# --- restore ----------------------------------------------------------------------------------


def flickering(folder, t=8, sd=0.12, noise=0.1):
    save_video(
        folder / "old_%02d.png",
        lighted(panning(t, 48, noise=0.0), gains_of(t, sd))
        + noise * torch.randn(1, t, 48, 48, generator=torch.Generator().manual_seed(4)),
    )
    return folder / "old_%02d.png"


def steadiness(x):
    """How the median light of frames changes from one to the next, as a part of it."""
    return float((x + 1).flatten(2).median(2).values.log().diff(dim=1).square().mean().sqrt())


@pytest.mark.slow
def test_one_command_makes_an_old_film_steady(tmp_path, capsys, caplog):
    old = flickering(tmp_path)
    argv = ["restore", str(old), "--solver", "hqs:steps=3", "--prior", "frames:prior=photo", "--record", "-q"]
    assert main([*argv, "-o", f"{tmp_path}/new_%02d.png"]) == 0
    said = capsys.readouterr().err + caplog.text
    assert "its light flickers by" in said
    assert "--flicker off" in said
    assert main([*argv, "-o", f"{tmp_path}/off_%02d.png", "--flicker", "off"]) == 0
    new, off = (load_video(tmp_path / f"{n}_%02d.png").x for n in ("new", "off"))
    truth = panning(8, 48)
    assert steadiness(new) < 0.25 * steadiness(off)
    assert (new - truth).square().mean() < 0.5 * (off - truth).square().mean()
    record = json.loads((tmp_path / "new_%02d.record.json").read_text())
    assert record["operator"].startswith("flicker:gains=[")
    assert record["provenance"]["guessed"]["operator"] == record["operator"]


@pytest.mark.slow
def test_gains_are_taken_and_stand_before_an_operator(tmp_path):
    old = flickering(tmp_path)
    gains = gains_of(8, 0.12).tolist()
    (tmp_path / "gains.txt").write_text("\n".join(map(str, gains)))
    text = ",".join(map(str, gains))
    for given in (text, str(tmp_path / "gains.txt")):
        out = tmp_path / "out"
        argv = [
            "restore",
            str(old),
            "--solver",
            "hqs:steps=1",
            "--prior",
            "frames:prior=photo",
            "--noise",
            "gaussian:sigma=0.1",
            "-q",
            "--overwrite",
        ]
        assert main([*argv, "-o", str(out), "--flicker", given, "--operator", "gaussian_blur:std=0.5"]) == 0
        operator = json.loads((out / "record.json").read_text())["operator"]
        assert operator.startswith("frames:operator=(gaussian_blur:std=0.5) @ flicker:gains=[")
    r = xhat.restore(old, None, 0.1, "frames:prior=photo", "hqs:steps=1", scale=2, flicker="auto")
    assert tuple(r.first.shape) == (1, 8, 96, 96)


def test_a_named_operator_leaves_the_flicker_in_and_says_so(tmp_path, caplog):
    r = xhat.restore(flickering(tmp_path), "gaussian_blur:std=0.5", 0.1, solver="hqs:steps=1")
    assert r.record["operator"] == "frames:operator=(gaussian_blur:std=0.5)"
    assert "--flicker auto" in caplog.text


@pytest.mark.parametrize(
    ("given", "said"),
    [("often", "expected auto, off"), ("1,2", "2 gains for 8 frames"), ("1,-1", "gain > 0"), ("1,nan", "gain > 0")],
)
def test_what_is_no_flicker_is_one_line(tmp_path, capsys, given, said):
    assert main(["restore", str(flickering(tmp_path)), "-o", str(tmp_path / "out"), "--flicker", given]) == 2
    assert said in capsys.readouterr().err


def test_flicker_is_for_films(tmp_path):
    with pytest.raises(SpecError, match="file of a video"):
        xhat.restore(torch.zeros(1, 16, 16), "denoise", 0.1, flicker="auto", value_range=(-1, 1))
    with pytest.raises(SpecError, match="not both"):
        xhat.restore(flickering(tmp_path), "flicker:strength=0.1", 0.1, flicker="auto")


def test_a_restored_film_has_no_gains_where_it_does_not_flicker(tmp_path):
    save_video(tmp_path / "a_%02d.png", panning(8, 48, noise=0.1))
    r = xhat.restore(tmp_path / "a_%02d.png", solver="hqs:steps=1")
    assert r.record["operator"] == "frames:operator=(denoise)"
