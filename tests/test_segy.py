"""SEG-Y: files that segyio itself writes, by their trace headers; geometry that is none is refused in one line."""

import numpy as np
import pytest
import torch

from xhat.cli.arguments import main
from xhat.errors import DataError, SpecError
from xhat.operators.building import build_operator
from xhat.science.fwi.operator import FWI
from xhat.science.fwi.segy import read, scaled

segyio = pytest.importorskip("segyio")

SOURCES = np.array([[100.0, 30.0], [340.0, 30.0], [220.0, 30.0]])  # x and depth in metres, in the order of the file
RECEIVERS = np.stack([np.arange(12) * 40.0, np.full(12, 20.0)], -1)


def written(path, data, receivers=RECEIVERS, interval=4000, scalar=-100, change=None, turn=0.0, feet=False):
    """A file of segyio: shots (shots, samples, receivers), places as integers times `scalar`, on a line that makes an
    angle of `turn` with x. `change` alters the header of each trace.
    """
    sources, origin, (shots, samples, count) = SOURCES, (5e5, 6e6), data.shape
    spec = segyio.spec()
    spec.sorting, spec.format, spec.samples, spec.tracecount = 2, 5, np.arange(samples) * interval / 1000, shots * count
    units = (1 / 0.3048 if feet else 1.0) * (-scalar if scalar < 0 else 1 / max(scalar, 1))
    line = np.array([np.cos(turn), np.sin(turn)])
    own = receivers if receivers.ndim == 3 else np.broadcast_to(receivers, (shots, count, 2))
    with segyio.create(str(path), spec) as file:
        file.bin[segyio.BinField.Interval] = interval
        file.bin[segyio.BinField.MeasurementSystem] = 2 if feet else 1
        for i in range(shots * count):
            s, r = divmod(i, count)
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
            file.trace[i] = data[s, :, r].astype(np.float32)
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
    "one point": (lambda i, h: {**h, "SourceX": 7, "GroupX": 7, "SourceY": 7, "GroupY": 7}, "one point"),
    "an area": (lambda i, h: {**h, "GroupY": h["GroupY"] + 8000 * (i % 3)}, "beside a straight line"),
    "two intervals": (lambda i, h: {**h, "TRACE_SAMPLE_INTERVAL": 2000 if i == 7 else 4000}, "2000, 4000 µs"),
    "late": (lambda i, h: {**h, "DelayRecordingTime": 100}, "begin at 100 ms"),
    "dead": (lambda i, h: {**h, "TraceIdentificationCode": 2 if i == 5 else 1}, "identification code 2"),
    "on a hill": (lambda i, h: {**h, "ReceiverGroupElevation": 3000}, "30 m above"),
    "uneven": (lambda i, h: {**h, "SourceX": h["SourceX"] + (900 if i == 3 else 0)}, "traces each"),
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
    v = np.load(tmp_path / "out" / "velocity.npy")[0]
    truth = 3 + 1.5 * x[0, 0].numpy()
    start = np.broadcast_to(np.linspace(2, 4, 8), truth.shape)
    assert np.linalg.norm(v - truth) < 0.8 * np.linalg.norm(start - truth)
