"""SEG-Y: files that segyio itself writes, by their trace headers; geometry that is none is refused in one line."""

import json

import numpy as np
import pytest
import torch

from xhat.cli.arguments import main
from xhat.errors import DataError, SpecError
from xhat.files.folder import sha256
from xhat.operators.building import build_operator
from xhat.science.fwi.operator import FWI
from xhat.science.fwi.segy import read, scaled

segyio = pytest.importorskip("segyio")

SOURCES = np.array([[100.0, 30.0], [340.0, 30.0], [220.0, 30.0]])  # x and depth in metres, in the order of the file
RECEIVERS = np.stack([np.arange(12) * 40.0, np.full(12, 20.0)], -1)


def written(
    path, data, receivers=RECEIVERS, interval=4000, scalar=-100, change=None, turn=0.0, feet=False,
    kind=5, endian="big", order=None, system=None, binary=None,
):  # fmt: skip
    """A file of segyio: shots (shots, samples, receivers), places as integers times `scalar`, on a line that makes an
    angle of `turn` with x. `change` alters the header of each trace, `kind` is the format of samples, `order` that of
    the traces, and `system` and `binary` the unit and the interval of the binary header.
    """
    sources, origin, (shots, samples, count) = SOURCES, (5e5, 6e6), data.shape
    spec = segyio.spec()
    spec.sorting, spec.format, spec.samples, spec.tracecount = (
        2,
        kind,
        np.arange(samples) * interval / 1000,
        shots * count,
    )
    spec.endian = endian
    units = (1 / 0.3048 if feet else 1.0) * (-scalar if scalar < 0 else 1 / max(scalar, 1))
    line = np.array([np.cos(turn), np.sin(turn)])
    own = receivers if receivers.ndim == 3 else np.broadcast_to(receivers, (shots, count, 2))
    with segyio.create(str(path), spec) as file:
        file.bin[segyio.BinField.Interval] = interval if binary is None else binary
        file.bin[segyio.BinField.MeasurementSystem] = (2 if feet else 1) if system is None else system
        for i, which in enumerate(range(shots * count) if order is None else order):
            s, r = divmod(int(which), count)
            sx, sy = (np.array(origin) + sources[s, 0] * line) * units
            gx, gy = (np.array(origin) + own[s, r, 0] * line) * units
            header = {
                "FieldRecord": s + 1, "SourceX": sx, "SourceY": sy, "GroupX": gx, "GroupY": gy,
                "SourceGroupScalar": scalar, "ElevationScalar": scalar, "SourceDepth": sources[s, 1] * units,
                "ReceiverGroupElevation": -own[s, r, 1] * units, "CoordinateUnits": 1,
                "TraceIdentificationCode": 1, "TRACE_SAMPLE_INTERVAL": interval,
                "TRACE_SAMPLE_COUNT": samples,
            }  # fmt: skip
            header = header if change is None else change(i, header)
            file.header[i] = {getattr(segyio.TraceField, k): round(float(v)) for k, v in header.items()}
            file.trace[i] = data[s, :, r].astype(file.dtype)
    return path


def shots(count=12, samples=60, seed=0):
    t = np.arange(samples) * 0.004
    noise = np.random.default_rng(seed).normal(size=(3, samples, count))
    return np.sin(2 * np.pi * 12.5 * t)[None, :, None] + 0.01 * noise


