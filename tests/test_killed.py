"""kill -9 at random moments of a restoration, a training and a benchmark: nothing is lost, and the result is the same
bit for bit."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import xhat
from pipelines import latent_diffusion
from recipes import NETWORK

PROGRAM = """import os, sys
from xhat.cli.arguments import main
from xhat.task.checkpoint import Checkpoint
fsync = os.fsync
def told(file):
    os.write(1, b".\\n")
    fsync(file)
def eager(self, snapshot):
    self.last = snapshot
    self.flush()
os.fsync = told  # a line for each file that is about to be complete
Checkpoint.note = eager  # a checkpoint at every step
sys.exit(main(sys.argv[1:]))
"""
RECIPE = f"""
[data]
validation = 3
{NETWORK}dropout = 0.1
[optimiser]
batch = 4
warmup = 2
[watching]
steps = 3
validation = 3
sigmas = [0.1, 1.0]
samples = 2
sampling_steps = 2
"""
GRID = """
priors = ["powerlaw"]
data = ["fields:size=16,count=3"]
solvers = ["ddrm:steps=20", "fps_smc:steps=10"]
metrics = ["psnr"]
[tasks.pixels]
operator = "inpaint:keep=0.4"
noise = "gaussian:sigma=0.05"
"""
RESTORATIONS = {  # with conjugate gradient, of particles, under a latent prior, and two plain ones
    "lmaps:steps=12": ("blur.npz", "powerlaw", 4),
    "fps_smc:steps=12": ("y.npz", "powerlaw", 4),
    "psld:steps=12": ("y.npz", "latents", 4),
    "ddrm:steps=12": ("y.npz", "powerlaw", 4),
    "daps:steps=6": ("blur.npz", "powerlaw", 4),
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for name, operator in (("y", "gaussian_blur:std=0.5"), ("blur", "motion_blur:size=9,seed=1")):
        xhat.simulate(x, operator, "gaussian:sigma=0.05", seed=1).save(f"{name}.npz")


def events(*command):
    """How many files a whole run completes."""
    run = subprocess.run([sys.executable, "-c", PROGRAM, *command], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.split().count(".")


def killed(after, delay, *command):
    """Runs a command and kills it `delay` seconds after it has said that the file number `after` is to be complete."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM, *command], stdout=subprocess.PIPE, text=True) as run:
        seen = 0
        for line in run.stdout:
            seen += line.strip() == "."
            if seen >= after:
                break
        time.sleep(delay)
        run.kill()


def moments(count, most, seed):
    """Seeded moments: the number of a file, and a delay of up to two hundredths of a second."""
    draw = random.Random(seed)
    return [(draw.randint(1, most), draw.uniform(0, 0.02)) for _ in range(count)]


def restored(solver, times):
    measurement, prior, _ = RESTORATIONS[solver]
    if prior == "latents":
        pytest.importorskip("diffusers")
        latent_diffusion(Path("latents"))
    command = ["restore", measurement, "--prior", prior, "--solver", solver, "--samples", "2", "-q"]
    most = events(*command, "-o", "whole")
    names = sorted(p.name for p in Path("whole").glob("*.png"))
    for i, (after, delay) in enumerate(moments(times, most, solver)):
        out = f"out{i}"
        killed(after, delay, *command, "-o", out)
        # What was reached stays: from its first step on, there is a checkpoint or the result.
        there = os.path.exists(f"{out}/checkpoint.pt")
        finished = os.path.exists(f"{out}/record.json")
        assert there or finished or after == 1
        events(*command, "-o", out, *(["--resume"] if there else []))
        assert sorted(p.name for p in Path(out).glob("*.png")) == names
        for name in names:
            if name != "panel.png":
                assert torch.equal(xhat.load_image(f"{out}/{name}"), xhat.load_image(f"whole/{name}")), (i, name)
        assert not [p for p in os.listdir(out) if p.startswith(".xhat-")]
        assert not os.path.exists(f"{out}/checkpoint.pt")


@pytest.mark.slow
def test_a_restoration_that_is_killed_once_is_the_same():
    restored("lmaps:steps=12", 1)


@pytest.mark.slow
@pytest.mark.parametrize("solver", RESTORATIONS)
def test_a_restoration_that_is_killed_is_the_same(solver):
    restored(solver, RESTORATIONS[solver][2])


@pytest.mark.slow
def test_a_training_that_is_killed_is_the_same():
    pytest.importorskip("accelerate")
    Path("tiny.toml").write_text(RECIPE)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
    np.savez("x.npz", x=pixels, label=np.arange(12))
    command = ["train", "denoiser", "x.npz", "--recipe", "tiny.toml", "--steps", "12", "--device", "cpu", "-q"]
    most = events(*command, "--out", "whole")
    weights = lambda folder: sorted(p.read_bytes() for p in Path(folder).rglob("*.safetensors"))
    for i, (after, delay) in enumerate(moments(10, most, "train")):
        out = f"out{i}"
        killed(after, delay, *command, "--out", out)
        saved = list(Path(out).rglob("checkpoint*")) if os.path.isdir(out) else []
        finished = bool(weights(out))
        if not finished or saved:
            events(*command, "--out", out, *(["--resume"] if saved else []))
        assert weights(out) == weights("whole"), i
        assert not list(Path(out).rglob(".xhat-*")), "nothing half-written stays"
        steps = [json.loads(line)["step"] for line in Path(out, "log.jsonl").read_text().splitlines()]
        assert steps == sorted(set(steps)), "the log tells each step once"


@pytest.mark.slow
def test_a_benchmark_that_is_killed_is_the_same():
    Path("grid.toml").write_text(GRID)
    command = ["bench", "grid.toml", "--batch-size", "1", "-q", "-o"]
    most = events(*command, "whole")

    def rows(out):
        return [json.loads(line) for line in Path(out, "records.jsonl").read_text().splitlines()]

    def results(out):
        return sorted((r["key"], r["status"], json.dumps([r["metrics"], r["residual"]])) for r in rows(out))

    for i, (after, delay) in enumerate(moments(10, most, "bench")):
        out = f"out{i}"
        killed(after, delay, *command, out)
        before = Path(out, "records.jsonl")
        complete = before.read_bytes().split(b"\n")[:-1] if before.exists() else []
        events(*command, out)
        assert before.read_bytes().split(b"\n")[: len(complete)] == complete, "no record is computed again"
        assert results(out) == results("whole"), i
