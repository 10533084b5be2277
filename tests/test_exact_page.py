"""The page of verdicts is of the rows beside it, of one code, and says so where the rows are stale."""

import tomllib

import pytest
from benchmarks import calibration_page, exact_page
from benchmarks.exact_page import HERE, PAGE, current, how_made, samplers
from benchmarks.exact_run import FILE

from xhat.exact.cell import FLOOR, made
from xhat.exact.run import Results
from xhat.exact.sbc import REFERENCE, key, tables
from xhat.exact.verdict import WORST
from xhat.files.rows import Rows
from xhat.solvers import SOLVERS

REASONS = tomllib.loads((HERE / "exact_reasons.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rows():
    return [row for row in Results(FILE).rows.values() if current(row)]


def test_every_sampler_has_a_reason():
    """A plug-in's own need none; those of the package that train a network for each sample are in no grid."""
    assert {s.partition(":")[0] for s in samplers()} - {*REASONS} <= {*SOLVERS} - {*SOLVERS.own}
    assert {*REASONS} <= {FLOOR, *SOLVERS}


def test_the_rows_of_the_page_are_of_one_code(rows):
    """Of two codes at least one would have been stale when the page was written; so with versions and processors."""
    codes, kinds = {}, set()
    for row in rows:
        codes.setdefault((row["problem"], row["solver"]), set()).add(row["made"]["code"])
        kinds.add(tuple(sorted((k, v) for k, v in row["made"].items() if k != "code")))
    assert {k: c for k, c in codes.items() if len(c) > 1} == {}
    assert len(kinds) == 1


def test_the_tables_are_those_of_the_rows(rows):
    page = PAGE.read_text(encoding="utf-8")
    shown = {
        "verdicts": exact_page.verdicts(rows, REASONS),
        "elsewhere": exact_page.elsewhere(rows, REASONS),
        "points": exact_page.points(rows),
        "budgets": exact_page.budgets(rows),
        "limit": exact_page.limit(rows),
        "rates": exact_page.rates_table(rows),
        "all": exact_page.everything(rows),
    }
    for name, body in shown.items():
        assert page.partition(f"<!-- {name} -->\n")[2].partition("\n<!-- end -->")[0] == body.strip(), name
    for spec in samplers():
        assert f"`{spec}`" in page, spec
    assert f"{len(rows):,} rows by" in page


def test_the_page_says_how_many_rows_are_stale(rows):
    row = rows[0]
    fresh = row | {"made": made(row["problem"], row["solver"])}
    assert "None of them was stale" in how_made([fresh])
    assert "**1 of them is stale**" in how_made([fresh, fresh | {"made": fresh["made"] | {"code": "0" * 16}}])


def test_the_page_of_calibration_is_of_its_rows_and_the_reference_is_uniform():
    rows = list(Rows(calibration_page.FILE, key).rows.values())
    text = calibration_page.PAGE.read_text(encoding="utf-8")
    assert "\n".join(tables(rows)).strip() in text
    for label in (FLOOR, REFERENCE):
        found = [r["scores"] for r in rows if r["label"] == label]
        assert found
        assert all(s["p"] * len(scores) > WORST for scores in found for s in scores.values())
    assert "none of them stale" in calibration_page.how_made([])
    assert "**1 of them stale**" in calibration_page.how_made([rows[0] | {"made": {}}])


@pytest.mark.slow
def test_no_row_is_stale(rows):
    """Skipped, with their number, once they are: a later change of the code is no fault, and the page says its own."""
    if stale := sum(r["made"] != made(r["problem"], r["solver"]) for r in rows):
        pytest.skip(f"{stale} of {len(rows)} rows are of other code: python -m benchmarks.exact_run")
