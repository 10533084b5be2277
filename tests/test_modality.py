"""What an image is: taken from files, shown, scored and written as its operator says, whatever its shape looks like."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import xhat
from xhat.bench.stats import digits, higher
from xhat.bench.tables import arrow
from xhat.cli.compatibility import problems
from xhat.errors import ShapeError
from xhat.figures.fields import Chart, Quantity
from xhat.figures.panel import _score
from xhat.files.pictures import to_pixels
from xhat.files.readers.load import load_reference
from xhat.metrics.base import Metric
from xhat.metrics.registry import METRICS, NUMBERS, choose
from xhat.metrics.sets import SETS
from xhat.operators import OPERATORS
from xhat.operators.decoder import Decoder, Identity
from xhat.operators.modality import COMPLEX, GREY, PICTURE, PLAIN, VIDEO, VOLUME, by_shape
from xhat.science.fwi.modality import VELOCITY, velocities
from xhat.science.navier_stokes.modality import VORTICITY
from xhat.task.parts import modality_for

G = torch.Generator().manual_seed(0)
KINDS = {
    "colour": (PICTURE, (3, 12, 16)),
    "grey": (GREY, (1, 12, 16)),
    "complex": (COMPLEX, (2, 12, 16)),
    "volume": (VOLUME, (1, 6, 12, 16)),
    "video": (VIDEO, (3, 5, 12, 16)),
    "grey video": (VIDEO, (1, 5, 12, 16)),
    "channels": (PLAIN, (2, 12, 16)),
    "vector": (PLAIN, (7,)),
}
SMALL = problems()  # every operator that needs no file
over_kinds = pytest.mark.parametrize(("kind", "shape"), KINDS.values(), ids=KINDS)
over_operators = pytest.mark.parametrize("name", SMALL)


def image(*shape):
    return torch.rand(shape, generator=G) * 1.6 - 0.8


def restored(shape, modality=None, samples=2, metrics=None):
    """Two restorations of images of `shape`, every second column of which is measured."""
    A = xhat.operator(lambda x: x[..., ::2], shape=shape, linear=True, modality=modality)
    x = image(*shape)
    prior = xhat.Denoiser(lambda x, s: x / (1 + s**2), schedule=xhat.EDM(0.01, 10.0))
    y = A(x[None])[0] + 0.05 * torch.randn(A.data_shape, generator=G)
    return xhat.restore(
        y, A, "gaussian:sigma=0.05", prior, "mmps:steps=2", reference=x, samples=samples, metrics=metrics
    )


# --- laws of every kind, those of the registered operators among them ---------------------------


def law_of_files(kind, x, folder):
    """What is written is taken back as the image: exactly from an array, up to rounding from a picture."""
    files = kind.write({"restored": x}, 16)
    assert files
    assert {Path(name).stem for name in files} == {"restored"}
    for name, put in files.items():
        put(folder / name)
    exact = next((n for n in files if n.endswith(".npy")), None)
    back = kind.as_image(load_reference(folder / (exact or "restored.png")))
    torch.testing.assert_close(back, x, rtol=0, atol=0 if exact else 1.01 / 65535)


def law_of_pictures(kind, x):
    shown, plane = kind.show(x), kind.plane(x.abs())
    if shown is None:
        assert plane is None
        return
    assert shown.ndim == plane.ndim == 3
    assert len(to_pixels(shown).shape) in (2, 3)
    assert plane.min() >= 0, "a deviation stays one when it is laid out"
    assert float(kind.most(x.abs())) >= float(plane.max()) * (1 - 1e-6)


@over_kinds
def test_what_is_written_is_read_again(kind, shape, tmp_path):
    assert kind.fits(shape)
    law_of_files(kind, image(*shape), tmp_path)


@over_kinds
def test_pictures_are_pictures(kind, shape):
    law_of_pictures(kind, image(*shape))


@over_operators
def test_every_operator_says_what_its_images_are(name, tmp_path):
    A = SMALL[name]
    x = image(*A.shape)
    assert A.modality.fits(A.shape)
    assert A.modality is not PLAIN, "of an operator of the product more is known than that its images are numbers"
    law_of_files(A.modality, x, tmp_path)
    law_of_pictures(A.modality, x)
    known = modality_for(name)  # before the shape is known, as for the reference of a file
    assert torch.equal(known.as_image(x), A.modality.as_image(x))
    assert [known.metric(m) for m in METRICS] == [A.modality.metric(m) for m in METRICS]
    assert choose(None, x, A.modality), "something is reported"
    assert A.take(torch.zeros(3, dtype=torch.long)).modality is A.modality


@pytest.mark.parametrize("name", OPERATORS)
def test_every_modality_names_metrics_that_there_are(name):
    assert set(modality_for(name).metrics) <= set(METRICS)


@over_operators
def test_a_composition_has_the_images_of_its_inner_operator(name):
    A = SMALL[name]
    assert (xhat.build("denoise", OPERATORS, A.data_shape) @ A).modality is A.modality
    assert (A @ xhat.operator(lambda x: 2 * x, A.shape, modality=A.modality)).modality is A.modality
    assert (A @ Decoder(Identity(), A.shape)).modality == by_shape(A.shape), "of latents nothing is known"


@over_operators
def test_the_algebra_keeps_what_the_images_are(name):
    A = SMALL[name]
    plain = xhat.operator(lambda x: 2 * x, A.shape)
    for made in (2 * A, A + A, xhat.stack(A, plain), xhat.stack(plain, A)):
        assert made.modality is A.modality


# --- two channels are complex only if the operator says so --------------------------------------


def test_a_real_image_of_two_channels_is_scored_and_written_as_itself(tmp_path):
    r = restored((2, 16, 16))
    assert set(r.metrics) == {"psnr", "ssim", "mean_psnr", "mean_ssim"}
    assert torch.equal(r.metrics["psnr"], METRICS["psnr"](r.images, r.reference.expand_as(r.images)))
    pytest.importorskip("nibabel")
    r.save(tmp_path / "out", formats=["nii"])
    found = np.load(tmp_path / "out" / "restored.npy")
    assert found.dtype == np.float32
    assert np.array_equal(found, r.first.numpy())
    assert voxels(tmp_path).shape == (16, 16, 2)
    assert not (tmp_path / "out" / "restored.png").exists()


def test_its_channels_are_shown_side_by_side():
    x = torch.stack([torch.full((4, 4), -0.5), torch.full((4, 4), 0.5)])
    assert torch.equal(PLAIN.show(x), torch.cat([x[:1], x[1:]], 2))


def test_a_complex_image_is_one_if_its_operator_says_so(tmp_path):
    r = restored((2, 16, 16), COMPLEX)
    assert set(r.metrics) == {f"{m}magnitude_{n}" for m in ("", "mean_") for n in ("psnr", "ssim")}
    r.save(tmp_path / "out")
    assert np.load(tmp_path / "out" / "restored.npy").dtype == np.complex64
    std = r.record, float(r.std.square().sum(0).sqrt().max())
    assert f'"std_white": {std[1]}'[:18] in (tmp_path / "out" / "record.json").read_text()


def test_the_error_of_a_complex_image_is_that_of_the_number():
    d = torch.tensor([3.0, 4.0]).reshape(2, 1, 1).expand(2, 3, 3)
    assert torch.equal(COMPLEX.plane(d), torch.full((1, 3, 3), 5.0))


def test_an_image_that_the_modality_cannot_have_is_refused():
    with pytest.raises(ShapeError, match=r"\(3, 8, 8\) is no complex image"):
        xhat.operator(lambda x: x, (3, 8, 8), modality=COMPLEX)


# --- volumes and videos -------------------------------------------------------------------------


def voxels(tmp_path):
    import nibabel

    return nibabel.load(tmp_path / "out" / "restored.nii").get_fdata()


def test_a_volume_goes_to_nifti_as_column_row_slice(tmp_path):
    pytest.importorskip("nibabel")
    r = restored((1, 6, 16, 20))
    r.save(tmp_path / "out", formats=["nii"])
    found = voxels(tmp_path)
    assert found.shape == (20, 16, 6)
    for column, row, slice_ in ((3, 5, 2), (19, 0, 5)):
        assert found[column, row, slice_] == pytest.approx(float(r.first[0, slice_, row, column]))


@pytest.mark.parametrize(
    ("kind", "shape", "expected"),
    [
        (GREY, (1, 6, 8), (8, 6)),
        (PICTURE, (3, 6, 8), (8, 6, 3)),
        (COMPLEX, (2, 6, 8), (8, 6)),
        (VOLUME, (1, 4, 6, 8), (8, 6, 4)),
        (VOLUME, (1, 1, 6, 8), (8, 6, 1)),
        (VIDEO, (1, 4, 6, 8), (8, 6, 1, 4)),
        (VIDEO, (3, 4, 6, 8), (8, 6, 1, 4, 3)),
        (PLAIN, (7,), (7,)),
    ],
)
def test_voxels_have_the_axes_of_imaging_formats(kind, shape, expected):
    """Columns first, rows next; the fourth axis of NIfTI is time."""
    assert kind.voxels(image(*shape)).shape == expected


def test_a_volume_may_lie_in_a_file_without_its_channel():
    assert VOLUME.as_image(torch.zeros(4, 5, 6)).shape == (1, 4, 5, 6)


def test_a_video_is_restored_and_its_frames_are_shown(tmp_path):
    r = restored((1, 4, 16, 16), VIDEO)
    r.save(tmp_path / "out")
    assert np.load(tmp_path / "out" / "restored.npy").shape == (1, 4, 16, 16)
    top, bottom = VIDEO.show(r.first).chunk(2, 1)
    assert torch.equal(torch.cat([*top.chunk(2, 2), *bottom.chunk(2, 2)]), r.first[0])


def test_the_largest_deviation_of_a_long_volume_is_found_in_any_slice():
    std = torch.zeros(1, 100, 4, 4)
    std[0, 37] = 2.0  # a slice that is not among those shown
    assert VOLUME.most(std) == 2.0


# --- the rows of numbers ------------------------------------------------------------------------


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_ranks_the_truth_first(name):
    """The direction of a row is that of its function: forgotten, it would rank upside down."""
    row = METRICS[name]
    shape = (2, 32, 32) if name.startswith("magnitude") else (3, 32, 32) if "lpips" in name else (1, 32, 32)
    truth = torch.nn.functional.avg_pool2d(image(1, *shape), 5, 1, 2)
    try:
        worse, better = (float(row(truth + s * torch.randn(truth.shape, generator=G), truth)) for s in (0.5, 0.05))
    except xhat.DataError as e:
        pytest.skip(str(e))
    assert (better > worse) == row.higher


WORST = Metric("worst", lambda x, t: (x - t).abs().flatten(1).amax(1), higher=False, unit="levels", digits=1)


@pytest.mark.parametrize("name", ["worst", f"{__name__}:WORST"], ids=["registered", "imported"])
def test_one_row_is_all_that_a_metric_needs(name, monkeypatch):
    """A metric of one's own is reported, captioned, ranked and headed as its row says."""
    if name == "worst":
        monkeypatch.setitem(METRICS.own, name, WORST)
    r = restored((1, 16, 16), metrics=[name])
    assert torch.equal(r.metrics[name], WORST(r.images, r.reference.expand_as(r.images)))
    assert re.search(r"worst \d\.\d levels", _score(r, 0))
    assert re.search(r"worst \d\.\d levels", _score(r, None))
    assert (higher(f"mean_{name}"), digits(f"chosen_{name}"), arrow(name)) == (False, 1, f"{name} [levels] ↓")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("snr", "unknown metric 'snr'; choose from lpips"),
        ("no_such_module:ROW", "no_such_module.*package.module:ROW"),
        (f"{__name__}:NONE", "NONE.*package.module:ROW"),
        (f"{__name__}:KINDS", "is not a metric"),
        (":", "package.module:ROW"),
    ],
)
def test_what_is_no_metric_is_named(name, words):
    with pytest.raises(xhat.SpecError, match=words):
        choose([name], torch.zeros(1, 16, 16), GREY)


