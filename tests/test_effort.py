"""What needs more memory than there is, or more than an hour, is refused in one line before the work; --yes does it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from recipes import GRID, NETWORK
from xhat import effort
from xhat.bench.evaluate import Done
from xhat.cli import arguments
from xhat.cli.arguments import main
from xhat.errors import DataError, TooLongError, TooMuchError
from xhat.exact.cell import Cell, check_cost, paced
from xhat.files import room
from xhat.priors import build_prior
from xhat.task import cost

BLUR = ("--operator", "gaussian_blur:std=0.5", "--noise", "gaussian:sigma=0.05")


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    np.save("y.npy", 2 * torch.rand(3, 32, 32).numpy() - 1)
    return "y.npy"


def restore(picture: str, *more: str) -> int:
    return main(["restore", picture, *BLUR, "--solver", "ddrm:steps=3", "-q", "-o", "out", *more])


def test_an_hour_is_exceeded_by_what_one_call_of_the_network_takes(
    picture: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cost, "trial", lambda prior, shape, device: (1201.0, 0.0))
    assert restore(picture) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "60 minutes" in said
    assert "--yes" in said
    assert "--steps" in said
    assert not Path("out").exists()
    assert restore(picture, "--yes") == 0
    assert "note" not in capsys.readouterr().err  # nothing is tried for who has agreed


def test_the_trial_counts_steps_and_samples(picture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "trial", lambda prior, shape, device: (1100.0, 0.0))
    assert restore(picture) == 0  # 3300 s
    assert restore(picture, "--samples", "2", "--overwrite") == 2


def test_several_files_are_counted_together(
    picture: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cost, "trial", lambda prior, shape, device: (1100.0, 0.0))
    Path("z.npy").write_bytes(Path(picture).read_bytes())
    assert main(["restore", picture, "z.npy", *BLUR, "--solver", "ddrm:steps=3", "-q", "-o", "out"]) == 2
    said = capsys.readouterr().err
    assert "of 2 files" in said
    assert said.count("\n") == 1


def test_more_images_at_a_time_than_memory_holds_are_refused(
    picture: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cost, "free", lambda kind: 16.0 * 3 * 32 * 32 * 7)
    monkeypatch.setattr(cost, "trial", lambda prior, shape, device: (0.0, 0.0))
    assert restore(picture, "--samples", "8") == 2
    assert "--batch-size" in capsys.readouterr().err
    assert restore(picture, "--samples", "8", "--batch-size", "7") == 0


def test_the_trial_of_a_network_is_a_call_at_the_size_of_the_image_or_of_a_part() -> None:
    prior, called = build_prior("photo", "cpu"), []
    prior.register_forward_hook(lambda module, args, out: called.append(tuple(args[0].shape)))
    torch.ones(7_000_000)  # from now on, the C library keeps what is freed of this size ...
    junk = [torch.ones(6_000_000) for _ in range(40)]
    top = torch.ones(1000)
    del junk  # ... below what is still held: what earlier work has freed hides nothing
    small, _ = cost.trial(prior, (3, 32, 32), torch.device("cpu"))
    large, size = cost.trial(prior, (3, 4000, 3000), torch.device("cpu"))
    assert called == [(1, 3, 32, 32)] * 2 + [(1, 3, 256, 256)] * 2
    assert large > 20 * small > 0
    assert size > 4 * 3 * 4000 * 3000  # more than one image
    assert top.sum() == 1000


def test_the_second_step_of_a_run_shows_what_a_solver_does_inside_a_step(
    picture: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ticks = iter(map(float, range(0, 10**9, 3700)))
    clock = SimpleNamespace(monotonic=lambda: next(ticks), perf_counter=lambda: 0.0)
    monkeypatch.setattr(cost, "time", clock)
    assert restore(picture) == 2
    assert "62 minutes" in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_training_by_steps_is_judged_by_its_second_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from xhat.train import session

    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", x=np.random.default_rng(0).integers(0, 255, (300, 8, 8), np.uint8))
    Path("recipe.toml").write_text(NETWORK + "[data]\nvalidation = 30\n[optimiser]\nbatch = 2\n")
    command = ["train", "denoiser", "x.npz", "--recipe", "recipe.toml", "--out", "mine", "-q", "--device", "cpu"]
    ticks = iter(map(float, range(10**6)))
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    assert main([*command, "--steps", "100000000"]) == 2
    said = capsys.readouterr().err
    assert "years" in said, said
    assert "--minutes" in said
    assert "--yes" in said
    assert not Path("mine").exists()


def test_the_table_of_exact_is_judged_by_counts_before_and_by_its_pace_later(tmp_path: Path) -> None:
    many = [Cell("mixture:d=800,m=1", "dps:steps=1000", seed, 100_000) for seed in range(1000)]
    few = [Cell("two", "dps:steps=100", seed, 100) for seed in range(5)]
    check_cost(many, 4)  # Python is not asked
    with effort.consenting(False):
        check_cost(few, 1)
        with pytest.raises(TooLongError, match="--seeds or --samples"):
            check_cost(many, 4)
        with pytest.raises(TooMuchError, match="memory"):
            check_cost([Cell("mixture:d=10000,m=1", "dps", 0, 1_000_000)], 1)
        watch = paced(None, few, 1)
        assert watch is not None
        problem, solver, seed, samples = few[0].key
        with pytest.raises(TooLongError, match="what is computed is kept"):
            watch({"problem": problem, "solver": solver, "seed": seed, "samples": samples, "seconds": 1000.0})
    command = ["exact", "-o", str(tmp_path / "out"), "--problem", "mixture:d=800,m=1", "--solver", "dps:steps=1000"]
    assert main([*command, "--seeds", "1000", "--samples", "100000", "--jobs", "2"]) == 2
    assert not (tmp_path / "out").exists()


def test_generated_pictures_are_judged_by_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from xhat.cli import commands

    monkeypatch.chdir(tmp_path)
    ticks = iter(map(float, range(10)))
    monkeypatch.setattr(commands, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    assert main(["generate", "blackhole", "--count", "7200", "-o", "x.npz"]) == 2
    assert "2 hours" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_generate_overwrites_nothing_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.npz"
    out.write_bytes(b"mine")
    command = ["generate", "blackhole", "--count", "2", "--size", "16", "-o", str(out)]
    assert main(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"
    assert main([*command, "--overwrite"]) == 0
    assert np.load(out)["x"].shape == (2, 16, 16)


def test_on_a_terminal_the_user_is_asked(
    picture: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cost, "trial", lambda prior, shape, device: (1e5, 0.0))
    for answer, code in (("n\n", 2), ("\n", 2), ("y\n", 0)):
        stdin = SimpleNamespace(isatty=lambda: True, readline=lambda answer=answer: answer)
        monkeypatch.setattr(effort.sys, "stdin", stdin)
        monkeypatch.setattr(effort.sys.stderr, "isatty", lambda: True, raising=False)
        assert restore(picture) == code
        assert "go on?" in capsys.readouterr().err


def test_memory_that_a_file_asks_for_can_be_agreed_to_but_no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_memory", lambda: 1e6)
    with pytest.raises(TooMuchError) as refused:
        room.fits(10**6, "y.npy")
    assert "--yes" not in str(refused.value)  # Python has no such word
    with effort.consenting(False), pytest.raises(TooMuchError, match="--yes"):
        room.fits(10**6, "y.npy")
    with effort.consenting(True):
        room.fits(10**6, "y.npy")
        with pytest.raises(DataError, match="the most that is read"):
            room.fits(10**6, "y.npy", 1000)


def test_durations_are_said_in_everyday_words() -> None:
    said = [effort.duration(s) for s in (3601.0, 5400.0, 86400.0 * 3, 3.2e9)]
    assert said == ["60 minutes", "1.5 hours", "3 days", "101 years"]


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A benchmark of two images, three steps each."""
    monkeypatch.chdir(tmp_path)
    Path("grid.toml").write_text(GRID)
    return ["bench", "grid.toml", "-q", "-o", "out"]


