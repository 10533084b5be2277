"""A blur that nobody knows: its kernel from the picture alone, and what is said where there is none."""

import logging
import math

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import xhat
from xhat.errors import DataError, SpecError
from xhat.files.pictures import to_pixels
from xhat.files.readers.load import load
from xhat.metrics.pixels import psnr
from xhat.operators.blind_blur import gaussians
from xhat.operators.kernel_blur import correlation
from xhat.operators.kernels import motion_kernel, motion_kernels, on_grid
from xhat.operators.out_of_focus import disc
from xhat.priors import NoPrior
from xhat.schedule import Level
from xhat.solvers.kernel_prior import shakes
from xhat.task.unknown_blur import ask, choose, refit, search
from xhat.task.unknown_blur import evidence as evidence_module
from xhat.task.unknown_blur.choose import rough
from xhat.task.unknown_blur.evidence import Power, evidence
from xhat.task.unknown_blur.paths import likeliest_path
from xhat.task.unknown_blur.search import straight
from xhat.task.unknown_blur.shake import likeness, moved, shake_kernel
from xhat.task.unknown_blur.spectrum import gaussian, round_kernels, roundness

SIGMA = 0.01


def picture(top=60, left=120, side=192, of=data.astronaut):
    return torch.from_numpy(of()[top : top + side, left : left + side].copy()).permute(2, 0, 1).float() / 127.5 - 1


def blurred(x, kernel, seed=0):
    y = correlation(tuple(x.shape), kernel[None], "reflect")(x[None])[0]
    return y + SIGMA * torch.randn(y.shape, generator=torch.Generator().manual_seed(seed))


