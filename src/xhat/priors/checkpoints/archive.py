"""What a TorchScript archive holds, told by its listing and its text: nothing in it is loaded, unpickled or run."""

import pickletools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...errors import DataError

# What the code of an archive must not hold. The words count wherever they stand, in text and comments, too, so that no
# spelling hides them; `getattr` could spell a name piece by piece, so that it takes one plain word only.
FORBIDDEN: Mapping[str, re.Pattern[str]] = {
    "reads and writes any file (from_file)": re.compile(r"\bfrom_file\b"),
    "writes files (save)": re.compile(r"\bsave\b"),
    "runs while it is loaded (__setstate__)": re.compile(r"\b__setstate__\b"),
    "runs while it is saved (__getstate__)": re.compile(r"\b__getstate__\b"),
    "uses compiled classes (torch.classes)": re.compile(r"torch\s*\.\s*classes\b|\"classes\""),
    "uses operators beyond those of tensors (ops)": re.compile(r"(?<![\w.])ops\b(?!\.(?:aten|prim)\.\w)"),
    "spells a name in pieces (getattr)": re.compile(r"\bgetattr\b(?!\([\w.()]+, \"[^\"\\]*\"\))"),
}


@dataclass(frozen=True)
class Archive:
    """The listing of an archive, the text of its code by name, and the classes that its pickles name."""

    file: Path
    listing: tuple[str, ...]
    code: Mapping[str, str]
    classes: tuple[str, ...]

    @property
    def inputs(self) -> int | None:
        """The number of arguments of the program, as its code declares them; None if that is not clear."""
        module, _, name = (self.classes or ("",))[0].rpartition(".")
        text = self.code.get(f"code/{module.replace('.', '/')}.py", "")
        found = re.search(rf"^class {re.escape(name)}\(.*?^  def forward\((.*?)\) -> ", text, re.DOTALL | re.MULTILINE)
        return None if found is None else len(re.findall(r"\w+\s*:", found[1])) - 1  # the first is self

    def check(self) -> None:
        """Raises DataError, which says why, if the program may not be loaded even by those who trust it."""
        for name, text in self.code.items():
            for why, pattern in FORBIDDEN.items():
                if pattern.search(text):
                    raise DataError(f"{self.file} was not loaded, trusted or not: its {name} {why}")
        if found := next((c for c in self.classes if c.startswith("__torch__.torch.classes")), None):
            raise DataError(f"{self.file} was not loaded, trusted or not: it holds an object of the compiled {found}")


def read_archive(file: Path) -> Archive:
    """The archive in `file`. Raises DataError if it cannot be read.

    It is read by the reader of torch.jit.load, so that what is looked at is what would be loaded: other readers of zip
    files take other entries where a file has several of one name.
    """
    try:
        reader: Any = torch._C.PyTorchFileReader(str(file))
        listing = tuple(reader.get_all_records())
        code: dict[str, str] = {}
        classes: list[str] = []
        for name in listing:
            plain = name.replace("\\", "/").casefold()
            if plain.startswith("code/") and plain.endswith(".py"):
                code[name] = reader.get_record(name).decode("utf-8", "replace")
            elif plain.endswith(".pkl") and not plain.startswith("code/"):
                operations = pickletools.genops(reader.get_record(name))
                found = [str(arg).replace(" ", ".") for op, arg, _ in operations if op.name == "GLOBAL"]
                classes[:0] = found if plain == "data.pkl" else []
                classes += [] if plain == "data.pkl" else found
    except Exception as e:  # a damaged archive fails in any way it likes
        raise DataError(f"{file} cannot be read as TorchScript: {' '.join(str(e).split())[:200]}") from e
    return Archive(file, listing, code, tuple(classes))
