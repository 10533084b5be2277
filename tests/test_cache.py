"""Laws of the cache: what is there is not computed again, and nothing that happens to it changes a result."""

import torch

from xhat.files.cache import cached


class Counted:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(self.calls)}


def test_each_key_is_computed_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XHAT_CACHE", str(tmp_path))
    make = Counted()
    first, again = cached("x", "key", make), cached("x", "key", make)
    assert make.calls == 1
    assert first.keys() == again.keys()
    assert all(torch.equal(first[k], again[k]) and first[k].dtype == again[k].dtype for k in first)
    cached("x", "other key", make)
    cached("y", "key", make)
    assert make.calls == 3


def test_a_spoilt_file_is_computed_again_and_mended(tmp_path, monkeypatch):
    monkeypatch.setenv("XHAT_CACHE", str(tmp_path))
    make = Counted()
    cached("x", "key", make)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:20])
    assert int(cached("x", "key", make)["b"]) == 2
    assert int(cached("x", "key", make)["b"]) == 2


def test_a_cache_that_cannot_be_written_changes_no_result(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XHAT_CACHE", str(tmp_path / "file"))
    make = Counted()
    assert [int(cached("x", "key", make)["b"]) for _ in range(2)] == [1, 2]
