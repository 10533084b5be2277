"""The tables of `benchmarks.simple`, and the score of `benchmarks.phase`."""

import pytest
import torch
from benchmarks import simple_rows
from benchmarks.phase import up_to_symmetries
from benchmarks.simple import FEW, LMAPS, MANY, best, gains, over, paired
from benchmarks.simple_rows import Table

from xhat.numerics.calls import Calls
from xhat.solvers import SOLVERS
from xhat.spec import build


def rows(**psnr):
    return [{"picture": name, "psnr": value} for name, value in psnr.items()]


def test_differences_are_of_the_pictures_that_both_have():
    assert paired(rows(a=30.0, b=20.0, c=10.0), rows(c=9.0, a=28.0)) == [2.0, 1.0]
    assert over(rows(a=30.0, b=20.0), rows(a=28.0)) == "–"  # one difference has no interval
    assert over(rows(a=30.0, b=20.0), rows(a=28.0, b=18.0)) == "+2.00 ± 0.00"


def test_the_best_rival_is_the_one_over_which_least_is_gained_not_the_one_with_the_easiest_pictures():
    other, easy = MANY[1], FEW[0]
    found = {LMAPS: rows(a=30.0, b=20.0), other: rows(a=29.5, b=19.5), easy: rows(a=29.0)}
    assert best(found, (other, easy)) == other
    failed = found | {easy: rows(a=None)}
    assert best(failed, (easy,)) is None


def test_a_row_counts_under_the_weights_that_made_it(tmp_path, monkeypatch):
    monkeypatch.setattr(simple_rows, "METRICS", {"psnr": simple_rows.psnr})
    truth = torch.zeros(2, 3, 8, 8)
    truth[1] = 0.5
    table = Table(tmp_path / "rows.jsonl", truth)
    for method in (LMAPS, simple_rows.MEASURED):
        table.add("box", method, "code", [0, 1], truth + 0.1, (Calls(forwards=40), 2.0))
    assert [r["forwards"] for r in table.of("box", LMAPS)] == [20, 20]
    assert table.missing("box", LMAPS, "code", 2) == []
    assert table.missing("box", LMAPS, "other code", 2) == [0, 1]
    table.weights = "other"
    assert table.of("box", LMAPS) == []
    assert len(table.of("box", simple_rows.MEASURED)) == 2  # a measurement hangs on no prior


def test_every_method_of_the_page_is_a_solver():
    assert len({type(build(spec, SOLVERS)) for spec in (*MANY, *FEW)}) == len(MANY) + len(FEW)


def test_a_page_needs_no_solver_that_takes_all_tasks():
    lines = gains(
        {
            "box": {name: [] for name in ("the measurement", "a library's call", "one call of the prior")}
            | {name: rows(a=1.0, b=2.0) if name == LMAPS else [] for name in (*MANY, *FEW)}
        }
    )
    assert lines[-1].endswith("| – |")


@pytest.mark.parametrize("turned", [False, True])
def test_an_image_that_is_turned_or_moved_scores_as_itself(turned):
    """Exact but for the rounding of the Fourier transform in single precision: 60 dB is an error of a thousandth."""
    inside = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    truth = torch.nn.functional.pad(inside, [8, 8, 8, 8], value=-1.0)
    moved = truth.roll((3, -5), (-2, -1))
    moved = moved.flip((-2, -1)) if turned else moved
    other = torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(1))
    same, another = up_to_symmetries(torch.stack([moved, other]), truth, 12)
    assert same > 60
    assert another < 20
