"""Nothing is lost: full disks, foreign files, two runs in one folder, killed and terminated runs."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import xhat
from pipelines import latent_diffusion
from recipes import GRID
from xhat.cli.arguments import main
from xhat.errors import DataError, MismatchError, WriteError
from xhat.files import writing
from xhat.files.folder import alone
from xhat.task.checkpoint import Checkpoint

EXACT = "exact --problem mixture:d=2,m=1 --solver exact --samples 10 --seeds 1 --jobs 1 -q -o new"
RUN = ["--prior", "powerlaw", "--solver", "ddrm:steps=4", "-q"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    xhat.simulate(x, "gaussian_blur:std=0.5", "gaussian:sigma=0.05", seed=1).save("y.npz")


def eager(self, snapshot):
    """`Checkpoint.note` that writes every step."""
    self.last = snapshot
    self.flush()


@pytest.fixture
def full(monkeypatch):
    """`full(n)`: the n-th write from now on, or every one from `first` on with `lasting`, finds the disk full."""
    settle = writing.settle

    def start(n, lasting=False):
        made = [0]

        def failing(file):
            made[0] += 1
            if made[0] == n or (lasting and made[0] > n):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
            settle(file)

        for module in ("xhat.files.writing", "xhat.files.rows", "xhat.bench.folder", "xhat.task.restoration"):
            monkeypatch.setattr(f"{module}.settle", failing)

    yield start
    monkeypatch.undo()


def left(folder="."):
    return sorted(p for p in os.listdir(folder) if p.startswith(".")) if os.path.isdir(folder) else []


def test_a_finished_run_survives_a_full_disk_at_any_write(full, capsys, monkeypatch):
    """With a checkpoint at each step: whichever write fails, the result is there or can be had without a step more."""
    monkeypatch.setattr(Checkpoint, "note", eager)
    assert main(["restore", "y.npz", *RUN, "-o", "whole"]) == 0
    whole = xhat.load_image("whole/restored.png")
    for n in random.Random(0).sample(range(1, 9), 6):
        shutil.rmtree("out", ignore_errors=True)
        full(n)
        code = main(["restore", "y.npz", *RUN, "-o", "out"])
        err = capsys.readouterr().err
        assert not left("out"), "nothing half-written stays"
        if code:
            assert err.count("\n") == 1
            assert "No space left on device" in err
            assert "--resume" in err
            assert os.listdir("out") == ["checkpoint.pt"]
            assert main(["restore", "y.npz", *RUN, "-o", "out", "--resume"]) == 0
        assert torch.equal(xhat.load_image("out/restored.png"), whole)
        assert not os.path.exists("out/checkpoint.pt")


def test_a_checkpoint_that_cannot_be_written_is_a_note(full, capsys, monkeypatch):
    monkeypatch.setattr(Checkpoint, "note", eager)
    full(2)
    assert main(["restore", "y.npz", *RUN, "-o", "out"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("xhat: note: out/checkpoint.pt: cannot be written (No space left on device)")
    assert err.count("\n") == 1
    assert os.path.exists("out/restored.png")


@pytest.mark.parametrize("command", ["simulate", "generate", "exact", "bench"])
def test_a_full_disk_is_one_clear_line(full, capsys, command):
    np.save("x.npy", np.zeros((3, 16, 16), np.float32))
    commands = {
        "simulate": ["simulate", "x.npy", "--operator", "denoise", "--noise", "noiseless", "-o", "new.npz"],
        "generate": ["generate", "blackhole", "--count", "1", "--size", "16", "-o", "new.npz"],
        "exact": EXACT.split(),
        "bench": ["bench", "grid.toml", "--batch-size", "1", "-q", "-o", "new"],
    }
    Path("grid.toml").write_text(GRID)
    full(1, lasting=True)
    assert main(commands[command]) == 2
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert err.count("\n") == 1
    assert not left()
    assert not left("new")


def test_libraries_that_hide_a_full_disk():
    """A limit on the size of files, which is a real failure of `write`, for torch, safetensors and Pillow's JPEG."""
    resource = pytest.importorskip("resource")
    x = {"x": torch.zeros(40000)}
    noise = torch.rand(3, 300, 300) * 2 - 1
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        for write in (
            lambda: writing.save_torch("a.pt", x),
            lambda: writing.save_safetensors("a.safetensors", x),
            *(lambda n=n: xhat.save_image(f"a.{n}", noise) for n in ("jpg", "png", "webp", "tif")),
        ):
            with pytest.raises(WriteError, match="cannot be written"):
                write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir() == ["y.npz"]