def square(k, side):
    h, w = ((side - n) // 2 for n in k.shape)
    return torch.nn.functional.pad(k, [w, w, h, h])


def gauss(std):
    return gaussians(2 * int(4 * std + 0.5) + 1, torch.tensor([std], dtype=torch.float64))[0]


@pytest.mark.parametrize(
    ("kind", "width"), [("gaussian_blur", 1.0), ("gaussian_blur", 2.0), ("defocus", 3.0), ("defocus", 5.0)]
)
def test_the_spectrum_tells_form_and_width(kind, width):
    white = torch.randn(3, 256, 256, generator=torch.Generator().manual_seed(2))
    f = (torch.fft.fftfreq(256)[:, None] ** 2 + torch.fft.rfftfreq(256) ** 2).sqrt().clamp_min(1 / 256)
    x = torch.fft.irfft2(torch.fft.rfft2(white) * f**-1.1, s=(256, 256))  # power f^-2.2, as of photographs
    y = blurred(0.3 * x / x.std(), gauss(width) if kind == "gaussian_blur" else disc(width))
    best = round_kernels(y.mean(0), SIGMA / 2)[0]
    name, _, found = best.spec.partition(":")
    assert name == kind
    # the slope is known to 0.1, the grid has steps of 12 and 8 %, and a Gaussian's width mixes with the slope
    assert float(found.partition("=")[2]) == pytest.approx(width, rel=0.1)


def test_a_disc_has_its_radius():
    for radius in (0.4, 1.0, 2.5, 7.3):
        k = disc(radius)
        r = torch.arange(len(k), dtype=k.dtype) - len(k) // 2
        assert float(k.sum()) == pytest.approx(1)
        if radius >= 1:  # the mean square distance of a disc's points is r²/2, and pixels add about 1/6
            assert float((k * (r[:, None] ** 2 + r**2)).sum()) == pytest.approx(radius**2 / 2 + 1 / 6, abs=0.15)


def test_a_kernel_is_moved_onto_its_centre():
    k = torch.zeros(9, 9)
    k[4, 3], k[4, 4], k[5, 5] = 0.5, 0.2, 0.3
    found = moved(k)
    r = torch.arange(len(found)) - len(found) // 2
    assert float((found.sum(1) * r).sum()) == pytest.approx(0, abs=1e-6)
    assert float((found.sum(0) * r).sum()) == pytest.approx(0, abs=1e-6)
    assert float(found.sum()) == pytest.approx(1)
    down, right = (found * r[:, None] ** 2).sum(), (found * r**2).sum()
    wide = 0.5 * 0.09 + 0.2 * 0.09 + 0.3 * 0.49, 0.5 * 0.64 + 0.2 * 0.04 + 0.3 * 1.44  # of k about (4.3, 3.8)
    assert (float(down), float(right)) == pytest.approx(wide, abs=1e-6), "it is not made wider"


def test_likeness_knows_no_place_and_round_is_round():
    k = motion_kernels(21, 0.5, 3)[0]
    k = torch.nn.functional.pad(k, [0, max(0, len(k) - k.shape[1]), 0, max(0, k.shape[1] - len(k))])
    assert likeness(k, k.roll(2, 0)) == pytest.approx(1, abs=0.1)  # a part may go over the edge
    assert likeness(k, k) == pytest.approx(1)
    assert roundness(gauss(1.7)) > 0.98
    assert roundness(disc(4.0)) > 0.98
    assert roundness(k) < 0.9


def test_the_network_knows_paths_better_than_their_mean_and_covariance():
    """Kernels of seeds that it was not trained on, at a noise that hides them."""
    size, noise = 25, 0.01
    k = torch.stack([motion_kernel(size, 0.5, 20_000_000 + i) for i in range(8)]).float()
    y = k + noise * torch.randn(k.shape, generator=torch.Generator().manual_seed(0))
    found = torch.stack([likeliest_path(v, noise) for v in y])
    gauss = shakes(size, torch.float64, torch.device("cpu"))
    flat = gauss.forward(size * y[:, None].double(), Level(0.5, 1.0, size * noise))[:, 0] / size
    error = lambda v: float((v - k).flatten(1).norm(dim=1).mean())
    assert error(found) < 0.8 * error(flat.float()) < 0.8 * error(y)


class Silent(Power):
    """A spectrum that says nothing."""

    def __init__(self):
        super().__init__(torch.zeros(128, 128), SIGMA)

    def gain(self, kernel):
        return 0.0

    def pulled(self, kernel, error):
        return kernel


SAME = lambda k, told, error, draw: k  # what the prior restores says nothing new of a kernel


def test_a_kernel_is_trusted_if_most_starts_lead_to_it(monkeypatch):
    one, other, far = (square(motion_kernels(17, 0.5, seed)[0], 41) for seed in (3, 5, 6))
    monkeypatch.setattr(search, "improved", lambda y, k, turns, also=None: k)
    y = torch.zeros(128, 128)
    for starts, trusted in (([one, one, one, other, other], True), ([other, other, one, other, far], False)):
        monkeypatch.setattr(search, "_starts", lambda y, side, starts=starts: iter(starts))
        fit = lambda k: 1.0 if likeness(k, one) > 0.99 else 2.0
        found = search.find_path(y, Silent(), [], fit, fit, SAME)
        assert found is not None
        assert likeness(found.kernel, one) > 0.95  # the one that fits, whether it is trusted or not
        assert (found.trust >= search.TRUST) == trusted
        assert found.believed(0.93, 1.0) == trusted  # it is better than no blur
        assert found.believed(0.8, 1.0) == (found.trust >= search.HALF_TRUST)  # much better
        assert not found.believed(0.99, 1.0)
        assert not found.believed(0.8, 0.1)  # whatever the edges say, if the spectrum does not


def test_a_good_start_is_kept_where_the_edges_lead_away_from_it(monkeypatch):
    one, other = (square(motion_kernels(17, 0.5, seed)[0], 41) for seed in (3, 5))
    monkeypatch.setattr(search, "improved", lambda y, k, turns, also=None: other)
    monkeypatch.setattr(search, "_starts", lambda y, side: iter([one, one, one]))
    fit = lambda k: 1.0 if likeness(k, one) > 0.99 else 2.0
    found = search.find_path(torch.zeros(128, 128), Silent(), [], fit, fit, SAME)
    assert found is not None
    assert likeness(found.kernel, one) > 0.95
    assert found.trust > search.TRUST


@pytest.mark.parametrize("of", [data.astronaut, data.coffee, data.cat])
def test_the_spectrum_tells_a_true_path_from_one_that_is_turned_or_longer(of):
    k = motion_kernels(17, 0.5, 3)[0].double()
    turned, longer = k.rot90(), torch.kron(k, torch.ones(3, 3, dtype=k.dtype) / 9)
    x = picture(50, 100, 192, of)
    grey = blurred(x, k).mean(0)
    sigma = SIGMA / 3**0.5  # of the mean of three channels
    power = Power(grey, sigma)
    assert evidence(power, k, [turned, longer]) == 1
    assert evidence(power, turned, [k, longer]) < 0.95
    assert evidence(power, longer, [k, turned]) < 0.95
    assert evidence(Power(x.mean(0), sigma), k, [gauss(0.5)]) < search.SPECTRUM, "no path, of a picture without one"


def test_the_spectrum_pulls_a_kernel_to_where_it_explains_more():
    k = motion_kernels(17, 0.5, 3)[0].double()
    power = Power(blurred(picture(side=128), k).mean(0), SIGMA)
    start = straight(0.0, 21)
    before, (least, of) = start.clone(), power.best(start)
    moved = power.pulled(start, 1e-4)
    assert torch.equal(start, before), "what is given stays as it was"
    assert float(moved.sum()) == pytest.approx(1)
    assert power.best(moved)[0] < least
    # a small step goes along the slope: by differences of second order along a direction of its own
    way = torch.randn(start.shape, generator=torch.Generator().manual_seed(0), dtype=start.dtype)
    way -= way.mean()
    misfit = lambda v: float(power._misfit(of.power(power.f, power._transfer(v))))
    slope = (misfit(start + 1e-5 * way) - misfit(start - 1e-5 * way)) / 2e-5
    step = (power.pulled(start, 1e-6) - start) / (-evidence_module.COUNT * 1e-12)
    assert float((step * way).sum()) == pytest.approx(slope, rel=1e-4)
    far = power.pulled(start, 1.0) - start
    assert float(far.abs().max()) == pytest.approx(evidence_module.FARTHEST * float(start.max()))


@pytest.mark.slow
def test_from_a_straight_line_the_spectrum_leads_nearer_to_the_path_than_edges_alone():
    found = {None: [], "with": []}
    for seed in (3, 5):
        k = motion_kernels(17, 0.5, seed)[0].double()
        grey = blurred(picture(50, 100, 160, data.cat), k).mean(0)
        power = Power(grey, SIGMA / 3**0.5)
        for i in range(2):
            start = straight(math.pi * i / 2, 41)
            for name in found:
                end = search.improved(grey, start, search.FINER, power.pulled if name else None)
                found[name].append(likeness(end, square(k, 41)))
    alone, together = (sum(v) / len(v) for v in found.values())
    assert together > alone + 0.1, found


def test_a_kernel_drawn_from_edges_is_where_a_path_starts_and_never_the_end(monkeypatch):
    raw, path = (square(motion_kernels(17, 0.5, seed)[0], 41) for seed in (3, 5))
    monkeypatch.setattr(search, "improved", lambda y, k, turns, also=None: path)
    monkeypatch.setattr(search, "_starts", lambda y, side: iter([]))
    fit = lambda k: 1.0 if likeness(k, raw) > 0.99 else 2.0  # it fits better, by strokes that no camera takes
    found = search.find_path(torch.zeros(128, 128), Silent(), [raw], fit, fit, SAME)
    assert found is not None
    assert likeness(found.kernel, path) > 0.95


def test_a_kernel_is_fitted_to_what_the_prior_restores_as_long_as_that_explains_more(monkeypatch):
    start, *ends = (square(motion_kernels(17, 0.5, seed)[0], 41) for seed in (3, 5, 6, 8))
    monkeypatch.setattr(search, "improved", lambda y, k, turns, also=None: start)
    monkeypatch.setattr(search, "_starts", lambda y, side: iter([start]))
    asked = []

    def fit_anew(kernel, told, error, draw):
        assert kernel is not None
        asked.append((told, error, draw))
        return ends[draw]

    for misfits, taken, calls in (([0.9, 0.8, 0.85], ends[1], 3), ([1.1, 0.8, 0.7], start, 1)):
        asked.clear()
        values = [*zip(ends, misfits, strict=True), (start, 1.0)]
        fit = lambda k, values=values: next(m for end, m in values if likeness(k, end) > 0.99)
        found = search.find_path(torch.zeros(128, 128), Silent(), [], fit, fit, fit_anew)
        assert found is not None
        assert likeness(found.kernel, taken) > 0.95
        assert [draw for _, _, draw in asked] == list(range(calls))
    assert asked[0][:2] == (search.NOISE[0], search.ERRORS[0])


def wiener(y, k, beta, sigma):
    """The posterior mean of a periodic picture of the power f^−β behind a kernel, for its own statistics."""
    f = (torch.fft.fftfreq(len(y))[:, None] ** 2 + torch.fft.rfftfreq(len(y)) ** 2).sqrt().clamp_min(1 / len(y))
    K = torch.fft.rfft2(on_grid(k.flip(0, 1).double(), *y.shape))
    S = f**-beta
    return torch.fft.irfft2(K.conj() * S / (K.abs() ** 2 * S + sigma**2) * torch.fft.rfft2(y), s=y.shape)


def test_a_fit_to_one_half_of_a_split_picture_is_not_led_by_noise_of_the_other(monkeypatch):
    """A picture whose posterior mean is known in closed form. Without the split the noise makes the kernel sharper."""
    monkeypatch.setattr(refit, "like_a_path", lambda k, error: k)
    n, beta, sigma, draw = 256, 2.2, 1.0, torch.Generator().manual_seed(0)
    normal = lambda: torch.randn(n, n, generator=draw, dtype=torch.float64)
    f = (torch.fft.fftfreq(n)[:, None] ** 2 + torch.fft.rfftfreq(n) ** 2).sqrt().clamp_min(1 / n)
    k = square(motion_kernels(17, 0.5, 3)[0], 21).double()
    K = torch.fft.rfft2(on_grid(k.flip(0, 1), n, n))
    shares = {"split": [], "same": []}
    for seed in range(3):
        x = torch.fft.rfft2(normal()) * f ** (-beta / 2)
        y = torch.fft.irfft2(K * x, s=(n, n)) + sigma * normal()
        mean = lambda half: wiener(half[0], k, beta, refit.SPLIT * sigma)[None].float()
        ends = {
            "split": refit.refitted(y.float()[None], k, sigma, mean, 10.0, seed),
            "same": refit.fitted(wiener(y, k, beta, sigma).float(), y.float(), k, 10.0),
        }
        for name, end in ends.items():
            shares[name].append(float((end * k).sum() / (k * k).sum()))  # 1 if it is as it was, above if sharper
    split, same = (sum(v) / len(v) for v in shares.values())
    assert same > 2, shares
    assert abs(split - 1) < 0.05, shares  # three draws differ from 1 by about 0.01 each


def test_a_kernel_fitted_to_the_true_picture_is_nearer_to_the_true_kernel():
    x, k = picture(50, 100, 160, data.cat), motion_kernels(17, 0.5, 3)[0].double()
    y = blurred(x, k).mean(0)
    start = square(k, 41) + 0.003 * torch.randn(41, 41, generator=torch.Generator().manual_seed(1))
    end = refit.fitted(x.mean(0), y, start / start.sum(), 0.003)
    assert float(end.sum()) == pytest.approx(1, abs=1e-5)
    assert likeness(end, square(k, 41)) > 0.99 > likeness(start, square(k, 41))


def test_the_spectrum_decides_between_kernels_that_fit_alike_and_no_more():
    k = torch.ones(1, 1, dtype=torch.float64)
    judged = search.Judged
    little, much = judged(k, 1.003, 0.5), judged(k, 1.02, 2.0)  # the last one as stripes have it
    assert search._ranked([judged(k, 1.0, 0.4), little]) == [little, judged(k, 1.0, 0.4)]
    assert search._ranked([judged(k, 1.0, 0.4), much])[0].misfit == 1.0
    assert search._ranked([judged(k, 1.01, 0.4), judged(k, 1.0, 0.5)])[0].misfit == 1.0


def test_a_flat_picture_has_no_spectrum_that_says_anything():
    k = motion_kernels(17, 0.5, 3)[0].double()
    assert evidence(Power(torch.zeros(96, 96), SIGMA), k, [k]) == 0.5


@pytest.mark.parametrize(
    ("agree", "form", "left", "spectrum", "taken"),
    [
        (0.9, 0.88, 0.99, 0.95, True),
        (0.9, 0.88, 0.99, 0.85, False),  # the spectrum does not say so
        (0.9, 0.88, 1.01, 0.95, False),  # no blur explains the picture better
        (0.9, 0.80, 0.99, 0.95, False),  # the edges agree on another form
        (0.5, 0.80, 0.99, 0.10, True),  # the edges say nothing, and the spectrum found it
        (0.5, 0.80, 1.01, 0.10, False),
    ],
)
def test_what_is_left_where_no_path_is_believed(agree, form, left, spectrum, taken, monkeypatch):
    path = motion_kernels(17, 0.5, 3)[0].double()
    misfits = {1: 1.0, len(path): 0.97}  # by the side of the kernel: no blur, and the path
    for name, stub in {
        "shake_kernel": lambda grey, size: path,
        "likeness": lambda a, b: agree,
        "roundness": lambda k: form,
        "gaussian_width": lambda k: 5.0,  # it makes no Gaussian narrower
        "round_kernels": lambda grey, floor: [gaussian(1.5, 0.5)],
        "find_path": lambda *a: search.CameraPath(path, 0.5, 0.0),
        "evidence": lambda *a: spectrum,
        "_residual": lambda y, k, *a: misfits.get(len(k), left),
    }.items():
        monkeypatch.setattr(choose, name, stub)
    found = choose._best(torch.zeros(3, 96, 96), NoPrior(), SIGMA, 0.03, ("gauss", "disc", "shake"))
    assert (found.spec if found else None) == ("gaussian_blur:std=1.5" if taken else None)


def test_of_kernels_that_fit_alike_the_trusted_one_is_taken(monkeypatch):
    one, other = (square(motion_kernels(17, 0.5, seed)[0], 41) for seed in (3, 5))
    monkeypatch.setattr(search, "improved", lambda y, k, turns, also=None: k)
    monkeypatch.setattr(search, "_starts", lambda y, side: iter([one, other, other, other]))
    y = torch.zeros(128, 128)
    for better, taken in ((1e-3, other), (1e-2, one)):
        fit = lambda k, better=better: 1 - better if likeness(k, one) > 0.99 else 1.0
        found = search.find_path(y, Silent(), [], fit, fit, SAME)
        assert found is not None
        assert likeness(found.kernel, taken) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 5])
