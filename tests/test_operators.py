"""The laws of operators, over the whole registry: a new operator is covered by its import line."""

import io

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch.nn import functional as F

from operator_cases import BATCH, CASES, KERNEL, KERNELS, MASK, SHAPE, double, ident, images, make, over, shape_of
from xhat.errors import DataError, ShapeError, SpecError
from xhat.numerics.autodiff import vjp
from xhat.operators import OPERATORS, LinearOperator, SpectralOperator
from xhat.operators.kernels import load_kernel, motion_kernel
from xhat.spec import build
from xhat.testing import check_operator, operator_laws
from xhat.testing.linear import matrix

LAWS = [(case, law) for case in CASES for law in operator_laws(make(case))]
EACH = [c for c in CASES if any(isinstance(v, list) or v is KERNELS for v in c[1].values())]


# --- every operator ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("case", "law"), LAWS, ids=[f"{ident(case)}-{law.__name__}" for case, law in LAWS])
@double
def test_law(case, law):
    law(make(case))


@over(CASES)
@pytest.mark.slow
def test_laws_hold_for_what_was_built_in_single_precision(case):
    check_operator(make(case))


@over(CASES)
def test_image_shape(case):
    """It names the shape of an image that has a measurement like this one, or says that the data do not tell."""
    A, (name, options) = make(case), case
    try:
        shape = OPERATORS[name].image_shape(A.data_shape, **options)
    except (SpecError, ShapeError) as refused:
        shape, said = A.shape, str(refused)
    else:
        said = "shape"
    assert "shape" in said
    assert shape == A.shape or OPERATORS[name](shape, **options).data_shape == A.data_shape


@over(EACH)
@double
def test_take_equals_building_for_those_images(case):
    name, options = case
    index = torch.tensor([2, 0])
    part = {
        k: v[index] if v is KERNELS else [v[i] for i in index] if isinstance(v, list) else v for k, v in options.items()
    }
    x = images(2, shape_of(case))
    new = OPERATORS[name](shape_of(case), **part)(x)
    torch.testing.assert_close(make(case).take(index)(x), new, rtol=1e-12, atol=1e-12)


@over(EACH)
def test_images_differ_in_their_physics(case):
    A, x = make(case), images(1, shape_of(case)).expand(BATCH, *shape_of(case))
    y = A(x)
    assert not torch.equal(y[0], y[1])


def test_ridge_leaves_the_unseen_alone():
    A = OPERATORS["super_resolution"]((3, 32, 32))
    y = A(images(1, (3, 32, 32)))
    torch.testing.assert_close(A.ridge(y, 1e-10), A.pinv(y), rtol=1e-4, atol=1e-4)


# --- agreement with independent code ----------------------------------------------------------

GOLDEN = {
    "super_resolution_x4": ("super_resolution", {}),
    "gaussian_blur": ("gaussian_blur", {}),
    "motion_blur": ("blur", {"kernel": "motion_kernel"}),
    "phase_retrieval": ("phase_retrieval", {}),
    "hdr": ("hdr", {}),
    "jpeg_simplified_q5": ("jpeg", {"quality": 5, "codec": "simplified"}),
    "jpeg_simplified_q10": ("jpeg", {"quality": 10, "codec": "simplified"}),
    "jpeg_simplified_q50": ("jpeg", {"quality": 50, "codec": "simplified"}),
    "quantize_2bit": ("quantize", {"bits": 2}),
    "quantize_3bit": ("quantize", {"bits": 3}),
}


@pytest.mark.parametrize("key", GOLDEN)
def test_golden(key, golden):
    data = golden("image_operators_256")
    name, options = GOLDEN[key]
    options = {k: data[v] if k == "kernel" else v for k, v in options.items()}
    x = data["x_uint8"][None].float() / 127.5 - 1
    y = OPERATORS[name](tuple(x.shape[1:]), **options)(x)[0]
    torch.testing.assert_close(*data.pair(key, y), rtol=0, atol=5e-6)


