"""What the name of a set of weights says: whether it is an average over the training (EMA) or the last weights."""

import re
from collections.abc import Sequence

AVERAGED = {"ema", "avg", "average", "averaged", "averager", "ma", "polyak", "shadow", "smoothed", "swa", "target"}
RAW = {"backup", "collected", "current", "noema", "nonema", "online", "raw"}
NOT = {"no", "non", "not", "without"}


def says(place: Sequence[str], counted: bool = False) -> bool | None:
    """Whether the place says that what lies there is averaged (True) or raw (False); the innermost word decides.

    Without a word, a counter of averages beside it (`counted`) says that it is averaged.
    """
    for component in reversed(place):
        words = words_in(component)
        if not RAW.isdisjoint(words) or (not AVERAGED.isdisjoint(words) and not NOT.isdisjoint(words)):
            return False
        if not AVERAGED.isdisjoint(words):
            return True
    return True if counted else None


def words_in(text: str) -> list[str]:
    """The words of a name, in lower case: `emaModel_2` has ema, model and 2."""
    return [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", text)]
