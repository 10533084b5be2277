"""What is wrong with how a case ended: nothing, or a list of words and what they are about."""

import re
from collections.abc import Collection

from .sandbox import Outcome

LONGEST = 900  # letters of a message; more is not read
SEVERAL = re.compile(r"xhat: \d+ of \d+ failed:")
MOST = 3000  # MB at the peak
KINDS = (
    "traceback", "signal", "hang", "half-written", "changed", "lines", "long", "exit code", "unnamed", "warning",
    "wrongly accepted", "memory",
)  # fmt: skip


def faults(ended: Outcome, culprits: Collection[str], refused: bool) -> dict[str, str]:
    """The faults of an outcome by kind.

    A case either ends with 0, unless it has to be `refused`, or with 2 and one line that begins with `xhat: ` and
    contains one of `culprits`, the names of what is wrong; nothing is written then. Notes, one line each, may precede.
    """
    lines = [line for line in ended.err.splitlines() if line.strip() and not line.startswith("xhat: note: ")]
    found: dict[str, str] = {}
    if ended.code is None:
        return {"hang": f"{ended.seconds:.0f} s"}
    if "Traceback (most recent call last)" in ended.err:
        found["traceback"] = lines[-1]
    elif ended.code < 0:
        found["signal"] = str(-ended.code)
    elif ended.code == 0:
        if refused:
            found["wrongly accepted"] = ended.out.strip()[-200:]
        if strange := [line for line in lines if "Warning" in line or line.startswith("xhat: error")]:
            found["warning"] = strange[0]
        if unfinished := [p for p in ended.left if "/.xhat" in f"/{p}"]:
            found["half-written"] = ", ".join(unfinished)
    elif ended.code == 2:
        if len(lines) != 1 or not lines[0].startswith("xhat: "):
            found["lines"] = f"{len(lines)}: {lines[0] if lines else ''}"
        if len(lines) and len(lines[-1]) > LONGEST:
            found["long"] = f"{len(lines[-1])} letters"
        text = " ".join(ended.err.split()).lower()
        if culprits and not any(" ".join(c.split()).lower() in text for c in culprits):
            found["unnamed"] = f"none of {list(culprits)} in: {text}"
        if ended.left:
            found["half-written"] = ", ".join(ended.left[:4])
    elif ended.code == 1 and lines and SEVERAL.match(lines[0]):
        pass  # of several measurements some were restored
    else:
        found["exit code"] = f"{ended.code}: {lines[-1] if lines else ''}"
    if ended.changed:
        found["changed"] = ", ".join(ended.changed[:4])
    if ended.megabytes > MOST:
        found["memory"] = f"{ended.megabytes:.0f} MB"
    return found