@pytest.mark.parametrize("scalar", [-100, 1, 0])
@pytest.mark.parametrize("turn", [0.0, 0.7])
def test_places_and_samples_are_those_of_the_headers(tmp_path, scalar, turn):
    """Within a centimetre where the scalar is −100, within a metre of rounding on an oblique line else."""
    data = shots()
    found = read(written(tmp_path / "a.sgy", data, scalar=scalar, turn=turn), None)
    close = 0.02 if scalar == -100 else 1.5
    np.testing.assert_allclose(found.y.numpy(), data, atol=1e-6)
    np.testing.assert_allclose(found.physics["source_places"], SOURCES, atol=close)
    receivers = found.physics["receiver_places"].numpy()
    np.testing.assert_allclose(np.broadcast_to(receivers, (3, 12, 2))[1], RECEIVERS, atol=close)
    if not turn:
        assert found.operator.startswith("fwi:dx=40,dz=40,dt=2,every=2,time=236,frequency=12.5,"), found.operator
    A = build_operator(found.operator, found.image_shape, tuple(found.y.shape), found.physics)
    assert isinstance(A, FWI)
    assert A.data_shape == found.y.shape


def test_scalars():
    """SEG-Y, revision 1: a positive scalar multiplies, a negative one divides, 0 says nothing."""
    np.testing.assert_allclose(scaled(np.array([10, -10, 0, 1])), [10, 0.1, 1, 1])


def test_feet(tmp_path):
    found = read(written(tmp_path / "a.segy", shots(), feet=True), None)
    np.testing.assert_allclose(found.physics["source_places"], SOURCES, atol=0.02)


