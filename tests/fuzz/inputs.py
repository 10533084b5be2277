"""Makes the input files, a few good ones and many bad ones, always the same; nothing in them may be run.

A file that ran anyway would leave a file in the folder `canary` beside the inputs.
"""

import gzip
import json
import os
import pickle
import struct
import tarfile
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

DRAW = np.random.default_rng(0)
JUNK = DRAW.bytes(4000)
PIXELS = DRAW.integers(0, 255, (32, 32, 3), dtype=np.uint8)
GREY = PIXELS[..., 0].copy()
PICTURE = (PIXELS.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)
Kspace = np.ndarray


def make(folder: Path) -> None:
    """Writes all inputs into `folder`, which must be new."""
    folder.mkdir(parents=True)
    canary = folder.parent / "canary"
    canary.mkdir()
    for write in (
        pictures,
        arrays,
        archives,
        tensors,
        hdf5,
        cfl,
        uvfits,
        lmdb_folders,
        weights,
        programs,
        sets,
        tables,
    ):
        write(folder)
    evil(folder, canary)


def cut(source: Path, target: Path, part: float = 0.5) -> None:
    """Writes the first part of `source` as `target`."""
    content = source.read_bytes()
    target.write_bytes(content[: int(len(content) * part)])


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(width: int, height: int, body: bytes, more: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = _chunk(b"IHDR", head), more, _chunk(b"IDAT", zlib.compress(body)), _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pictures(d: Path) -> None:
    """Pictures: truncated, flipped bits, wrong names, modes that are none of ours, bombs."""
    rgb, grey = Image.fromarray(PIXELS), Image.fromarray(GREY)
    for suffix, options in (("png", {}), ("jpg", {}), ("webp", {"lossless": True}), ("tif", {})):
        rgb.save(d / f"ok.{suffix}", **options)
        cut(d / f"ok.{suffix}", d / f"cut.{suffix}")
        (d / f"zero.{suffix}").write_bytes(b"")
        (d / f"junk.{suffix}").write_bytes(JUNK)
        (d / f"text.{suffix}").write_text("hello\n" * 50)
        content = bytearray((d / f"ok.{suffix}").read_bytes())
        for i in range(60, len(content), 37):
            content[i] ^= 0xFF
        (d / f"flip.{suffix}").write_bytes(bytes(content))
        (d / f"half_{suffix}_in.png").write_bytes((d / f"cut.{suffix}").read_bytes())
    grey.save(d / "grey.png")
    rgb.resize((64, 48)).save(d / "wide.png")
    (d / "jpg_as.png").write_bytes((d / "ok.jpg").read_bytes())
    for suffix in ("npy", "pt", "npz", "h5", "uvfits", "cfl", "onnx", "safetensors", "toml", "tar", "bmp", "ppm"):
        (d / f"png_as.{suffix}").write_bytes((d / "ok.png").read_bytes())
    Image.fromarray(GREY.astype(np.uint16) * 256).save(d / "u16.tif")
    Image.fromarray(GREY.astype(np.float32)).save(d / "f32.tif")
    Image.fromarray(GREY.astype(np.int32)).save(d / "i32.tif")
    for mode, name in (("CMYK", "cmyk.tif"), ("CMYK", "cmyk.jpg"), ("LAB", "lab.tif"), ("P", "pal.png")):
        rgb.convert(mode).save(d / name)
    grey.convert("1").save(d / "bit.png")
    Image.fromarray(np.dstack([PIXELS, GREY])).save(d / "alpha.png")
    Image.fromarray(np.dstack([PIXELS, np.full_like(GREY, 255)])).save(d / "opaque.png")
    Image.fromarray(np.dstack([PIXELS, np.zeros_like(GREY)])).save(d / "clear.png")
    frames = [Image.fromarray(DRAW.integers(0, 255, (32, 32), dtype=np.uint8)) for _ in range(3)]
    for name in ("anim.gif", "multi.tif", "anim.png", "anim.webp"):
        frames[0].save(d / name, save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS[:16]).save(d / "turned.jpg", exif=exif)
    exif[0x0112] = 4711
    Image.fromarray(PIXELS[:16]).save(d / "turned_wrongly.jpg", exif=exif)
    for name, part in (("one", (1, 1)), ("row", (1, 32)), ("column", (32, 1)), ("tiny", (3, 5)), ("two", (2, 2))):
        Image.fromarray(PIXELS[: part[0], : part[1]]).save(d / f"{name}.png")
    (d / "declared_60000.png").write_bytes(_png(60000, 60000, b"\0" * 1000))
    (d / "declared_12000.png").write_bytes(_png(12000, 12000, b"\0" * 1000))
    (d / "declared_10000.png").write_bytes(_png(10000, 10000, b"\0" * 1000))
    (d / "declared_0.png").write_bytes(_png(0, 0, b""))
    (d / "declared_2e9.png").write_bytes(_png(2**31 - 1, 1, b""))
    bomb = _chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 200_000_000))
    (d / "text_bomb.png").write_bytes(_png(32, 32, b"\0" * 33 * 32, bomb))
    (d / "bmp_declared.bmp").write_bytes(b"BM" + struct.pack("<IHHIIiiHH", 100, 0, 0, 54, 40, 99999, 99999, 1, 24))
    (d / "ppm_declared.ppm").write_bytes(b"P6 999999999 999999999 255\n")
    (d / "svg.png").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (d / "page.png").write_text("<!DOCTYPE html><html>login</html>")
    (d / "folder.png").mkdir()
    (d / "empty_folder").mkdir()
    os.mkfifo(d / "fifo.png")
    os.symlink("/nowhere/x.png", d / "dangling.png")
    os.symlink("loop.png", d / "loop.png")
    for value, name in ((0, "mask0.png"), (255, "mask1.png"), (1, "mask_one.png")):
        Image.fromarray(GREY * 0 + value).save(d / name)
    Image.fromarray(((GREY > 128) * 255).astype(np.uint8)).save(d / "mask.png")
    Image.fromarray(np.zeros((7, 9), np.uint8)).save(d / "mask_shape.png")


