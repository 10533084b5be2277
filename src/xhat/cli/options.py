"""`--prior-config`: options of a prior, written out or in a TOML or JSON file."""

import json
import tomllib
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..files.room import text_of
from ..spec import parse, without_code


def read_options(text: str) -> dict[str, Any]:
    """The options in `text`, which is `key=value,key=value` or the path of a .toml or .json file with the same content.

    Raises DataError if the file cannot be read, and SpecError if the text cannot.
    """
    file = Path(text).expanduser()
    if file.suffix.lower() not in (".toml", ".json"):
        return dict(parse(f"prior:{text}").options)
    try:
        raw = text_of(file)
        content = json.loads(raw) if file.suffix.lower() == ".json" else tomllib.loads(raw)
    except (OSError, ValueError, RecursionError) as e:
        raise DataError(f"{file} cannot be read as {file.suffix[1:].upper()}: {e}") from e
    if not isinstance(content, dict) or any(isinstance(v, dict) for v in content.values()):
        raise DataError(f"{file} does not hold plain options, key = value")
    return dict(without_code(content, file))
