"""Bad input ends in one clear line: a part of the cases of tests/fuzz, which `make fuzz` runs as a whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz import judge
from fuzz.sandbox import Outcome
from xhat.notes import one_line

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_bad_input_ends_in_one_line_and_leaves_nothing() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("cases run in forked processes")
    command = [sys.executable, "-m", "tests.fuzz", "--part"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr[-2000:]}"


def outcome(code: int | None = 2, err: str = "xhat: y.png: no such file\n", left: tuple[str, ...] = ()) -> Outcome:
    return Outcome(code, "", err, left, (), 0.1, 0.1, 100.0)


@pytest.mark.parametrize(
    ("kind", "ended"),
    [
        ("traceback", outcome(1, "Traceback (most recent call last):\nTypeError: y.png\n")),
        ("signal", outcome(-7, "")),
        ("hang", outcome(None, "")),
        ("half-written", outcome(left=("out", "out/a.json"))),
        ("lines", outcome(err="xhat: y.png\nxhat: again\n")),
        ("lines", outcome(err="y.png: no\n")),
        ("long", outcome(err="xhat: y.png " + "a" * 1000)),
        ("exit code", outcome(3)),
        ("unnamed", outcome(err="xhat: something is wrong\n")),
        ("wrongly accepted", outcome(0, "")),
    ],
)
def test_the_judge_sees_each_kind_of_fault(kind: str, ended: Outcome) -> None:
    assert list(judge.faults(ended, ["y.png"], refused=True)) == [kind]


def test_the_judge_lets_a_clear_refusal_and_a_success_pass() -> None:
    assert not judge.faults(outcome(), ["y.png"], refused=True)
    assert not judge.faults(outcome(0, "xhat: note: guessed\n", ("out", "out/a.png")), ["y.png"], refused=False)


def test_a_message_is_one_line_that_a_terminal_does_not_obey() -> None:
    text = one_line("a\nb\x1b[31m " + "c" * 5000 + " the end")
    assert "\n" not in text
    assert "\x1b" not in text
    assert len(text) < judge.LONGEST
    assert text.endswith("the end")