def test_the_edges_tell_the_path_of_a_camera(seed):
    k = motion_kernels(17, 0.5, seed)[0]
    found = shake_kernel(blurred(picture(), k).mean(0), 25)
    square = torch.nn.functional.pad(k, [0, max(0, len(k) - k.shape[1]), 0, max(0, k.shape[1] - len(k))])
    # a Gaussian of the same width reaches about 0.7
    assert likeness(found, square) > 0.85
    assert likeness(found, square) > likeness(found.flip(0, 1), square), "it is for correlation, as the operator's"


@pytest.mark.slow
@pytest.mark.parametrize(
    "kernel", [gauss(2.0), disc(5.0), motion_kernels(17, 0.5, 3)[0]], ids=["gauss", "disc", "shake"]
)
def test_an_unknown_blur_is_undone_by_half_at_least(kernel, caplog):
    x = picture()
    y = xhat.Measurement(blurred(x, kernel), pixels=True)
    with caplog.at_level(logging.WARNING, "xhat"):
        r = xhat.restore(y, "blind_blur")
    known = xhat.restore(y, correlation(tuple(x.shape), kernel[None], "reflect"), SIGMA)
    before, after, best = (float(psnr(v[None], x[None])) for v in (y.y, r.first, known.first))
    assert after - before > 0.5 * (best - before)
    assert "if you know better" in caplog.text
    assert set(r.record["provenance"]["guessed"]) == {"operator", "noise"}
    assert r.kernels is not None
    assert float(r.kernels.sum()) == pytest.approx(1, abs=1e-4)
    if kernel.shape[0] != kernel.shape[1] or roundness(kernel) < 0.9:  # from edges alone a path has about 0.9
        found, true = r.kernels[0].double(), square(kernel, 41)
        assert likeness(found, true) > 0.95
        assert likeness(found, true) > likeness(found.flip(0, 1), true), "it is for correlation, as the operator's"