def test_folders_of_any_kind_take_a_result():
    os.mkdir("real")
    os.symlink("real", "link")
    assert main(["restore", "y.npz", *RUN, "-o", "link"]) == 0
    assert os.path.islink("link")
    assert os.path.exists("real/restored.png")


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
@pytest.mark.slow
def test_a_mount_point_takes_a_result_and_a_small_disk_is_said():
    for size, code in (("20m", 0), ("24k", 2)):
        os.makedirs("disk", exist_ok=True)
        inside = f'mount -t tmpfs -o size={size} none disk && "$@"; echo rc $?; ls -a disk'
        command = [sys.executable, "-m", "xhat", "restore", "y.npz", *RUN, "-o", "disk"]
        run = subprocess.run(["unshare", "-rm", "sh", "-c", inside, "sh", *command], capture_output=True, text=True)
        if "rc" not in run.stdout or "mount:" in run.stderr:
            pytest.skip("no rights to mount")
        assert f"rc {code}" in run.stdout, run.stderr
        assert ("restored.png" in run.stdout) == (code == 0)
        assert "Traceback" not in run.stderr
        assert ".xhat-" not in run.stdout


def test_foreign_files_are_kept(capsys):
    os.mkdir("out")
    for name, text in (("thesis.tex", "years"), ("record.json", json.dumps({"files": ["thesis.tex", "..", 5]}))):
        with open(f"out/{name}", "w") as file:
            file.write(text)
    assert main(["restore", "y.npz", *RUN, "-o", "out"]) == 2
    assert "holds record.json, which xhat has not written" in capsys.readouterr().err
    assert main(["restore", "y.npz", *RUN, "-o", "out", "--overwrite"]) == 0
    assert Path("out/thesis.tex").read_text() == "years"


def test_an_edited_result_and_the_own_input_are_kept(capsys):
    assert main(["restore", "y.npz", *RUN, "-o", "out"]) == 0
    assert main(["restore", "y.npz", *RUN, "-o", "out", "--seed", "1"]) == 0, "its own files are replaced"
    physics = ["--operator", "denoise", "--noise", "gaussian:sigma=0.1"]
    assert main(["restore", "out/restored.png", *physics, *RUN, "-o", "out", "--overwrite"]) == 2
    assert "would overwrite its own input" in capsys.readouterr().err
    with open("out/restored.png", "ab") as file:
        file.write(b"touched up")
    assert main(["restore", "y.npz", *RUN, "-o", "out"]) == 2
    assert "restored.png, which xhat has not written or which was changed since" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["-o", "x.png"], ["-o", "y.png", "--reference-out", "./x.png"], ["-o", "mask.png"]])
def test_simulate_keeps_what_it_reads(capsys, more):
    xhat.save_image("x.png", torch.zeros(3, 16, 16))
    xhat.save_image("mask.png", torch.eye(16).expand(1, 16, 16) * 2 - 1)
    before = {name: Path(name).read_bytes() for name in os.listdir()}
    mask = "jpeg:quality=75 @ inpaint:mask=mask.png"
    assert main(["simulate", "x.png", "--operator", mask, "--noise", "noiseless", *more]) == 2
    assert "would overwrite its own input" in capsys.readouterr().err
    assert {name: Path(name).read_bytes() for name in os.listdir()} == before


def test_simulate_does_not_write_one_file_twice(capsys):
    xhat.save_image("x.png", torch.zeros(3, 16, 16))
    physics = ["--operator", "denoise", "--noise", "noiseless"]
    assert main(["simulate", "x.png", *physics, "-o", "y.png", "--reference-out", "./y.png"]) == 2
    assert "would be written twice" in capsys.readouterr().err


def test_a_mask_in_the_folder_of_the_results_is_kept(capsys):
    os.mkdir("out")
    np.save("out/restored.npy", np.eye(16, dtype=np.float32))
    physics = ["--operator", "inpaint:mask=out/restored.npy", "--noise", "gaussian:sigma=0.1"]
    assert main(["restore", "y.npz", *physics, *RUN, "-o", "out", "--overwrite"]) == 2
    assert "would overwrite its own input" in capsys.readouterr().err


def test_a_result_cut_off_between_two_files_is_completed(monkeypatch):
    r = xhat.restore("y.npz", prior="powerlaw", solver="ddrm:steps=3")
    r.save("whole")
    replace, made = os.replace, [0]

    def dies(a, b):
        made[0] += str(b).startswith("out/")
        if made[0] == 2 and str(b).startswith("out/"):
            os._exit(9)
        replace(a, b)

    child = os.fork()
    if not child:
        monkeypatch.setattr(os, "replace", dies)
        r.save("out")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert left("out")
    r.save("out")
    names = lambda d: {p for p in os.listdir(d) if p != ".xhat.lock"}
    assert names("out") == names("whole")


@pytest.mark.slow
def test_one_folder_one_run(capsys):
    os.mkdir("out")
    code = "from pathlib import Path; from xhat.files.folder import alone; import sys, time\n"
    code += "with alone(Path('out')): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        try:
            assert main(["restore", "y.npz", *RUN, "-o", "out"]) == 2
            assert "another run writes into it" in capsys.readouterr().err
        finally:
            other.kill()
    assert main(["restore", "y.npz", *RUN, "-o", "out"]) == 0


