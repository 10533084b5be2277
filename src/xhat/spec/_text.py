"""Spec strings as text: from `name:key=value,…` to a name and options, and back."""

import re
from ast import literal_eval
from collections.abc import Container, Iterator, Mapping
from typing import Any, NamedTuple

from ..checks import instance
from ..errors import SpecError

# `package.module:Class` or `module:Class`, alone or followed by options. What follows the name in `name:key=value` is
# never a lone word; a word in small letters after a name without dots is a mistyped option.
IMPORTED = re.compile(r"((?:[A-Za-z_]\w*(?:\.\w+)+:[A-Za-z_]\w*|[A-Za-z_]\w*:[A-Z]\w*))(?::(.*))?", re.DOTALL)

SMALL = "a name in small letters needs a package before it, package.module:name"


class Spec(NamedTuple):
    """The name of a part and its options: what a spec string says, as a value.

    `Spec.parse("dps:zeta=0.5").with_(steps=20)` is written `dps:zeta=0.5,steps=20`.
    """

    name: str
    options: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> "Spec":
        """The value of a spec string; see `parse`."""
        return parse(text)

    def with_(self, **options: Any) -> "Spec":
        """The same part with other values for `options`, or with more of them."""
        return Spec(self.name, {**self.options, **options})

    @property
    def imported(self) -> bool:
        """Whether the name is `package.module:Class`, which imports code that is not registered."""
        return ":" in self.name

    def __str__(self) -> str:
        """The spec string, which `Spec.parse` reads back as this value."""
        options = ",".join(f"{k}={text_of(v)}" for k, v in self.options.items())
        return f"{self.name}:{options}" if options else self.name


def names_code(content: Any) -> str | None:
    """The first thing that would run code in what a file says, a spec string or lists and tables of them; None if none.

    That is `package.module:Class`, which imports a module, and the option `trust`, which lets a program run. Only the
    command line and Python may ask for that, never a file.
    """
    for key, said in walk(content):
        if key == "trust":
            return key
        if isinstance(said, str) and (found := IMPORTED.fullmatch(said)):
            return found[1]
    return None


def walk(content: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every option and its value in spec strings, or in lists and tables of them, however deep they lie.

    What no option names comes with an empty key: `content` itself, items of lists, the parts of `A @ B`.
    """
    yield key, content
    if isinstance(content, Mapping):
        for name, item in content.items():
            yield from walk(item, name)
    elif isinstance(content, list | tuple):
        for item in content:
            yield from walk(item)
    elif isinstance(content, str):
        # ` @ ` composes operators and is plain text elsewhere, so that a text is read both as a whole and in parts
        for text in {part.strip(): None for part in (content, *content.split(" @ "))}:
            yield "", text
            if text[:1] + text[-1:] == "()":
                yield from walk(text[1:-1])
            if "=" in text:
                for name, _, given in (item.partition("=") for item in split(text.partition(":")[2])):
                    yield from walk(value(given.strip()), name.strip())


def without_code(content: Any, origin: object) -> Any:
    """`content`, which a file says. Raises SpecError if it names code to import."""
    if found := names_code(content):
        raise SpecError(
            f"{origin}: {found} would run code, which no file may ask for; give it on the command line or in "
            "Python, or install it as a plug-in"
        )
    return content


def parse(spec: str, registered: Container[str] = ()) -> Spec:
    """Name and options of a spec string; only the first colon separates, so `mask=C:/a.png` is an option.

    Commas inside brackets or quotes separate no options. Of `package.module:Class:key=value` the name is
    `package.module:Class`. Raises SpecError for what is no option; unless the name is `registered`, it may have been
    meant as the name of a part in a module.
    """
    found = IMPORTED.fullmatch(instance("a spec", spec, str, "text, name:key=value").strip())
    name, rest = (found[1], found[2] or "") if found else spec.partition(":")[::2]
    options: dict[str, Any] = {}
    for item in split(rest) if rest else ():
        key, eq, text = (part.strip() for part in item.partition("="))
        if not eq or not key or ":" in key:
            meant = not options and name not in registered and re.fullmatch(r"[a-z_]\w*(:.*)?", item, re.DOTALL)
            raise SpecError(f"{spec!r}: expected key=value, found {item!r}{f'; {SMALL}' if meant else ''}")
        if key in options:
            raise SpecError(f"{spec!r}: option {key} is given twice")
        options[key] = value(text)
    return Spec(name.strip(), options)


def factors(text: str) -> list[str]:
    """The spec strings of `A @ B @ C`, the one that sees the image last. The spaces around @ belong to it, and an @
    inside brackets or quotes belongs to the part that they are in.
    """
    return [part.strip() for part in split(text, " @ ")]


def split(text: str, at: str = ",") -> Iterator[str]:
    """The parts of `text` between commas, or what else `at` says, that stand outside brackets and quotes."""
    depth, quote, start = 0, "", 0
    for i, c in enumerate(text):
        if quote:
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c if text[i - 1 : i] in ("=", "[", "(", ",", " ") else ""  # elsewhere it is an apostrophe
        elif c in "([":
            depth += 1
        elif c in ")]":
            depth = max(0, depth - 1)
        elif not depth and i >= start and text.startswith(at, i):
            yield text[start:i]
            start = i + len(at)
    yield text[start:]


def value(text: str) -> Any:
    """A Python literal where the text is one, `true`, `false` and `none` included, else the text itself."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def text_of(v: Any) -> str:
    """The shortest text that `value` reads back as `v`."""
    if isinstance(v, bool) or v is None:
        return str(v).lower()
    if isinstance(v, float) and v.is_integer() and abs(v) < 1e15:
        return str(int(v))  # 80.0 and 80 are one key
    if isinstance(v, tuple | list):
        return f"[{','.join(text_of(item) if not isinstance(item, str) else repr(item) for item in v)}]"
    text = str(v)
    plain = value(text) == text and text == text.strip() and not set(text) & set(",()[]'\"=")
    return text if not isinstance(v, str) or plain else repr(v)


def short(spec: str) -> str:
    """`spec` for people: of a list that is longer than a few numbers, its first entries and an ellipsis."""
    return re.sub(r"\[([^,\[\]]*,[^,\[\]]*),[^\[\]]{24,}\]", r"[\1,…]", spec)