def npy(descr: str, shape: object, body: bytes = b"\0" * 100, version: bytes = b"\x01\x00") -> bytes:
    """A .npy file with this header."""
    head = str({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    head += b" " * ((64 - (len(head) + 11) % 64) % 64) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(head)) + head + body


def arrays(d: Path) -> None:
    """Arrays: of any kind, with any number of axes, broken, with headers that lie."""
    x = PICTURE
    np.save(d / "ok.npy", x)
    np.save(d / "ok_grey.npy", x[:1])
    cut(d / "ok.npy", d / "cut.npy")
    (d / "zero.npy").write_bytes(b"")
    (d / "junk.npy").write_bytes(JUNK)
    np.save(d / "object.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    other = {
        "text": np.array(["a", "b"]),
        "date": np.array(["2020-01-01"], "datetime64[D]"),
        "record": np.zeros(4, [("a", "f4"), ("b", "i4")]),
        "void": np.zeros(4, "V8"),
        "nan": np.where(np.arange(32) == 3, np.nan, x),
        "inf": np.where(np.arange(32) == 3, np.inf, x),
        "e30": x * np.float32(1e30),
        "e38": x * np.float32(3e38),
        "e300": x.astype(np.float64) * 1e300,
        "denormal": x * np.float32(1e-42),
        "empty": np.zeros((3, 0, 5), np.float32),
        "scalar": np.float32(3),
        "axes1": x[0, 0],
        "axes2": x[0],
        "axes4": x[None],
        "axes5": x[None, None],
        "axes9": np.zeros((1,) * 9, np.float32),
        "channels2": x[:2],
        "channels5": np.concatenate([x, x[:2]]),
        "last": x.transpose(1, 2, 0),
        "u8": PIXELS,
        "u8_first": PIXELS.transpose(2, 0, 1),
        "u16": PIXELS.astype(np.uint16),
        "i64": PIXELS.astype(np.int64),
        "bool": PIXELS > 100,
        "complex": x.astype(np.complex64),
        "complex_nan": x.astype(np.complex64) * np.nan,
        "f16": x.astype(np.float16),
        "big_endian": x.astype(">f4"),
        "fortran": np.asfortranarray(x),
        "long": x.astype(np.longdouble),
        "zeros": x * 0,
        "constant": x * 0 + 5,
        "minus_one": np.full((32, 32), -1.0, np.float32),
        "one_pixel": x[:, :1, :1],
    }
    for name, array in other.items():
        np.save(d / f"{name}.npy", array)
    (d / "shape_bomb.npy").write_bytes(npy("<f4", (10**6, 10**6)))
    (d / "shape_8g.npy").write_bytes(npy("<f4", (2, 2**30)))
    (d / "shape_overflow.npy").write_bytes(npy("<f4", (2**32, 2**32)))
    (d / "shape_minus.npy").write_bytes(npy("<f4", (-3, 4)))
    (d / "shape_text.npy").write_bytes(npy("<f4", "abc"))
    (d / "kind_wrong.npy").write_bytes(npy("<q99", (3,)))
    (d / "version.npy").write_bytes(b"\x93NUMPY\x09\x00" + b"\0" * 100)
    with (d / "sparse_40g.npy").open("wb") as f:  # the file is as long as it says, and takes no room
        f.write(npy("<f4", (3, 57735, 57735), b""))
        f.truncate(f.tell() + 3 * 57735 * 57735 * 4)


def _zip(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as z:
        for name, content in entries.items():
            z.writestr(zipfile.ZipInfo(name), content, method)


def _bomb(path: Path, entry: str, head: bytes, megabytes: int) -> None:
    """A zip with one entry, `head` and then so many megabytes of zeros, made without compressing them all."""
    packer, block = zlib.compressobj(9, zlib.DEFLATED, -15), b"\0" * (1 << 20)
    first = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = first + again * megabytes + packer.flush(zlib.Z_FINISH)
    crc = zlib.crc32(head)
    for _ in range(megabytes):
        crc = zlib.crc32(block, crc)
    size, name = len(head) + (megabytes << 20), entry.encode()
    common = struct.pack("<HHHHHLLLHH", 20, 0, 8, 0, 33, crc, len(packed), size, len(name), 0)
    local = b"PK\x03\x04" + common + name + packed
    central = b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + name
    end = b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 1, 1, len(central), len(local), 0)
    path.write_bytes(local + central + end)


def archives(d: Path) -> None:
    """`.npz`: measurements whose entries are of another kind, zips that are none or too much."""
    known = {"y": PICTURE, "operator": "gaussian_blur:std=0.5", "noise": "gaussian:sigma=0.05"}
    np.savez(d / "ok.npz", **known, image_shape=np.array([3, 32, 32]))
    cut(d / "ok.npz", d / "cut.npz")
    (d / "zero.npz").write_bytes(b"")
    (d / "junk.npz").write_bytes(JUNK)
    flipped = bytearray((d / "ok.npz").read_bytes())
    for i in range(200, len(flipped), 97):
        flipped[i] ^= 0x5A
    (d / "flip.npz").write_bytes(bytes(flipped))
    wrong: dict[str, dict[str, object]] = {
        "shape_text": {"image_shape": "abc"},
        "shape_scalar": {"image_shape": 7},
        "shape_minus": {"image_shape": np.array([3, -32, 32])},
        "shape_nan": {"image_shape": np.array([3, np.nan, 32])},
        "shape_half": {"image_shape": np.array([3, 31.5, 32])},
        "shape_e9": {"image_shape": np.array([3, 10**9, 10**9])},
        "shape_e5": {"image_shape": np.array([3, 10**5, 10**5])},
        "shape_empty": {"image_shape": np.zeros(0, int)},
        "shape_axes": {"image_shape": np.ones((2, 2), int)},
        "shape_complex": {"image_shape": np.array([3j, 32, 32])},
        "seed_two": {"seed": np.array([1, 2])},
        "seed_text": {"seed": "x"},
        "seed_nan": {"seed": np.nan},
        "seed_e30": {"seed": "1" * 30},
        "operator_numbers": {"operator": np.array([1, 2, 3])},
        "operator_red": {"operator": "gaussian_blur:std=\n\x1b[31mRED"},
        "operator_path": {"operator": "inpaint:mask=/etc/passwd"},
        "operator_code": {"operator": "os:System"},
        "operator_empty": {"operator": ""},
        "operator_long": {"operator": "gaussian_blur:std=" + "9" * 5000},
        "operator_deep": {"operator": "gaussian_blur:std=" + "[" * 3000},
        "noise_wrong": {"noise": "nonsense"},
        "noise_number": {"noise": np.array(3.0)},
        "noise_nan": {"noise": "gaussian:sigma=nan"},
        "std_nan": {"operator": "gaussian_blur", "std": np.float32("nan")},
        "std_array": {"operator": "gaussian_blur", "std": np.zeros(7)},
        "std_text": {"operator": "gaussian_blur", "std": "evil"},
        "mask_shape": {"operator": "inpaint", "mask": np.zeros((5, 5))},
        "mask_nan": {"operator": "inpaint", "mask": np.full((32, 32), np.nan)},
        "mask_text": {"operator": "inpaint", "mask": "evil"},
        "kernel_nan": {"operator": "blur", "kernel": np.full((5, 5), np.nan)},
        "kernel_empty": {"operator": "blur", "kernel": np.zeros((0, 5))},
        "keep_text": {"operator": "inpaint", "keep": "evil"},
        "y_text": {"y": "abc"},
        "y_scalar": {"y": np.float32(1)},
        "y_empty": {"y": np.zeros((3, 0, 0), np.float32)},
        "y_two": {"y": np.zeros((2, 3, 32, 32), np.float32)},
    }
    for name, entries in wrong.items():
        np.savez(d / f"meta_{name}.npz", **{**known, **entries})
    np.savez(d / "no_y.npz", a=PICTURE, b=PICTURE)
    _bomb(d / "bomb.npz", "y.npy", npy("<f4", (3, 16000, 16000), b""), 2930)
    _bomb(d / "bomb_longer.npz", "y.npy", npy("<f4", (3, 32, 32), b""), 3000)
    _zip(d / "out_of_folder.npz", {"../canary/npz.npy": (d / "ok.npy").read_bytes()})
    _zip(d / "pickle_in.npz", {"y.npy": (d / "object.npy").read_bytes()})
    _zip(d / "no_npy.npz", {"hello.txt": b"hi"})
    _zip(d / "empty_zip.npz", {})
    _zip(d / "many.npz", {f"{i}.npy": b"" for i in range(3000)})
    _zip(d / "locked.npz", {"y.npy": (d / "ok.npy").read_bytes()})
    locked = bytearray((d / "locked.npz").read_bytes())
    locked[6] |= 1
    locked[locked.find(b"PK\x01\x02") + 8] |= 1
    (d / "locked.npz").write_bytes(bytes(locked))


def tensors(d: Path) -> None:
    """`.pt`: tensors of every odd kind, other content, broken files."""
    x = torch.from_numpy(PICTURE.copy())
    torch.save(x, d / "ok.pt")
    cut(d / "ok.pt", d / "cut.pt")
    (d / "zero.pt").write_bytes(b"")
    (d / "small.pt").write_bytes(b"abc")
    (d / "junk.pt").write_bytes(JUNK)
    known = {"y": x, "operator": "gaussian_blur:std=0.5", "noise": "noiseless"}
    contents: dict[str, object] = {
        "y_list": {"y": [1, 2]},
        "list": [torch.zeros(3)],
        "number_keys": {1: torch.zeros(3, 4, 4), 2: torch.zeros(1)},
        "meta_kinds": {"y": x, "operator": {"a": 1}, "noise": [1]},
        "shape_none": {**known, "image_shape": None},
        "shape_tensor": {**known, "image_shape": torch.tensor([3, 32, 32])},
        "shape_deep": {**known, "image_shape": [[3], 32, 32]},
        "seed_none": {**known, "seed": None},
        "seed_tensor": {**known, "seed": torch.zeros(2)},
        "operator_none": {**known, "operator": None},
        "std_list": {**known, "operator": "gaussian_blur", "std": [1, 2]},
        "std_none": {**known, "operator": "gaussian_blur", "std": None},
        "sparse": x.to_sparse(),
        "quantised": _quantised(x),
        "meta_device": torch.empty(3, 4, 4, device="meta"),
        "bf16": x.bfloat16(),
        "f8": x.to(torch.float8_e4m3fn),
        "expanded": torch.zeros(1).expand(3, 40000, 40000),
        "strided": torch.zeros(40001).as_strided((3, 20000, 20000), (1, 1, 1)),
        "grad": x.clone().requires_grad_(),
        "u8": torch.zeros(3, 32, 32, dtype=torch.uint8),
        "u8_axes": torch.zeros(3, dtype=torch.uint8),
        "i64": torch.zeros(3, 32, 32, dtype=torch.int64),
        "complex_nan": torch.zeros(3, 4, 4, dtype=torch.complex64) * float("nan"),
        "empty": torch.zeros(0),
        "scalar": torch.zeros(()),
        "conj": torch.zeros(2, 32, 32, dtype=torch.complex64).conj(),
        "empty_table": {},
        "none": None,
        "text": "hi",
        "number": 3.5,
        "state": {"a.b": torch.zeros(3)},
        "ema": {"ema": {"x": torch.zeros(1)}},
        "module": {"module.module.module.x": torch.zeros(1)},
        "deep": _deep(400),
        "parameter": torch.nn.Parameter(x),
    }
    for name, content in contents.items():
        torch.save(content, d / f"{name}.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the format of nested tensors is not final
        torch.save(torch.nested.nested_tensor([torch.zeros(3), torch.zeros(4)]), d / "nested.pt")


def _quantised(x: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer torch says that these are old
        return torch.quantize_per_tensor(x, 0.1, 0, torch.qint8)


def _deep(n: int) -> object:
    out: object = torch.zeros(1)
    for _ in range(n):
        out = {"a": out}
    return out


def hdf5(d: Path) -> None:
    """HDF5: k-space of wrong kinds and shapes, headers of ISMRMRD that lie."""
    import h5py

    def write(name: str, **content: object) -> None:
        with h5py.File(d / f"{name}.h5", "w") as f:
            for key, value in content.items():
                f[key.replace("__", "/")] = value

    k = (DRAW.standard_normal((2, 4, 32, 32)) + 1j * DRAW.standard_normal((2, 4, 32, 32))).astype(np.complex64)
    write("ok", kspace=k)
    cut(d / "ok.h5", d / "cut.h5", 0.9)
    cut(d / "ok.h5", d / "cut_short.h5", 0.02)
    (d / "zero.h5").write_bytes(b"")
    (d / "junk.h5").write_bytes(JUNK)
    flipped = bytearray((d / "ok.h5").read_bytes())
    for i in range(8, 2048, 61):
        flipped[i] ^= 0x5A
    (d / "flip.h5").write_bytes(bytes(flipped))
    write("nothing")
    write("k_real", kspace=k.real)
    write("k_axes1", kspace=k[0, 0, 0])
    write("k_axes0", kspace=np.complex64(1))
    write("k_empty", kspace=np.zeros((0, 4, 32, 32), np.complex64))
    write("k_nan", kspace=k * np.nan)
    write("k_zero", kspace=k * 0)
    write("k_tiny", kspace=k[:1, :, :1, :1])
    write("k_text", kspace="abc")
    write("k_group", kspace__a=1)
    write("k_int", kspace=np.ones((2, 4, 32, 32), np.int32))
    write("mask_shape", kspace=k, mask=np.ones(7))
    write("mask_zero", kspace=k, mask=np.zeros(32))
    write("mask_text", kspace=k, mask="abc")
    write("mask_group", kspace=k, mask__a=1)
    size = "<reconSpace><matrixSize><x>{}</x><y>{}</y></matrixSize></reconSpace>"
    write("xml_huge", kspace=k, ismrmrd_header=size.format(99999999999, 0))
    write("xml_zero", kspace=k, ismrmrd_header=size.format(0, 0))
    write("xml_text", kspace=k, ismrmrd_header=size.format("a", "b"))
    write("xml_number", kspace=k, ismrmrd_header=3)
    write("rss_scalar", kspace=k, reconstruction_rss=np.float32(3))
    write("rss_text", kspace=k, reconstruction_rss="abc")
    write("rss_shape", kspace=k, reconstruction_rss=np.zeros((9, 9, 9), np.float32))
    write("ismrmrd_numbers", dataset__data=np.zeros(3), dataset__xml="<x/>")
    write("ismrmrd_head", dataset__data=np.zeros((3,), [("head", "f4")]), dataset__xml="")
    write("ismrmrd_empty", dataset__data=np.zeros((0,), [("head", "f4")]), dataset__xml="<x/>")
    write("ismrmrd_group", dataset__data__a=1, dataset__xml="<x/>")
    write("ismrmrd_no_xml", dataset__data=np.zeros(3))
    for name, shape in (("k_191g", (1, 64, 20000, 20000)), ("k_24g", (1, 8, 20000, 20000)), ("k_e6", (10**6, 1, 4, 4))):
        with h5py.File(d / f"{name}.h5", "w") as f:
            f.create_dataset("kspace", shape, dtype="c8", chunks=(1, 1, 4, min(1000, shape[-1])), compression="gzip")


def cfl(d: Path) -> None:
    """BART's pairs of files: numbers missing, shapes that lie."""

    def write(name: str, shape: object, data: bytes) -> None:
        (d / f"{name}.hdr").write_text(f"# Dimensions\n{shape}\n")
        (d / f"{name}.cfl").write_bytes(data)

    k = (DRAW.standard_normal((4, 32, 32)) + 1j).astype("<c8")
    write("ok", "32 32 1 4", k.tobytes())
    write("short", "32 32 1 4", k.tobytes()[:999])
    write("minus", "-32 -32 1 4", k.tobytes())
    write("shape_e36", " ".join(["1000000000"] * 4), b"")
    write("shape_2_32", f"{2**32} {2**32} 1 1", b"")
    write("shape_zero", "0 32 1 4", b"")
    write("shape_text", "a b c", k.tobytes())
    write("shape_float", "32.5 32 1 4", k.tobytes())
    write("shape_many", " ".join(["1"] * 100), b"\0" * 8)
    write("values_nan", "32 32 1 4", (k * np.nan).tobytes())
    (d / "no_header.cfl").write_bytes(b"\0" * 64)
    (d / "no_data.hdr").write_text("# Dimensions\n2 2\n")
    (d / "binary.hdr").write_bytes(JUNK[:200])
    (d / "binary.cfl").write_bytes(b"\0" * 64)


def uvfits(d: Path) -> None:
    """FITS files of radio telescopes: broken, or without what is needed."""
    from astropy.io import fits

    (d / "zero.uvfits").write_bytes(b"")
    (d / "junk.uvfits").write_bytes(JUNK)
    (d / "text.uvfits").write_text("SIMPLE  =                    T".ljust(80) * 36)
    (d / "declared.uvfits").write_text(
        "".join(
            f"{k:8}= {v:>20}".ljust(80)
            for k, v in (("SIMPLE", "T"), ("BITPIX", "-32"), ("NAXIS", "2"), ("NAXIS1", "999999"), ("NAXIS2", "999999"))
        )
        + "END".ljust(80 * 31)
    )
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(d / "plain.uvfits")


def lmdb_folders(d: Path) -> None:
    """LMDB folders of InverseBench: truncated, flipped, with wrong values."""
    import lmdb

    def write(name: str, content: dict[str, bytes]) -> None:
        (d / name).mkdir()
        with lmdb.open(str(d / name), map_size=1 << 22) as env, env.begin(write=True) as t:
            for key, value in content.items():
                t.put(key.encode(), value)
        (d / name / "lock.mdb").unlink(missing_ok=True)

    picture = np.zeros((128, 128), "<f4")
    write("lm_navier", {"0": picture.tobytes()})
    write("lm_fwi_short", {"0": b"abc"})
    write("lm_fwi_empty", {})
    write("lm_unknown", {"0": b"abc"})
    write("lm_scatter_nan", {"0": (picture * np.nan).tobytes()})
    write("lm_blackhole_key", {"x": b"1"})
    whole = (d / "lm_navier" / "data.mdb").read_bytes()
    flipped = bytearray(whole)
    for i in range(4096 * 2, len(flipped), 97):
        flipped[i] ^= 0x5A
    pages = bytearray(whole)
    pages[4096 * 2 + 10 : 4096 * 2 + 40] = b"\xff" * 30
    for name, content in (
        ("lm_navier_cut5000", whole[:5000]),
        ("lm_navier_cut9000", whole[:9000]),
        ("lm_navier_cut40000", whole[:40000]),
        ("lm_navier_cut100", whole[:100]),
        ("lm_navier_flip", bytes(flipped)),
        ("lm_navier_page", bytes(pages)),
        ("lm_fwi_junk", JUNK * 5),
        ("lm_fwi_zero", b""),
    ):
        (d / name).mkdir()
        (d / name / "data.mdb").write_bytes(content)
    (d / "lm_fwi_folder" / "data.mdb").mkdir(parents=True)


def weights(d: Path) -> None:
    """Safetensors and folders of diffusers: wrong, truncated, with headers that lie."""
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(3, 3)}, d / "wrong.safetensors")
    cut(d / "wrong.safetensors", d / "cut.safetensors")

    def declared(name: str, header: bytes, length: int | None = None, body: bytes = b"") -> None:
        (d / f"{name}.safetensors").write_bytes(
            struct.pack("<Q", len(header) if length is None else length) + header + body
        )

    def table(shape: list[int], *ends: int) -> bytes:
        return json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": list(ends)}}).encode()

    declared("header_2_62", b'{"a":', 2**62)
    declared("header_90m", b"{" + b" " * 89_999_998 + b"}")
    declared("declared_4t", table([10**6, 10**6], 0, 4 * 10**12))
    declared("declared_less", table([2], 0, 4), body=b"\0" * 4)
    declared("nested", b'{"a":' + b"[" * 199_995)
    overlap = {k: {"dtype": "F32", "shape": [2], "data_offsets": e} for k, e in (("a", [0, 8]), ("b", [4, 12]))}
    declared("overlap", json.dumps(overlap).encode(), body=b"\0" * 12)

    folders: dict[str, dict[str, str]] = {
        "unet_no_weights": {"unet/config.json": '{"_class_name": "UNet2DModel"}'},
        "unet_list": {"unet/config.json": "[]"},
        "unet_nested": {"unet/config.json": "[" * 100_000},
        "unet_broken": {"unet/config.json": '{"_class_name": '},
        "unet_class": {"unet/config.json": '{"_class_name": "Evil"}'},
        "unet_steps": {
            "unet/config.json": '{"_class_name": "UNet2DModel"}',
            "scheduler/scheduler_config.json": '{"_class_name": "DDPMScheduler", "num_train_timesteps": 100000000000}',
        },
        "unet_size": {"unet/config.json": '{"_class_name": "UNet2DModel", "block_out_channels": [1000000000]}'},
        "xhat_json_list": {"xhat.json": "[]"},
        "xhat_json_broken": {"xhat.json": "{"},
        "index_list": {"model_index.json": "[1]"},
        "index_class": {"model_index.json": '{"_class_name": "Evil", "unet": ["os", "system"]}'},
    }
    for name, files in folders.items():
        for file, text in files.items():
            (d / name / file).parent.mkdir(parents=True, exist_ok=True)
            (d / name / file).write_text(text)


class _Same(torch.nn.Module):
    def forward(self, x, sigma: float):
        return x


class _Nothing(torch.nn.Module):
    def forward(self):
        return torch.zeros(1)


class _Part(torch.nn.Module):
    def forward(self, x):
        return x[..., :3]


class _NaN(torch.nn.Module):
    def forward(self, x):
        return x * float("nan")


class _Text(torch.nn.Module):
    def forward(self, x):
        return "hello"


class _Raises(torch.nn.Module):
    def forward(self, x):
        raise RuntimeError("line one\nline two\nline three")
        return x


def programs(d: Path) -> None:
    """TorchScript and ONNX: good, broken, and networks that return what no denoiser returns."""
    import onnx
    from onnx import TensorProto, helper

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer torch says that TorchScript is old
        for name, module in (
            ("ok", _Same()),
            ("no_argument", _Nothing()),
            ("part", _Part()),
            ("nan", _NaN()),
            ("text", _Text()),
            ("raises", _Raises()),
        ):
            torch.jit.save(torch.jit.script(module), str(d / f"script_{name}.pt"))
    cut(d / "script_ok.pt", d / "script_cut.pt", 0.7)

    def model(name: str, nodes: list[object], inits: list[object], shape: tuple[object, ...] = tuple("nchw")) -> None:
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))
        graph = helper.make_graph(nodes, "g", [x], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], inits)
        whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.save(whole, str(d / f"{name}.onnx"))

    model("same", [helper.make_node("Identity", ["x"], ["y"])], [])
    model("fixed", [helper.make_node("Identity", ["x"], ["y"])], [], (1, 1, 7, 7))
    flat = helper.make_tensor("s", TensorProto.INT64, [1], [-1])
    model("flat", [helper.make_node("Reshape", ["x", "s"], ["y"])], [flat])
    huge = helper.make_tensor("s", TensorProto.INT64, [3], [3, 100000, 100000])
    model("huge", [helper.make_node("ConstantOfShape", ["s"], ["y"])], [huge])
    cut(d / "flat.onnx", d / "cut.onnx")
    (d / "junk.onnx").write_bytes(JUNK)
    (d / "zero.onnx").write_bytes(b"")


