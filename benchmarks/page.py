"""Generated tables in hand-written pages: what stands between `<!-- NAME -->` and `<!-- end -->`."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def fill(page: Path, name: str, body: str) -> None:
    """Writes `body` into the place `name` of `page`; AssertionError where there is not exactly one."""
    pattern = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.S)
    text, n = pattern.subn(lambda m: f"{m[1]}{body.strip()}\n{m[2]}", page.read_text(encoding="utf-8"))
    assert n == 1, f"{page} has {n} places for the table {name!r}"
    page.write_text(text, encoding="utf-8")


def table_of(page: Path, name: str) -> str:
    """What stands in the place `name` of `page`."""
    _, _, rest = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    body, _, _ = rest.partition("<!-- end -->")
    return body.strip()
