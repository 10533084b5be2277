"""Laws of the store of records: whole lines only, the last record of a key wins, one process holds a claim."""

import json

import pytest

from xhat.errors import DataError
from xhat.files.rows import Rows, claim, flat

key = lambda row: row["key"]


def test_what_is_added_is_read_again_and_the_last_record_of_a_key_wins(tmp_path):
    rows = Rows(tmp_path / "new" / "r.jsonl", key)
    rows.add({"key": 1, "n": 1}, {"key": 2, "n": float("nan")})
    rows.add({"key": 1, "n": 3})
    again = Rows(rows.path, key)
    assert again.rows == {1: {"key": 1, "n": 3}, 2: {"key": 2, "n": None}}
    assert again.broken == 0


def test_a_line_cut_off_by_a_crash_harms_no_other(tmp_path):
    rows = Rows(tmp_path / "r.jsonl", key)
    rows.add({"key": 1})
    whole = rows.path.read_bytes()
    rows.path.write_bytes(whole + b'{"key": 2, "n')
    later = Rows(rows.path, key)
    assert later.rows.keys() == {1}
    later.add({"key": 3})
    found = Rows(rows.path, key)
    assert found.rows.keys() == {1, 3}
    assert found.broken == 1
    assert found.path.read_bytes().startswith(whole)


def test_lines_that_are_no_records_are_counted(tmp_path):
    (tmp_path / "r.jsonl").write_text('[1]\n{"other": 2}\nnot json\n\n{"key": 4}\n')
    rows = Rows(tmp_path / "r.jsonl", key)
    assert (rows.rows.keys(), rows.broken) == ({4}, 3)


def test_two_readers_see_what_the_other_adds(tmp_path):
    a, b = (Rows(tmp_path / "r.jsonl", key) for _ in range(2))
    a.add({"key": 1})
    assert not b.rows
    b.refresh()
    b.refresh()
    assert (b.rows.keys(), b.broken) == ({1}, 0)


def test_missing_are_those_without_a_record_and_those_that_failed(tmp_path):
    rows = Rows(tmp_path / "r.jsonl", key)
    rows.add({"key": 1, "status": "ok"}, {"key": 2, "status": "error"}, {"key": 3})
    assert rows.missing([1, 2, 3, 4]) == {2, 4}


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be used"):
        Rows(tmp_path, key)


def test_one_claim_at_a_time(tmp_path):
    pytest.importorskip("fcntl")
    with claim(tmp_path / "c") as first, claim(tmp_path / "c") as second:
        assert (first, second) == (True, False)
    with claim(tmp_path / "c") as third:
        assert third
    assert not (tmp_path / "c").exists()


def test_flat_rows_keep_the_names_within():
    assert flat({"a": 1, "m": {"psnr": 2}, "n": None}, ["m", "n"]) == {"a": 1, "psnr": 2}
    assert json.dumps(flat({"a": {"b": 1}}, [])) == '{"a": {"b": 1}}'