def sets(d: Path) -> None:
    """Data sets to train on: too few, too many, of wrong kinds, archives that lie."""
    (d / "set_one").mkdir()
    Image.fromarray(PIXELS).save(d / "set_one" / "a.png")
    for name in ("set_ok", "set_bad"):
        (d / name).mkdir()
        for i in range(4):
            Image.fromarray(DRAW.integers(0, 255, (32, 32), dtype=np.uint8)).save(d / name / f"{i}.png")
    (d / "set_bad" / "z.png").write_bytes(JUNK)
    (d / "set_sizes").mkdir()
    for i in range(4):
        Image.fromarray(PIXELS[: 16 + i]).save(d / "set_sizes" / f"{i}.png")
    (d / "set_arrays").mkdir()
    np.save(d / "set_arrays" / "a.npy", np.zeros((1, 16, 16), np.float32))
    np.save(d / "set_arrays" / "b.npy", np.zeros((2, 8), np.float32))
    np.savez(d / "train_float.npz", x=np.zeros((4, 32, 32), np.float32))
    np.savez(d / "train_ok.npz", x=DRAW.integers(0, 255, (40, 32, 32), dtype=np.uint8))
    np.savez(d / "train_axes.npz", x=np.zeros((2, 2, 2, 2, 2, 2), np.uint8))
    np.savez(d / "train_empty.npz", x=np.zeros((0, 32, 32), np.uint8))
    np.savez(d / "train_channels.npz", x=np.zeros((40, 32, 32, 7), np.uint8))
    _bomb(d / "train_bomb.npz", "x.npy", npy("|u1", (3000, 1024, 1024), b""), 3000)
    (d / "declared.idx").write_bytes(b"\0\0\x08\x03" + struct.pack(">3I", 10**9, 10**3, 10**3))
    (d / "declared_e18.idx").write_bytes(b"\0\0\x08\x03" + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1))
    (d / "short.idx").write_bytes(b"\0\0\x08")
    (d / "labels.idx").write_bytes(b"\0\0\x08\x01" + struct.pack(">I", 4) + b"\1\2\3\4")
    head = gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 4000, 1000, 1000))
    (d / "bomb.idx.gz").write_bytes(head + gzip.compress(b"\0" * 10**6) * 4000)
    (d / "zeros.gz").write_bytes(gzip.compress(b"\0" * 10**7))
    (d / "cut.gz").write_bytes(gzip.compress(b"\0" * 10**7)[:500])
    with tarfile.open(d / "set.tar", "w") as t:
        for i in range(2):
            t.add(d / "set_ok" / f"{i}.png", f"{i}.png")
    cut(d / "set.tar", d / "set_cut.tar", 0.2)
    head = tarfile.TarInfo("a.png")
    head.size = 10**12
    (d / "declared_1t.tar").write_bytes(head.tobuf() + b"\0" * 4096)
    link = tarfile.TarInfo("l.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    (d / "links.tar").write_bytes(link.tobuf() + b"\0" * 4096)


CELL = 'operator="inpaint",noise="noiseless"'
DATA = 'data=["fields:size=16,count=1,channels=3"]\npriors=["powerlaw"]\n'
FAST = 'solvers=["ddrm:steps=1"]\n'
SUITES: dict[str, str] = {
    "broken": "title = ",
    "unknown_key": 'titel = "x"\n',
    "no_cell": 'title="x"\n',
    "task_text": '[tasks]\na="b"\n',
    "tasks_number": "tasks=3\n",
    "tasks_list": "tasks=[1]\n",
    "solver_number": f"solvers=[3]\n[tasks]\na={{{CELL}}}\n",
    "solver_label": f'solvers=[{{label="a"}}]\n[tasks]\na={{{CELL}}}\n',
    "solver_spec_number": f'solvers=[{{label="a",spec=3}}]\n[tasks]\na={{{CELL}}}\n',
    "solver_label_number": f'solvers=[{{label=3,spec="lmaps"}}]\n[tasks]\na={{{CELL}}}\n',
    "solver_unknown": f'solvers=["nosuch"]\n[tasks]\na={{{CELL}}}\n',
    "solver_toml": f'solvers=["nosuch.toml"]\n[tasks]\na={{{CELL}}}\n',
    "solvers_empty": f"solvers=[]\n[tasks]\na={{{CELL}}}\n",
    "operator_number": '[tasks]\na={operator=3,noise="noiseless"}\n',
    "operator_list": '[tasks]\na={operator=["inpaint"],noise="noiseless"}\n',
    "operator_table": '[tasks]\na={operator={a=1},noise="noiseless"}\n',
    "operator_unknown": '[tasks]\na={operator="nosuch",noise="noiseless"}\n',
    "noise_number": '[tasks]\na={operator="inpaint",noise=3}\n',
    "noise_bool": '[tasks]\na={operator="inpaint",noise=true}\n',
    "noise_date": '[tasks]\na={operator="inpaint",noise=2020-01-01}\n',
    "seeds_zero": f"seeds=0\n[tasks]\na={{{CELL}}}\n",
    "seeds_minus": f"seeds=-4\n[tasks]\na={{{CELL}}}\n",
    "seeds_minus_list": f"seeds=[-4]\n[tasks]\na={{{CELL}}}\n",
    "seeds_half": f"seeds=[1.5]\n[tasks]\na={{{CELL}}}\n",
    "seeds_bool": f"seeds=true\n[tasks]\na={{{CELL}}}\n",
    "seeds_empty": f"seeds=[]\n[tasks]\na={{{CELL}}}\n",
    "seeds_2e9": f"seeds=2000000000\n[tasks]\na={{{CELL}}}\n",
    "seeds_e23": f"seeds=[99999999999999999999999]\n[tasks]\na={{{CELL}}}\n",
    "seeds_override_text": f'override=[{{when={{}},set={{seeds="x"}}}}]\n[tasks]\na={{{CELL}}}\n',
    "seeds_override_2e9": f"override=[{{when={{}},set={{seeds=2000000000}}}}]\n[tasks]\na={{{CELL}}}\n",
    "samples_zero": f"samples=0\n[tasks]\na={{{CELL}}}\n",
    "samples_e9": f"samples=1000000000\n[tasks]\na={{{CELL}}}\n",
    "samples_half": f"samples=1.5\n[tasks]\na={{{CELL}}}\n",
    "task_samples_zero": f"[tasks]\na={{{CELL},samples=0}}\n",
    "task_samples_minus": f"[tasks]\na={{{CELL},samples=-3}}\n",
    "task_samples_text": f'[tasks]\na={{{CELL},samples="x"}}\n',
    "task_samples_e9": f"[tasks]\na={{{CELL},samples=1000000000}}\n",
    "images_zero": f"images=0\n[tasks]\na={{{CELL}}}\n",
    "task_images_zero": f"[tasks]\na={{{CELL},images=0}}\n",
    "task_images_minus": f"[tasks]\na={{{CELL},images=-1}}\n",
    "task_images_text": f'[tasks]\na={{{CELL},images="x"}}\n',
    "task_images_half": f"[tasks]\na={{{CELL},images=1.5}}\n",
    "metric_unknown": f'metrics=["nope"]\n[tasks]\na={{{CELL}}}\n',
    "metric_number": f"metrics=[3]\n[tasks]\na={{{CELL}}}\n",
    "metric_text": f'metrics="psnr"\n[tasks]\na={{{CELL}}}\n',
    "override_when": f"override=[{{when={{}}}}]\n[tasks]\na={{{CELL}}}\n",
    "override_text": f'override=["x"]\n[tasks]\na={{{CELL}}}\n',
    "override_when_text": f'override=[{{when="x",set="y"}}]\n[tasks]\na={{{CELL}}}\n',
    "override_when_list": f"override=[{{when=[1],set={{}}}}]\n[tasks]\na={{{CELL}}}\n",
    "override_options": f"override=[{{when={{}},set={{options=3}}}}]\n[tasks]\na={{{CELL}}}\n",
    "override_options_list": f"override=[{{when={{}},set={{options=[1]}}}}]\n[tasks]\na={{{CELL}}}\n",
    "override_options_unknown": f"override=[{{when={{}},set={{options={{a=1}}}}}}]\n[tasks]\na={{{CELL}}}\n",
    "override_skip_all": f"override=[{{when={{}},set={{skip=true}}}}]\n[tasks]\na={{{CELL}}}\n",
    "override_skip_text": f'override=[{{when={{}},set={{skip="no"}}}}]\n[tasks]\na={{{CELL}}}\n',
    "override_solver": f"override=[{{when={{}},set={{solver=3}}}}]\n[tasks]\na={{{CELL}}}\n",
    "override_samples": f"override=[{{when={{}},set={{samples=-1}}}}]\n[tasks]\na={{{CELL}}}\n",
    "override_images": f"override=[{{when={{}},set={{images=-1}}}}]\n[tasks]\na={{{CELL}}}\n",
    "override_prior": f"override=[{{when={{}},set={{prior=3}}}}]\n[tasks]\na={{{CELL}}}\n",
    "data_escapes": f'data=["../../../../../../nosuch"]\n[tasks]\na={{{CELL}}}\n',
    "prior_passwd": f'priors=["/etc/passwd"]\n[tasks]\na={{{CELL}}}\n',
    "prior_code": f'priors=["os:System"]\n[tasks]\na={{{CELL}}}\n',
    "priors_empty": f"priors=[]\n[tasks]\na={{{CELL}}}\n",
    "data_empty": f"data=[]\n[tasks]\na={{{CELL}}}\n",
    "mask_passwd": '[tasks]\na={operator="inpaint:mask=/etc/passwd",noise="noiseless"}\n',
    "nested": "x=" + "[" * 3000 + "]" * 3000 + "\n",
    "nested_spec": f'solvers=["lmaps:steps={"[" * 3000}"]\n[tasks]\na={{{CELL}}}\n',
    "schedule_unknown": f'schedule="nope"\n[tasks]\na={{{CELL}}}\n',
    "schedule_number": f"schedule=3\n[tasks]\na={{{CELL}}}\n",
    "task_schedule": f"[tasks]\na={{{CELL},schedule=3}}\n",
    "task_schedule_wrong": f'[tasks]\na={{{CELL},schedule="edm:sigma_max=-1"}}\n',
    "task_schedule_list": f"[tasks]\na={{{CELL},schedule=[1]}}\n",
    "task_prior": f"[tasks]\na={{{CELL},prior=3}}\n",
    "task_data": f"[tasks]\na={{{CELL},data=3}}\n",
    "task_key": f"[tasks]\na={{{CELL},nosuch=3}}\n",
    "task_mri_on_colour": '[tasks]\na={operator="mri",noise="noiseless"}\n',
    "published_text": f'published=["x"]\n[tasks]\na={{{CELL}}}\n',
    "title_number": f"title=3\n[tasks]\na={{{CELL}}}\n",
}
GOOD_SUITES: dict[str, str] = {  # they may run, or be refused
    "ok": f"{FAST}[tasks]\na={{{CELL}}}\n",
    "metric_twice": f'metrics=["psnr","psnr"]\n{FAST}[tasks]\na={{{CELL}}}\n',
    "metric_none": f"metrics=[]\n{FAST}[tasks]\na={{{CELL}}}\n",
    "override_task_number": f"override=[{{when={{task=3}},set={{}}}}]\n{FAST}[tasks]\na={{{CELL}}}\n",
    "published_empty": f"{FAST}published=[{{}}]\n[tasks]\na={{{CELL}}}\n",
    "published_rows": f'{FAST}published=[{{metric="psnr",rows=[{{}}]}}]\n[tasks]\na={{{CELL}}}\n',
    "published_word": f'{FAST}published=[{{metric="psnr",rows=[{{method="x",a="word"}}]}}]\n[tasks]\na={{{CELL}}}\n',
    "published_rows_number": f'{FAST}published=[{{metric="psnr",rows=3}}]\n[tasks]\na={{{CELL}}}\n',
    "baseline_unknown": f'baseline="nosuch"\n{FAST}[tasks]\na={{{CELL}}}\n',
    "nul": f'title="\\u0000"\n{FAST}[tasks]\na={{{CELL}}}\n',
    "empty_key": f'{FAST}[tasks]\n""={{{CELL}}}\n',
}
RUNS: dict[str, tuple[str | None, str | None]] = {  # records.jsonl, bench.json
    "empty": ("", "{}"),
    "no_bench": ("", None),
    "bench_broken": ("", "{"),
    "bench_list": ("", "[]"),
    "bench_nested": ("", "[" * 100_000),
    "bench_number": ("", "3"),
    "junk": ('\x00junk\n{"a":1}\n{"key":3}\n', "{}"),
    "key_only": ('{"key":"0123456789abcdef","schema":1}\n', "{}"),
    "schema": ('{"key":"0123456789abcdef","schema":99}\n', "{}"),
    "cells_empty": ("", '{"title":"x","about":"","metrics":["psnr"],"cells":[{}]}'),
    "cells_number": ("", '{"title":"x","about":"","metrics":["psnr"],"cells":3}'),
    "cells_list": ("", '{"title":"x","about":"","metrics":["psnr"],"cells":[3]}'),
    "metrics_number": ("", '{"title":"x","about":"","metrics":3,"cells":[]}'),
    "lines_list": ("[1]\n3\nnull\n", '{"title":"x","about":"","metrics":["psnr"],"cells":[]}'),
    "line_nested": ("[" * 100_000 + "\n", "{}"),
    "no_records": (None, '{"title":"x","about":"","metrics":["psnr"],"cells":[]}'),
}


def tables(d: Path) -> None:
    """Suites, tables of options and folders of runs."""
    (d / "suites").mkdir()
    for name, text in (SUITES | GOOD_SUITES).items():
        whole = (DATA if "data=" not in text.partition("[tasks]")[0] else 'priors=["powerlaw"]\n') + text
        if "priors=" in text:
            whole = whole.replace('priors=["powerlaw"]\n', "", 1)
        (d / "suites" / f"{name}.toml").write_text(whole)
    (d / "suites" / "binary.toml").write_bytes(JUNK[:300])
    (d / "suites" / "utf16.toml").write_text('title="x"', encoding="utf-16")
    options = {
        "solver_none.toml": "solvers=[]\n",
        "solver_two.toml": 'solvers=["a","b"]\n',
        "solver_number.toml": "solvers=[3]\n",
        "solver_table.toml": "solvers=[{a=1}]\n",
        "solver_table_number.toml": "solvers=[{spec=3}]\n",
        "solver_itself.toml": 'solvers=["solver_itself.toml"]\n',
        "solver_list.toml": "solvers=3\n",
        "config_broken.toml": "a =",
        "config_broken.json": "[1,2",
        "config_list.json": "[1,2]",
        "config_nan.json": '{"sigma_max": NaN}',
        "config_nested.json": "[" * 100_000,
        "config_kinds.json": '{"dtype": [1, {"a": null}]}',
        "recipe_number.toml": "data=3\n",
        "recipe_network.toml": 'network="x"\n',
    }
    for name, text in options.items():
        (d / name).write_text(text)
    (d / "runs").mkdir()
    for name, (records, bench) in RUNS.items():
        (d / "runs" / name).mkdir()
        if records is not None:
            (d / "runs" / name / "records.jsonl").write_text(records)
        if bench is not None:
            (d / "runs" / name / "bench.json").write_text(bench)
    (d / "runs" / "records_folder" / "records.jsonl").mkdir(parents=True)


class _Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.mark}'",)


def evil(d: Path, canary: Path) -> None:
    """Files whose content would run if anything in them were run."""
    torch.save({"y": _Evil(canary / "pt")}, d / "evil.pt")
    torch.save(_Evil(canary / "legacy"), d / "evil_legacy.pt", _use_new_zipfile_serialization=False)
    for name in ("evil_raw.pt", "evil.pkl"):
        (d / name).write_bytes(pickle.dumps(_Evil(canary / "pickle")))
    code = f'__import__("os").system("touch {canary}/npy")'
    (d / "evil_header.npy").write_bytes(npy("<f4", 0).replace(b"'shape': 0", f"'shape': {code}".encode()))
    program = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\n({canary}/eps) (w) file closefile\n"
    (d / "evil_eps.png").write_text(program + "showpage\n")