def test_a_folder_made_for_nothing_goes_again(tmp_path):
    with pytest.raises(RuntimeError), alone(tmp_path / "a" / "b"):
        raise RuntimeError
    assert not (tmp_path / "a").exists()


def test_forgetting_resume_destroys_nothing(capsys):
    os.mkdir("out")
    with open("out/checkpoint.pt", "wb") as file:
        file.write(b"hours of work")
    assert main(["restore", "y.npz", *RUN, "-o", "out"]) == 2
    assert "--resume" in capsys.readouterr().err
    assert Path("out/checkpoint.pt").read_bytes() == b"hours of work"
    with pytest.raises(DataError, match="interrupted run"):
        xhat.restore("y.npz", prior="powerlaw", solver="ddrm:steps=2", checkpoint="out/checkpoint.pt")
    assert main(["restore", "y.npz", *RUN, "-o", "out", "--overwrite"]) == 0


@pytest.mark.parametrize("command", [["restore", "y.npz", *RUN], ["generate", "blackhole"], ["bench", "quick"]])
def test_no_path_is_refused(capsys, command):
    assert main([*command, "-o", ""]) == 2
    assert capsys.readouterr().err == "xhat: -o: '' is no path\n"
    assert os.listdir() == ["y.npz"]


def test_resuming_with_other_weights_is_refused():
    """The name of the prior is the same; its weights are not."""

    class Net(torch.nn.Module):
        def __init__(self, scale):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(scale))

        def forward(self, x, sigma):
            return x * self.scale / (1 + sigma**2)

    options = {"solver": "lmaps:steps=3", "checkpoint": "c.pt"}
    xhat.restore("y.npz", prior=xhat.Denoiser(Net(1.0), trial=False), **options)
    with pytest.raises(MismatchError, match="prior_sha256 was"):
        xhat.restore("y.npz", prior=xhat.Denoiser(Net(0.9), trial=False), resume=True, **options)


SLOWLY = """import sys, time
from xhat.task.checkpoint import Checkpoint
from xhat.cli.arguments import main
note = Checkpoint.note
def slowly(self, snapshot):
    note(self, snapshot)
    if EVERY == 0:
        self.flush()
    print(snapshot.step, flush=True)
    time.sleep(0.02)
Checkpoint.note = slowly
sys.exit(main(sys.argv[1:]))
"""


def started(every, *command):
    script = SLOWLY.replace("EVERY", str(every))
    return subprocess.Popen([sys.executable, "-c", script, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_sigterm_saves_and_ends_cleanly():
    command = ["restore", "y.npz", "--prior", "powerlaw", "--solver", "ddrm:steps=200", "-q"]
    assert main([*command, "-o", "whole"]) == 0
    with started(1000, *command, "-o", "out") as run:
        while int(run.stdout.readline()) < 20:
            pass
        run.send_signal(signal.SIGTERM)
        err = run.communicate()[1].decode()
    assert "--resume" in err
    assert err.count("\n") == 1
    assert os.listdir("out") == ["checkpoint.pt"]
    assert main([*command, "-o", "out", "--resume"]) == 0
    assert torch.equal(xhat.load_image("out/restored.png"), xhat.load_image("whole/restored.png"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver", ["ddrm:steps=40", "lmaps:steps=20", "daps:steps=12", "fps_smc:steps=20", "psld:steps=20"]
)
def test_kill_at_random_moments_loses_nothing(solver):
    prior = "powerlaw"
    if solver.startswith("psld"):
        pytest.importorskip("diffusers")
        latent_diffusion(Path("latents"))
        prior = "latents"
    command = ["restore", "y.npz", "--prior", prior, "--solver", solver, "-q"]
    assert main([*command, "-o", "whole"]) == 0
    draw = random.Random(solver)
    with started(0, *command, "-o", "out") as run:
        run.stdout.readline()
        time.sleep(draw.uniform(0.0, 0.5))
        run.kill()
    if os.path.exists("out/checkpoint.pt"):
        assert main([*command, "-o", "out", "--resume"]) == 0
    assert torch.equal(xhat.load_image("out/restored.png"), xhat.load_image("whole/restored.png"))


def test_a_checkpoint_of_a_training_that_cannot_be_written_is_a_note(full, capsys):
    from types import SimpleNamespace

    from xhat.train.loop import Job, Progress, save

    net = torch.nn.Linear(2, 2)
    parts = {"net": net, "average": SimpleNamespace(weights={}), "objective": SimpleNamespace(state=dict)}
    job = object.__new__(Job)  # only what `save` asks for
    vars(job).update(parts, accelerator=None, identity={}, checkpoint=Path("c.pt"))
    full(1)
    save(job, torch.optim.AdamW(net.parameters()), Progress())
    assert "the training goes on" in capsys.readouterr().err
    assert not left()
    save(job, torch.optim.AdamW(net.parameters()), Progress())
    assert os.path.exists("c.pt")