def test_a_grid_is_judged_by_its_counts_and_a_call_of_each_network(
    grid: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cost, "trial", lambda prior, shape, device: (601.0, 0.0))
    assert main(grid) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "60 minutes" in said
    assert "--yes" in said
    assert "--images" in said
    assert not Path("out").exists()
    assert main([*grid, "--images", "1"]) == 0  # what is there is not counted: half of it is left
    assert main(grid) == 0


def test_a_grid_that_was_agreed_to_is_not_tried(grid: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "trial", lambda prior, shape, device: 1 / 0)
    assert main([*grid, "--yes"]) == 0


def test_the_batch_of_a_grid_must_fit_into_memory(
    grid: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cost, "free", lambda kind: 1.5 * 16 * 16 * 16)  # of one channel
    assert main([*grid, "--batch-size", "2"]) == 2
    assert "--batch-size" in capsys.readouterr().err
    assert not Path("out").exists()
    assert main([*grid, "--batch-size", "1"]) == 0


def test_a_grid_is_judged_by_its_pace_and_keeps_what_it_has(
    grid: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from xhat.bench import cost as of_grids
    from xhat.bench import drive

    real = drive.evaluate

    def slow(*args: Any) -> list[Done]:
        return [replace(done, row=done.row | {"seconds": 3601.0}) for done in real(*args)]

    monkeypatch.setattr(drive, "evaluate", slow)
    assert of_grids.TRIED == 60
    assert main([*grid, "--batch-size", "1"]) == 2
    said = capsys.readouterr().err
    assert "what is computed is kept" in said
    assert len(Path("out/records.jsonl").read_text().splitlines()) == 1
    monkeypatch.setattr(drive, "evaluate", real)
    assert main([*grid, "--batch-size", "1"]) == 0
    assert len(Path("out/records.jsonl").read_text().splitlines()) == 2


def test_a_search_and_a_calibration_are_counted(
    picture: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cost, "trial", lambda prior, shape, device: (70.0, 0.0))
    search = ["tune", *BLUR, "--data", "fields:size=16,count=1", "--solver", "diffpir:steps=3", "--prior", "powerlaw"]
    assert main([*search, "--trials", "20", "-q", "-o", "tuned"]) == 2
    assert "--trials" in capsys.readouterr().err
    assert not Path("tuned").exists()
    Path("z.npy").write_bytes(Path(picture).read_bytes())
    command = ["calibrate", picture, "z.npy", *BLUR, "--solver", "ddrm:steps=3", "--samples", "9", "-q", "-o", "c.json"]
    assert main(command) == 2
    assert "of 2 files" in capsys.readouterr().err
    assert not Path("c.json").exists()


def test_the_histograms_of_exact_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["exact", "--sbc", "--problem", "grf:side=8", "--solver", "dps:steps=1000000", "-q"]
    assert main([*command, "--seeds", "40000000", "-o", str(tmp_path / "out")]) == 2
    assert "--yes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_every_command_that_estimates_takes_yes() -> None:
    commands = (
        ["restore", "y"],
        ["fix", "y"],
        ["simulate", "y"],
        ["generate", "blackhole"],
        ["exact"],
        ["bench", "quick"],
        ["tune", "--data", "d"],
        ["calibrate", "y"],
    )
    for command in commands:
        more = ["--operator", "o", "--noise", "n"] if command[0] in ("simulate", "tune", "calibrate") else []
        assert arguments.parser().parse_args([*command, *more, "-o", "x", "--yes"]).yes
    assert arguments.parser().parse_args(["train", "denoiser", "x", "-o", "y", "--yes"]).yes
