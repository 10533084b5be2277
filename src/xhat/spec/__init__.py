"""Spec strings, `name:key=value,…`: at once command-line argument, benchmark key and record."""

from ..ranges import parameters
from ._build import build, build_as, cast, checked, fits, lookup
from ._describe import called, spec_of, written
from ._needed import needed
from ._own import own
from ._text import SMALL, Spec, factors, names_code, parse, short, split, text_of, value, walk, without_code

__all__ = [
    "SMALL",
    "Spec",
    "build",
    "build_as",
    "called",
    "cast",
    "checked",
    "factors",
    "fits",
    "lookup",
    "names_code",
    "needed",
    "own",
    "parameters",
    "parse",
    "short",
    "spec_of",
    "split",
    "text_of",
    "value",
    "walk",
    "without_code",
    "written",
]
