"""A disk that is full at a random write: one clear line, nothing half-written, and no finished work is lost.

A limit on the size of files stands for the disk: the operating system itself then refuses the write, in whichever
library makes it.
"""

import os
import random
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import xhat
from recipes import GRID, NETWORK
from xhat.cli.arguments import main
from xhat.task.checkpoint import Checkpoint

resource = pytest.importorskip("resource")

COMMANDS = {
    "restore": "restore y.npz --prior powerlaw --solver ddrm:steps=4 --samples 2 -q -o new",
    "simulate": "simulate x.npy --operator denoise --noise noiseless -o new.npz",
    "generate": "generate blackhole --count 1 --size 16 -o new.npz",
    "bench": "bench grid.toml --batch-size 1 --keep-images -q -o new",
    "report": "report done -o new",
    "exact": "exact --problem mixture:d=2,m=1 --solver exact --samples 10 --seeds 1 --jobs 1 -q -o new",
    "train": "train denoiser set.npz --recipe tiny.toml --steps 4 --device cpu -q --out new",
}
RECIPE = f"""
[data]
validation = 3
{NETWORK}
[optimiser]
batch = 4
[watching]
steps = 2
samples = 2
sampling_steps = 2
"""
# (command, bytes): 20 seeded sizes at which a file ends, from a few bytes to a few thousand
LIMITS = [
    (name, int(10 ** random.Random(f"{name} {i}").uniform(1, 4.3)))
    for i, name in enumerate([*COMMANDS, *COMMANDS, *COMMANDS][:20])
]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    np.save("x.npy", x.numpy())
    xhat.simulate(x, "gaussian_blur:std=0.5", "gaussian:sigma=0.05", seed=1).save("y.npz")
    np.savez("set.npz", x=np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8))
    Path("grid.toml").write_text(GRID)
    Path("tiny.toml").write_text(RECIPE)


@contextmanager
def at_most(size):
    """No file may become longer than `size` bytes."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def everything():
    return {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()}


def eager(self, snapshot):
    """`Checkpoint.note` that writes every step."""
    self.last = snapshot
    self.flush()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), LIMITS)
def test_a_full_disk_at_a_random_write(name, size, capsys, monkeypatch):
    monkeypatch.setattr(Checkpoint, "note", eager)
    if name == "train":
        pytest.importorskip("accelerate")
    if name == "report":
        assert main(["bench", "grid.toml", "--batch-size", "1", "--keep-images", "-q", "-o", "done"]) == 0
    command = COMMANDS[name].split()
    before = everything()
    capsys.readouterr()
    with at_most(size):
        code = main(command)
    err = capsys.readouterr().err
    after = everything()
    assert {p: after.get(p) for p in before} == before, "what was there is as it was"
    assert not list(Path().rglob(".xhat-*")), "nothing half-written stays"
    lines = [line for line in err.splitlines() if "note:" not in line]
    if code:
        assert code == 2
        assert len(lines) == 1
        assert "File too large" in err or "full" in err
    else:
        assert not lines
    made = os.path.exists("new") and name in ("restore", "train", "bench")
    resumed = ["--resume"] if name != "bench" and made and list(Path("new").glob("checkpoint*")) else []
    if name == "train" and made and not resumed:
        shutil.rmtree("new")  # no step of it was ever on the disk
    if code or name == "train":
        assert main([*command, *resumed]) == 0, "the same command goes on once there is room"
