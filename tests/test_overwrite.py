"""No command replaces a file that it did not write: a law over all that take -o."""

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from recipes import GRID, NETWORK
from xhat.cli.arguments import main, parser
from xhat.cli.completion import commands

PARTS = ["--operator", "inpaint:keep=0.5", "--noise", "gaussian:sigma=0.05"]
FAST = ["--prior", "powerlaw", "--solver", "ddrm:steps=2"]
WATCHED = """[data]
validation = 3
[optimiser]
batch = 2
[watching]
samples = 2
validation = 3
sigmas = [0.1]
sampling_steps = 1
"""
CODES = """
[network]
block_out_channels = [8, 8]
down_block_types = ["DownEncoderBlock2D", "DownEncoderBlock2D"]
up_block_types = ["UpDecoderBlock2D", "UpDecoderBlock2D"]
norm_num_groups = 4
latent_channels = 4
mid_block_add_attention = false
[autoencoder]
kl = 1e-3
"""
# Command lines, by what they are; {} is where the result goes, beside which the names of pictures lie.
COMMANDS = {
    "restore": ["restore", "x.npy", *PARTS, *FAST, "-q", "-o", "{}"],
    "restore to a picture": ["restore", "x.npy", *PARTS, *FAST, "-q", "-o", "{}/p.png", "--record"],
    "restore of several": ["restore", "x.npy", "z.npy", *PARTS, *FAST, "-q", "-o", "{}"],
    "fix": ["fix", "x.png", "--steps", "1", "-q", "-o", "{}/p.png"],
    "simulate": ["simulate", "x.npy", *PARTS, "-q", "-o", "{}/y.npz", "--reference-out", "{}/x.png"],
    "calibrate": ["calibrate", "x.npy", "z.npy", *PARTS, *FAST, "--samples", "2", "-q", "-o", "{}/c.json"],
    "demo": ["demo", "--size", "48", "--prior", "powerlaw", "-q", "-o", "{}"],
    "generate": ["generate", "vorticity", "--count", "1", "--size", "16", "-o", "{}/g.npz"],
    "bench": ["bench", "grid.toml", "--keep-images", "-q", "-o", "{}"],
    "report": ["report", "run", "-o", "{}"],
    "tune": ["tune", *PARTS, *FAST, "--data", "fields:size=16,count=1", "--trials", "2", "-q", "-o", "{}"],
    "exact": ["exact", "--quick", "--problem", "two", "--solver", "exact", "--seeds", "1", "-q", "--jobs", "1",
              "-o", "{}"],
    "exact --sbc": ["exact", "--sbc", "--problem", "two", "--solver", "exact", "-q", "-o", "{}"],
    "train denoiser": ["train", "denoiser", "x.npz", "--recipe", "net.toml", "--steps", "1", "-q", "--device", "cpu",
                       "-o", "{}"],
    "train autoencoder": ["train", "autoencoder", "x.npz", "--recipe", "ae.toml", "--steps", "1", "-q",
                          "--device", "cpu", "-o", "{}"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    x = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for name in "xz":
        np.save(f"{name}.npy", x.numpy())
    np.savez("x.npz", x=np.random.default_rng(0).integers(0, 255, (12, 8, 8), np.uint8))
    Path("grid.toml").write_text(GRID)
    Path("net.toml").write_text(NETWORK + WATCHED)
    Path("ae.toml").write_text(CODES + WATCHED)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def words(command: list[str], folder: str) -> list[str]:
    return [w.replace("{}", folder) for w in command]


MINE = b"mine: not a byte of it is to change"


def named(top: argparse.ArgumentParser, name: str = "") -> Iterator[str]:
    """The commands that take -o, those inside others with both names."""
    inner = commands(top)
    for word, p in inner.items():
        yield from named(p, f"{name} {word}".strip())
    if not inner and "--out" in top._option_string_actions:
        yield name


def test_every_command_with_an_output_is_under_the_law() -> None:
    elsewhere = {"train consistency"}  # the folder is checked by the same function as for the other two
    assert set(named(parser())) - elsewhere == {
        name.partition(" to ")[0].partition(" of ")[0].partition(" --")[0] for name in COMMANDS
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_whatever_a_command_writes_it_does_not_write_over_a_file_of_the_user(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each file that a run leaves is put there before another run, by the user."""
    prepare(name)
    Path("free").mkdir()
    assert main(words(COMMANDS[name], "free")) == 0, capsys.readouterr().err
    written = files(Path("free"))
    assert written
    capsys.readouterr()
    for path in written:
        shutil.rmtree("taken", ignore_errors=True)
        target = Path("taken", path)
        target.parent.mkdir(parents=True)
        target.write_bytes(MINE)
        code = main(words(COMMANDS[name], "taken"))
        said = capsys.readouterr().err
        assert target.read_bytes() == MINE, path
        if code:
            assert list(files(Path("taken"))) == [path], said  # it is refused before anything is computed
            assert code == 2, path
            assert said.count("\n") == 1, said
            assert said.startswith("xhat: "), said
            assert path.partition("/")[0] in said or "holds a training run" in said, said


def prepare(name: str) -> None:
    """What a command reads beside the pictures."""
    if name == "fix":
        assert main(["simulate", "x.npy", *PARTS, "-q", "-o", "x.png"]) == 0
    if name == "report":
        assert main(["bench", "grid.toml", "-q", "-o", "run"]) == 0
    if name.startswith("train"):
        pytest.importorskip("accelerate")


@pytest.mark.parametrize("name", ["simulate", "generate"])
def test_what_is_there_is_replaced_when_that_is_said(name: str) -> None:
    command = words(COMMANDS[name], ".")
    assert main(command) == 0
    before = files(Path())
    assert main(command) == 2
    assert files(Path()) == before
    assert main([*command, "--overwrite"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["calibrate", "demo", "bench", "tune", "exact", "restore to a picture"])
def test_what_a_command_wrote_itself_is_no_file_of_the_user(name: str) -> None:
    command = words(COMMANDS[name], "own")
    assert main(command) == 0
    assert main(command) == 0