def test_golden_kernel_is_separable(golden):
    kernel = golden("image_operators_256")["gaussian_kernel"]
    assert isinstance(OPERATORS["blur"]((3, 64, 64), kernel), SpectralOperator)
    A, x = OPERATORS["gaussian_blur"]((3, 64, 64)), images(1, (3, 64, 64))
    torch.testing.assert_close(OPERATORS["blur"]((3, 64, 64), kernel)(x), A(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("boundary", ["reflect", "circular"])
@double
def test_blur_is_correlation(boundary):
    x, k = images(), load_kernel(KERNEL)[0]
    reach = [k.shape[1] // 2] * 2 + [k.shape[0] // 2] * 2
    expected = F.conv2d(F.pad(x, reach, mode=boundary).flatten(0, 1)[:, None], k[None, None]).reshape(x.shape)
    torch.testing.assert_close(OPERATORS["blur"](SHAPE, KERNEL, boundary)(x), expected, rtol=1e-12, atol=1e-12)


@double
def test_bicubic_is_symmetric_where_the_factor_leaves_a_rest():
    A, x = OPERATORS["super_resolution"]((1, 17, 22)), images(1, (1, 17, 22))
    assert A.data_shape == (1, 5, 6)
    torch.testing.assert_close(A(x.flip(-1, -2)), A(x).flip(-1, -2), rtol=1e-12, atol=1e-12)


@double
@pytest.mark.parametrize("boundary", ["reflect", "circular"])
def test_gaussian_blur_is_correlation(boundary):
    i = torch.arange(-6.0, 7)
    taps = torch.exp(-(i**2) / (2 * 1.5**2))
    k = torch.outer(taps, taps) / taps.sum() ** 2
    shape = (3, 13, 16)
    x = images(shape=shape)
    A, B = OPERATORS["gaussian_blur"](shape, std=1.5, boundary=boundary), OPERATORS["blur"](shape, k, boundary)
    expected = F.conv2d(F.pad(x, [6] * 4, mode=boundary).flatten(0, 1)[:, None], k[None, None]).reshape(x.shape)
    torch.testing.assert_close(A(x), expected, rtol=1e-12, atol=1e-12)
    # `Circulant` drops what lies under its cutoff from the operator itself
    torch.testing.assert_close(B(x), expected, rtol=0, atol=1e-12 + getattr(B, "cutoff", 0))


def test_hdr():
    x = torch.tensor([-0.7, -0.5, -0.1, 0.2, 0.5, 0.9]).reshape(1, 1, 2, 3)
    y = torch.tensor([-1, -1, -0.2, 0.4, 1, 1]).reshape(1, 1, 2, 3)
    torch.testing.assert_close(OPERATORS["hdr"]((1, 2, 3))(x), y)


def test_colorize():
    x = images()
    torch.testing.assert_close(OPERATORS["colorize"](SHAPE)(x)[:, 0], x.mean(1))
    luma = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    torch.testing.assert_close(OPERATORS["colorize"](SHAPE, kind="luma")(x)[:, 0], luma)


def test_block_mean():
    x = images()
    y = OPERATORS["super_resolution"](SHAPE, kind="average")(x)
    torch.testing.assert_close(y, F.avg_pool2d(x, 4))


@double
def test_bicubic_keeps_a_ramp_inside():
    ramp = torch.linspace(-1, 1, 64).expand(1, 1, 64, 64)
    y = OPERATORS["super_resolution"]((1, 64, 64))(ramp)
    torch.testing.assert_close(y[..., 2:-2], F.avg_pool2d(ramp, 4)[..., 2:-2], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 40, 56), (1, 33, 17)])
@pytest.mark.parametrize(("quality", "subsampling"), [(5, "4:2:0"), (75, "4:4:4")])
def test_jpeg_is_pillow_bit_for_bit(shape, quality, subsampling):
    x = images(2, shape) * 1.3  # some of it has to be clipped
    y = OPERATORS["jpeg"](shape, quality=quality, subsampling=subsampling)(x)
    for image, decoded in zip(x.clamp(-1, 1), y, strict=True):
        pixels = np.round((image.numpy().transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)
        file = io.BytesIO()
        Pillow.fromarray(pixels.squeeze()).save(file, "jpeg", quality=quality, subsampling=subsampling)
        again = np.asarray(Pillow.open(file)).reshape(pixels.shape).transpose(2, 0, 1)
        assert np.array_equal(np.round((decoded.numpy() + 1) * 127.5).astype(np.uint8), again)


@pytest.mark.parametrize("case", [("quantize", {}), ("quantize", {"bits": 8}), ("jpeg", {"codec": "simplified"})])
def test_coding_twice_is_coding_once(case):
    shape = (3, 16, 32)  # whole blocks: padding would make new content
    A, x = OPERATORS[case[0]](shape, **case[1]), images(shape=shape)
    torch.testing.assert_close(A(A(x)), A(x), rtol=0, atol=1e-6)
    assert not torch.equal(A(x), x)


# --- each one's own physics -------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_quantize_projection(bits):
    A, x = OPERATORS["quantize"](SHAPE, bits=bits), 2 * images()
    y = A(images(seed=7))
    p = A.project(x, y)
    assert torch.equal(A(p), y)
    assert torch.equal(A.project(p, y), p)
    assert torch.equal(A.project(x, A(x)), x), "an image that fits its data is its own projection"
    edge = 2 / (2**bits - 1)
    other = images(seed=7) + edge * (torch.rand_like(x) - 0.5)
    fits = A(other) == y
    slack = 2 * A.margin * edge
    assert ((p - x).abs() <= (other - x).abs() + slack)[fits].all()
    assert (A.project(torch.full_like(x, 3.0), torch.ones_like(y)) == 3).all(), "the end cells are unbounded"


@pytest.mark.parametrize("keep", [0.29, 0.08, 1.0])
def test_inpaint_counts(keep):
    A = OPERATORS["inpaint"]((3, 32, 48), keep=keep, seed=[1, 2])
    dropped = (A.s == 0).flatten(1).sum(1)
    assert dropped.tolist() == [round((1 - keep) * 32 * 48)] * 2


def test_inpaint_box():
    A = OPERATORS["inpaint"]((3, 64, 64), mask="box", seed=list(range(20)))
    for m in A.s[:, 0]:
        rows, cols = (m == 0).any(1).nonzero().flatten(), (m == 0).any(0).nonzero().flatten()
        assert (len(rows), len(cols), int((m == 0).sum())) == (32, 32, 32 * 32)
        assert 8 <= int(rows[0]) < 24
        assert 8 <= int(cols[0]) < 24
    assert len({tuple(m.flatten().tolist()) for m in A.s}) > 15


@pytest.mark.parametrize("white", [1, 255])
def test_inpaint_mask_file(tmp_path, white):
    Pillow.fromarray(MASK.astype(np.uint8) * white).save(tmp_path / "m.png")
    A = OPERATORS["inpaint"](SHAPE, mask=str(tmp_path / "m.png"))
    assert np.array_equal(A.s[0, 0].numpy() == 1, MASK)


def test_masks_that_are_refused(tmp_path):
    make = lambda mask, **o: OPERATORS["inpaint"](SHAPE, mask=mask, **o)
    with pytest.raises(DataError, match="empty"):
        make(np.zeros((8, 16)))
    with pytest.raises(DataError, match="128"):
        make(np.array([0.0, 128, 255, 0] * 32).reshape(8, 16))
    with pytest.raises(ShapeError, match="8x16"):
        make(np.ones((16, 8)))
    with pytest.raises(DataError, match=r"nothere\.png"):
        make(tmp_path / "nothere.png")
    with pytest.raises(SpecError, match="keep"):
        make("random", keep=0)
    with pytest.raises(SpecError, match="box of side 15"):
        make("box", box=15)


def test_kernel_files(tmp_path):
    k = (KERNEL * 255).round().numpy()
    np.save(tmp_path / "k.npy", k)
    np.savez(tmp_path / "k.npz", other=np.ones(2), kernel=k)
    np.savetxt(tmp_path / "k.txt", k)
    Pillow.fromarray(k.astype(np.uint8)).save(tmp_path / "k.png")
    expected = load_kernel(k)
    assert abs(float(expected.sum()) - 1) < 1e-12
    for end in ("npy", "npz", "txt", "png"):
        torch.testing.assert_close(load_kernel(tmp_path / f"k.{end}"), expected)
    (tmp_path / "bad.png").write_bytes(b"no image")
    for bad in (tmp_path / "bad.png", tmp_path / "none.npy", np.zeros((3, 3)), np.full((3, 3), np.nan), np.ones(3)):
        with pytest.raises(DataError):
            load_kernel(bad)


@pytest.mark.parametrize("name", ["blur", "motion_blur", "gaussian_blur"])
@pytest.mark.parametrize("boundary", ["reflect", "circular"])
def test_kernels_larger_than_the_image_are_refused(name, boundary):
    options = {"kernel": torch.rand(33, 33)} if name == "blur" else {}
    with pytest.raises(ShapeError, match="too large for an image of 8x16"):
        OPERATORS[name](SHAPE, boundary=boundary, **options)
    if name == "blur":  # one that is separable, too
        with pytest.raises(ShapeError, match="too large for an image of 8x16"):
            OPERATORS[name](SHAPE, boundary=boundary, kernel=torch.ones(33, 33))


@pytest.mark.parametrize("intensity", [0.0, 0.5, 1.0])
def test_motion_kernel(intensity):
    k = [motion_kernel(61, intensity, seed) for seed in range(5)]
    for a in k:
        assert a.shape == (61, 61)
        assert (a >= 0).all()
        assert abs(float(a.sum()) - 1) < 1e-12
        at = torch.arange(61.0, dtype=a.dtype) - 30
        assert max(abs(float(a.sum(0) @ at)), abs(float(a.sum(1) @ at))) < 1, "a kernel must not shift the image"
    assert torch.equal(k[0], motion_kernel(61, intensity, 0))
    assert not torch.equal(k[0], k[1])


def test_conjugate_gradient_of_motion_blur_is_short(monkeypatch):
    A = OPERATORS["motion_blur"]((1, 64, 64), size=31)
    x = F.interpolate(images(1, (1, 8, 8)), 64, mode="bicubic")
    calls, precondition = [], A.precondition
    monkeypatch.setattr(A, "precondition", lambda r, rho: calls.append(1) or precondition(r, rho))
    y = A(x) + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    for ratio, most in ((0.02, 3), (0.1, 4), (0.3, 8), (1.0, 14), (3.0, 17)):
        calls.clear()
        A.ridge(y, 0.05**2 / ratio**2)
        assert len(calls) - 1 <= most


@double
def test_nonlinear_blur():
    make = OPERATORS["nonlinear_blur"]
    flat = torch.full((1, *SHAPE), 0.3)
    torch.testing.assert_close(make(SHAPE, size=9)(flat), flat)  # a flat image has nothing to blur
    linear = OPERATORS["motion_blur"](SHAPE, size=9)
    torch.testing.assert_close(make(SHAPE, size=9, gamma=1.0)(images()), linear(images()))
    assert (make(SHAPE, size=9, gain=9.0)(flat) == 1).all()


@pytest.mark.parametrize(("name", "options"), [("phase_retrieval", {}), ("nonlinear_blur", {"size": 9}), ("hdr", {})])
@pytest.mark.parametrize("level", [-1.0, -3.0, 1.0])
def test_gradient_is_finite_at_the_ends(name, options, level):
    A = OPERATORS[name](SHAPE, **options)
    y, pullback = vjp(A, torch.full((1, *SHAPE), level))
    assert torch.isfinite(y).all()
    assert torch.isfinite(pullback(torch.ones_like(y))).all()


class Twice(LinearOperator):
    """y = the mean of x and its copy, moved by three of eight pixels: a frequency is lost."""

    def forward(self, x):
        return (x + x.roll(3, -1)) / 2


def test_a_singular_operator_keeps_the_laws():
    """Conjugate gradient inverts A Aᵀ on data of A only, and the laws ask no more; a wrong adjoint is found as ever."""
    A = Twice((1, 8, 8))
    assert torch.linalg.matrix_rank(matrix(A)) < 64
    assert "pinv" in check_operator(A)


def test_composition():
    A, B = OPERATORS["super_resolution"](SHAPE), OPERATORS["gaussian_blur"](SHAPE, std=1.0)
    x = images()
    torch.testing.assert_close((A @ B)(x), A(B(x)))
    assert isinstance(A @ B, LinearOperator)
    y = A(x)
    torch.testing.assert_close((A @ B).adjoint(y), B.adjoint(A.adjoint(y)))
    with pytest.raises(ShapeError):
        B @ A


# --- refusals and spec strings ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("super_resolution:kind=nearest", "bicubic, average"),
        ("super_resolution:factor=0", "factor"),
        ("super_resolution:factor=3,kind=average", "crop"),
        ("gaussian_blur:std=-1", "std"),
        ("gaussian_blur:boundary=zero", "reflect, circular"),
        ("jpeg:quality=0", "quality"),
        ("jpeg:quality=[]", "quality"),
        ("jpeg:codec=mozjpeg", "libjpeg, simplified"),
        ("quantize:bits=0", "bits"),
        ("compressed_sensing:ratio=1.5", "ratio"),
        ("compressed_sensing:kind=gauss", "hadamard, fourier"),
        ("colorize:kind=red", "mean, luma"),
        ("hdr:scale=0", "scale"),
        ("phase_retrieval:oversample=-1", "oversample"),
        ("inpaint:seed=[]", "seed"),
    ],
)
def test_refused_options(spec, match):
    with pytest.raises((SpecError, ShapeError), match=match):
        build(spec, OPERATORS, SHAPE)


def test_refused_images():
    with pytest.raises(ShapeError, match="kind=fourier"):
        OPERATORS["compressed_sensing"]((3, 8, 12))
    with pytest.raises(ShapeError, match="3 channels"):
        OPERATORS["colorize"]((1, 8, 8))
    with pytest.raises(ShapeError, match="no image padded"):
        OPERATORS["phase_retrieval"].image_shape((3, 7, 10))


def test_spec_strings():
    A = build("motion_blur:size=9,seed=[1,2,3],boundary=circular", OPERATORS, SHAPE)
    assert isinstance(A, SpectralOperator)
    assert A(images()).shape == (BATCH, *SHAPE)
    with pytest.raises(SpecError, match="intensity, size, seed, boundary"):
        build("motion_blur:sise=9", OPERATORS, SHAPE)
    assert len(build("jpeg:quality=[5,10]", OPERATORS, SHAPE).quality) == 2