def test_numbers_are_read_by_one_row_each():
    assert not {*METRICS} & {*SETS} | {*METRICS} & {*NUMBERS} | {*SETS} & {*NUMBERS}
    for name, row in {**METRICS, **SETS, **NUMBERS}.items():
        assert row.name == name


@pytest.mark.parametrize("quantity", [VELOCITY, VORTICITY], ids=lambda q: q.name)
def test_a_quantity_is_read_in_the_units_it_is_written_in(quantity):
    x = image(1, 4, 4)
    torch.testing.assert_close(quantity.image(quantity.units(x)), x)


def test_a_quantity_of_ones_own_is_written_in_its_units(tmp_path):
    chart = Chart("m", ("x", "y"), (0.0, 1.0, 1.0, 0.0), "viridis")
    depth = Quantity(name="depth", metrics=("relative_l2",), chart=chart, data=chart, offset=50.0, scale=50.0)
    r = restored((1, 16, 16), depth)
    assert set(r.metrics) == {"relative_l2", "mean_relative_l2"}
    r.save(tmp_path / "out")
    assert np.allclose(np.load(tmp_path / "out" / "depth.npy"), 50 + 50 * r.images[:, 0])


def test_an_operator_of_another_scale_has_another_modality():
    other = velocities((2.0, 1.0), (None, 2.5), (1000.0, 500.0), 1.0, 3, 0, 1.5)
    assert other.units(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [1.0, 2.0, 2.5]
    assert other.chart == replace(VELOCITY.chart, extent=(0.0, 1.0, 0.5, 0.0))
    assert other.metrics == ("psnr",), "velocity_l2 knows the default scale only"