@pytest.mark.parametrize(("suffix", "options"), [("png", {}), ("jpg", {"quality": 40}), ("webp", {"quality": 40})])
def test_a_deconvolution_is_told_what_compression_hides(suffix, options, tmp_path):
    file = tmp_path / f"x.{suffix}"
    Image.fromarray(to_pixels(picture(side=64))).save(file, **options)
    _, least = ask._noise(load(file), None)
    assert (least >= ask.CODED) == (suffix != "png")
    coarse = tmp_path / f"y.{suffix}"
    Image.fromarray(to_pixels(picture(side=64))).save(coarse, **({"quality": 5} if options else {}))
    assert (ask._noise(load(coarse), None)[1] > least) == (suffix != "png")


def test_where_there_is_no_kernel_the_picture_comes_back(monkeypatch, caplog):
    monkeypatch.setattr("xhat.task.unknown_blur.ask.find_blur", lambda *a: None)
    x = picture(side=64)
    with caplog.at_level(logging.WARNING, "xhat"):
        r = xhat.restore(xhat.Measurement(x, pixels=True), "blind_blur")
    assert "shows no blur that can be undone" in caplog.text
    assert r.kernels is None
    assert float(psnr(r.images, x[None])) > 35  # noise of a picture without any is removed


def test_what_is_rough_is_seen():
    x = picture(side=96)
    y = blurred(x, gauss(2.0))
    assert not rough(x, y)
    assert not rough(y, y)
    assert rough(y + 0.3 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1)), y)
    assert rough(2 * y, y)  # rings beyond black and white


def test_what_no_kernel_can_be_found_for_is_refused():
    with pytest.raises(DataError, match="in pictures only"):
        xhat.restore(np.zeros((5, 64, 64), np.float32), "blind_blur", 0.1)
    with pytest.raises(SpecError, match="Gaussian noise"):
        xhat.restore(xhat.Measurement(picture(side=64), pixels=True), "blind_blur", "poisson:peak=100")
