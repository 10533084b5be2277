"""A science outside the package joins by one folder and one line: the tides of `plugin_tides`."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from xhat import registry
from xhat.cli.arguments import main
from xhat.errors import DataError
from xhat.priors import PRIORS
from xhat.priors.checkpoints import Format
from xhat.priors.checkpoints.files import Checkpoint
from xhat.priors.checkpoints.recognise import kind_of_tensors


@pytest.fixture(autouse=True)
def tides(monkeypatch):
    """The plug-in as if it were installed; that an entry point is found is tested in test_registry."""
    from plugin_tides import PLUGIN

    monkeypatch.setattr(registry, "_plugins", [*registry.plugins(), PLUGIN])


def test_its_files_are_restored_by_name(tmp_path):
    np.savetxt(tmp_path / "coast.tide", np.ones((16, 8)))
    prior, solver = ("--prior", "sea"), ("--solver", "lmaps:steps=3")
    main(["restore", str(tmp_path / "coast.tide"), *prior, *solver, "-o", str(tmp_path / "out")])
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["operator"] == "gauges"
    assert record["prior"] == "sea"
    assert record["image_shape"] == [1, 16, 16]


@pytest.mark.slow
def test_its_suite_runs_with_its_metric(tmp_path, capsys):
    main(["bench", "tides", "-o", str(tmp_path / "run")])
    rows = [json.loads(line) for line in (tmp_path / "run" / "records.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert all("mean_height" in row["metrics"] for row in rows)
    assert "mean_height [m] ↓" in capsys.readouterr().out


@pytest.mark.parametrize(("kind", "name"), [("operators", "gauges"), ("priors", "sea"), ("suites", "tides")])
def test_its_parts_are_listed(kind, name, capsys):
    main(["list", kind, name])
    assert name in capsys.readouterr().out


def test_its_pictures_are_generated(tmp_path):
    main(["generate", "sea", "--count", "2", "--size", "16", "-o", str(tmp_path / "sea.npz")])
    assert (tmp_path / "sea.npz").exists()


def test_a_checkpoint_format_is_one_row(monkeypatch):
    """A row of a plug-in is tried like those of the package, and named in the refusal of a layout that nobody knows."""
    sea = PRIORS["sea"]
    plan = lambda file: pytest.fail("nothing is read yet")
    row = Format("sea", "tide tables", sea, plan, lambda tensors: "tide" in tensors)
    monkeypatch.setattr(registry, "_plugins", [*registry.plugins(), registry.Plugin("more", formats={"sea": row})])
    found = lambda key: Checkpoint(Path("a.pt"), tensors={key: torch.zeros(1)})
    assert kind_of_tensors(found("tide")) == "sea"
    with pytest.raises(DataError, match="tide tables"):
        kind_of_tensors(found("ebb"))