@pytest.mark.parametrize("scalar", [10, 1000, -10])
def test_scalars_of_either_sign_in_the_headers(tmp_path, scalar):
    """Depths and distances are whole numbers of the unit that the scalar makes."""
    unit = 1 / abs(scalar) if scalar < 0 else scalar
    change = lambda i, h: {**h, "SourceX": 5 + i // 12, "GroupX": 3 + i % 12, "SourceY": 0, "GroupY": 0, **DEPTHS}
    found = read(written(tmp_path / "a.sgy", shots(), scalar=scalar, change=change), None)
    np.testing.assert_allclose(found.physics["source_places"].numpy(), np.array([[2, 9], [3, 9], [4, 9]]) * unit)
    receivers = np.stack([np.arange(12), np.full(12, 7)], -1) * unit
    np.testing.assert_allclose(found.physics["receiver_places"].numpy(), receivers)


DEPTHS = {"SourceDepth": 9, "ReceiverGroupElevation": -7}


@pytest.mark.parametrize("kind", [1, 2, 3, 5, 6, 8])
@pytest.mark.parametrize("endian", ["big", "little"])
def test_samples_of_every_format(tmp_path, kind, endian):
    """Whole numbers come back as they are, floats of IBM to 2⁻²⁰ of them."""
    data = np.round(100 * shots())
    found = read(written(tmp_path / "a.sgy", data, kind=kind, endian=endian), None)
    np.testing.assert_allclose(found.y.numpy(), data, rtol=2**-20, atol=0)
    np.testing.assert_allclose(found.physics["source_places"], SOURCES, atol=0.02)


@pytest.mark.parametrize("code", [0, 4, 77, 1280 + 1])
def test_samples_of_a_format_that_is_not_read(tmp_path, code):
    """segyio would take them for floats of IBM."""
    path = written(tmp_path / "a.sgy", shots())
    content = bytearray(path.read_bytes())
    content[3224:3226] = code.to_bytes(2, "big")
    path.write_bytes(content)
    with pytest.raises(DataError, match="samples are of"):
        read(path, None)


@pytest.mark.parametrize("sorting", ["by receiver", "at random"])
def test_shots_are_told_by_their_field_record(tmp_path, sorting):
    """Whatever the order of the traces; two shots at one place stay two."""
    order = np.arange(36).reshape(3, 12).T.ravel()
    order = order if sorting == "by receiver" else np.random.default_rng(0).permutation(36)
    data = shots()
    found = read(written(tmp_path / "a.sgy", data, order=order), None)
    seen = [int(s) for s in dict.fromkeys(order // 12)]
    np.testing.assert_allclose(found.physics["source_places"], SOURCES[seen], atol=0.02)
    for i, s in enumerate(seen):
        receivers = [int(r) % 12 for r in order if r // 12 == s]
        np.testing.assert_allclose(found.y[i], data[s][:, receivers], atol=1e-6)
        places = np.broadcast_to(found.physics["receiver_places"], (3, 12, 2))[i]
        np.testing.assert_allclose(places, RECEIVERS[receivers], atol=0.02)
    twice = lambda i, h: {**h, "SourceX": h["SourceX"] if h["FieldRecord"] == 3 else 50_010_000}
    assert len(read(written(tmp_path / "b.sgy", data, change=twice), None).y) == 3


def test_units_silent_traces_and_weights_are_said(tmp_path, caplog):
    data = shots()
    data[1, :, 3] = 0
    found = read(written(tmp_path / "a.sgy", data, system=0), None)
    assert "lengths are in metres: the file says no unit, and this is a guess" in caplog.text
    assert "1 of its 36 traces hold only zeros" in caplog.text
    assert found.guessed["unit of length"] == "m"
    caplog.clear()
    weighted = lambda i, h: {**h, "TraceWeightingFactor": i % 3}
    found = read(written(tmp_path / "b.sgy", shots(), feet=True, change=weighted), None)
    assert "lengths are in feet" in caplog.text
    assert "2^-N of what they stand for, N from 0 to 2" in caplog.text
    np.testing.assert_allclose(found.y[0, :, 4], shots()[0, :, 4] / 2, atol=1e-6)
    with pytest.raises(DataError, match="measurement system is 7"):
        read(written(tmp_path / "c.sgy", shots(), system=7), None)


@pytest.mark.parametrize(("binary", "traces"), [(0, 4000), (4000, 0)])
def test_the_interval_may_stand_in_one_header_alone(tmp_path, binary, traces):
    said = lambda i, h: {**h, "TRACE_SAMPLE_INTERVAL": traces}
    path = written(tmp_path / "a.sgy", shots(), binary=binary, change=said)
    assert ",dt=2,every=2,time=236," in read(path, None).operator


def test_each_source_may_have_receivers_of_its_own(tmp_path):
    """A streamer behind a ship: the operator hears each source where the file says, as three surveys of one source."""
    streamer = SOURCES[:, :1] + np.arange(5) * 20.0 - 100
    own = np.stack([streamer, np.full_like(streamer, 20.0)], -1)
    found = read(written(tmp_path / "a.sgy", shots(count=5), receivers=own), None)
    places = found.physics["receiver_places"]
    assert places.shape == (3, 5, 2)
    options = {"time": 200, "dt": 2, "frequency": 12, "dx": 20, "dz": 20, "cells": 6}
    x = 0.2 * torch.randn(1, 1, 22, 12, generator=torch.Generator().manual_seed(0))
    together = FWI((1, 22, 12), **options, source_places=found.physics["source_places"], receiver_places=places)(x)
    for s in range(3):
        alone = FWI(
            (1, 22, 12), **options, source_places=found.physics["source_places"][s : s + 1], receiver_places=places[s]
        )
        torch.testing.assert_close(alone(x)[:, 0], together[:, s])
    assert float(together.abs().amax()) > 1e-3


REFUSED = {
    "angles": (lambda i, h: {**h, "CoordinateUnits": 2}, "seconds of arc"),
    "one point": (
        lambda i, h: {**h, "SourceX": 7, "GroupX": 7, "SourceY": 7, "GroupY": 7},
        "sources of its 3 field records all have one place",
    ),
    "an area": (lambda i, h: {**h, "GroupY": h["GroupY"] + 8000 * (i % 3)}, "beside a straight line"),
    "two intervals": (lambda i, h: {**h, "TRACE_SAMPLE_INTERVAL": 2000 if i == 7 else 4000}, "2000, 4000 µs by the h"),
    "another interval": (
        lambda i, h: {**h, "TRACE_SAMPLE_INTERVAL": 2000},
        "4000 µs by the binary header and 2000 µs by the headers of traces",
    ),
    "another length": (
        lambda i, h: {**h, "TRACE_SAMPLE_COUNT": 61},
        "60 samples a trace, headers of traces say 61",
    ),
    "late": (lambda i, h: {**h, "DelayRecordingTime": 100}, "begin at 100 ms"),
    "dead": (lambda i, h: {**h, "TraceIdentificationCode": 2 if i == 5 else 1}, "identification code 2"),
    "on a hill": (lambda i, h: {**h, "ReceiverGroupElevation": 3000}, "30 m above"),
    "uneven": (lambda i, h: {**h, "FieldRecord": 2 if i == 3 else h["FieldRecord"]}, "several places; a shot has one"),
    "missing": (
        lambda i, h: {**h, "FieldRecord": 9 if i == 3 else h["FieldRecord"]},
        "4 shots have 1 to 12 traces each, field record 1 has 11 and most have 12",
    ),
    "no records": (
        lambda i, h: {**h, "FieldRecord": 0, "SourceX": h["SourceX"] + (i == 3)},
        "shot 1 has",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_geometry_that_cannot_be_read_is_refused_in_one_line(tmp_path, name):
    change, words = REFUSED[name]
    with pytest.raises(DataError, match=words) as found:
        read(written(tmp_path / "a.sgy", shots(), change=change), None)
    assert "\n" not in str(found.value)
    assert "a.sgy" in str(found.value)


def test_files_that_are_none(tmp_path):
    (tmp_path / "a.sgy").write_bytes(b"no seismics" * 500)
    with pytest.raises(DataError, match=r"a\.sgy"):
        read(tmp_path / "a.sgy", None)
    with pytest.raises(DataError, match="no items"):
        read(written(tmp_path / "b.sgy", shots()), 1)
    data = shots()
    data[0, 3, 4] = np.nan
    with pytest.raises(DataError, match="NaN"):
        read(written(tmp_path / "c.sgy", data), None)


def test_a_survey_must_lie_in_the_image(tmp_path):
    found = read(written(tmp_path / "a.sgy", shots()), None)
    with pytest.raises(SpecError, match="the image from 0 to 200 m"):
        build_operator("fwi:dx=20,dz=20,dt=2,every=2,time=236", (1, 11, 12), (3, 60, 12), found.physics)
    with pytest.raises(SpecError, match="come together"):
        FWI((1, 8, 8), source_places=found.physics["source_places"])


@pytest.mark.slow
def test_from_a_file_to_a_picture(tmp_path):
    """The README's way: records of a layered ground, written by segyio, are fitted better than by the start."""
    places = {"source_places": torch.from_numpy(SOURCES), "receiver_places": torch.from_numpy(RECEIVERS)}
    A = FWI((1, 12, 8), dx=40, dz=40, dt=2, every=2, time=236, frequency=12, cells=8, **places)
    x = torch.linspace(-0.7, 0.3, 8).expand(1, 1, 12, 8).clone()
    x[..., 4:] += 0.3
    path = written(tmp_path / "a.sgy", A(x)[0].numpy())
    call = ["restore", str(path), "--noise", "gaussian:sigma=0.001", "--solver", "lbfgs:steps=6", "--prior", "none"]
    spec = "fwi:dx=40,dz=40,dt=2,every=2,time=236,frequency=12,cells=8"
    assert main([*call, "--operator", spec, "--shape", "1,12,8", "-o", str(tmp_path / "out")]) == 0
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["provenance"]["files"] == {str(path): sha256(path)}
    assert "segyio" in record["versions"]
    v = np.load(tmp_path / "out" / "velocity.npy")[0]
    truth = 3 + 1.5 * x[0, 0].numpy()
    start = np.broadcast_to(np.linspace(2, 4, 8), truth.shape)
    assert np.linalg.norm(v - truth) < 0.8 * np.linalg.norm(start - truth)
