"""Puts the payload, the style and the scripts into one HTML file that makes no request to any server."""

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCRIPTS = ("table.js", "plots.js", "viewer.js", "page.js")


def page(content: Mapping[str, Any]) -> str:
    """The whole page. A policy in it forbids the browser every request."""
    text = (HERE / "page.html").read_text(encoding="utf-8")
    data = json.dumps(content, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    parts = {
        "TITLE": html.escape(str(content["title"])),
        "STYLE": (HERE / "page.css").read_text(encoding="utf-8"),
        "SCRIPT": "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS),
        "DATA": data,
    }
    # In one pass, so that nothing in a title or in the data is taken for a placeholder.
    return re.sub("@@([A-Z]+)@@", lambda found: parts[found[1]], text)
