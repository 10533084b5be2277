"""The XML header of ISMRMRD, which fastMRI's files have, too: matrices, fields of view, limits of the encoding."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from ...errors import DataError

LONGEST = 2**22  # characters of a header; a real one has some thousands


class Header:
    """The header as a tree. Names are compared without their namespaces, whatever prefix a file has for them."""

    def __init__(self, xml: str, origin: str) -> None:
        """`xml` may be empty, which tells nothing. Raises DataError if it is no XML, or has a DTD, which could make a
        small file a large text.
        """
        if len(xml) > LONGEST or "<!DOCTYPE" in xml or "<!ENTITY" in xml:
            raise DataError(f"{origin}: its XML header has entities of its own, or more than {LONGEST} characters")
        try:
            self.root = ET.fromstring(xml) if xml.strip() else ET.Element("nothing")
        except ET.ParseError as e:
            raise DataError(f"{origin}: its XML header cannot be read ({e})") from e
        self.origin = origin

    def encoding(self, number: int) -> "Header":
        """What the header says of one encoding, by number; of the file if it has no such part."""
        found = list(named(self.root, "encoding"))
        part = Header("", self.origin)
        part.root = found[number] if number < len(found) else self.root
        return part

    def text(self, *path: str) -> str | None:
        """The text of the first element reached by `path`, each name anywhere below the one before; None if there is
        none.
        """
        here = [self.root]
        for name in path:
            here = [found for element in here for found in named(element, name)]
        return next(((e.text or "").strip() for e in here), None)

    def number(self, *path: str) -> float | None:
        """The number at `path`; None if there is none. Raises DataError if it is no number."""
        text = self.text(*path)
        try:
            return None if text is None else float(text)
        except ValueError as e:
            raise DataError(f"{self.origin}: {'/'.join(path)} in its header is no number: {text!r}") from e

    def matrix(self, space: str) -> tuple[int, int] | None:
        """The matrix size (x, y) of encodedSpace or reconSpace; None if it is not given."""
        x, y = (self.number(space, "matrixSize", axis) for axis in "xy")
        return None if x is None or y is None else (int(x), int(y))

    def fov(self, space: str, axis: str = "x") -> float | None:
        """The field of view along the readout, or along another `axis` y or z, in mm; None if the header does not tell
        it.
        """
        return self.number(space, "fieldOfView_mm", axis) or None

    def limits(self) -> tuple[int, int] | None:
        """(centre, maximum) of the phase encoding step, counted from 0; None if the header does not tell them."""
        centre, most = (self.number("kspace_encoding_step_1", name) for name in ("center", "maximum"))
        return None if centre is None or most is None else (int(centre), int(most))


def named(element: ET.Element, name: str) -> Iterator[ET.Element]:
    """The elements below `element` with that name, in any namespace."""
    return (e for e in element.iter() if e is not element and str(e.tag).rpartition("}")[2] == name)
