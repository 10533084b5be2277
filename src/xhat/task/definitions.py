"""A fingerprint of the definitions that decide a number: finer than that of modules, for rows that are kept for long.

It covers the functions, classes and constants of the parts, their bases, those that these name, and so on, wherever in
their package they are defined; of each module so reached also what runs when it is imported. A change of another
function beside them changes nothing, nor does that of a method which nothing of all this names: whoever calls it must.
What is found by no name, such as a class among all subclasses of another, must be one of the parts. Modules that
refuse, show and write decide no number and are left out.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import NamedTuple

from .fingerprint import ELSEWHERE, HOME, Code, is_docstring, is_package, modules_of, plain, running

WHOLE = "*"  # stands for all definitions of a module
IMPORTED = ""  # stands for what runs when a module is imported, its definitions aside
BESIDE = tuple(f"{HOME}.{name}" for name in ("checks", "errors", "files", "operators.modality", "ranges", "registry"))
# Methods that say what a run costs or refuse it, before it begins.
BEFORE = {f"{HOME}.exact.problems": ("size", "work"), f"{HOME}.solvers.base": ("mismatch", "lacks")}
OPEN = ("ABC", "Generic", "Module", "Protocol", "object")  # bases elsewhere that call no method but CALLED by its name
CALLED = ("backward", "forward", "needs", "needs_prior")  # what PyTorch calls, and what a refusal asks for


class Definition(NamedTuple):
    """The top-level `name` of a module, a method or field "Class.name" in it, or WHOLE or IMPORTED."""

    module: str
    name: str


class Definitions:
    """The definitions in the modules of `code`, their hashes, and what each of them names."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self._sorted: dict[str, dict[str, list[ast.stmt]]] = {}
        self._links: dict[Definition, set[Definition]] = {}
        self._names: dict[Definition, set[str]] = {}

    def fingerprint(self, *parts: object) -> str:
        """16 hexadecimal digits for all that decides a number which `parts` make."""
        own = [p if isinstance(p, type | FunctionType) else type(p) for p in parts]
        own = [c for p in own for c in (p.__mro__ if isinstance(p, type) else (p,)) if is_written(c)]
        start = {Definition(p.__module__, p.__qualname__.partition(".")[0]) for p in own}
        start |= {Definition(m, WHOLE) for m in modules_of(parts) - {d.module for d in start}}
        sha = hashlib.sha256()
        for found in sorted(self.reached(start)):
            text = "".join(plain(s) for s in self.statements(found.module).get(found.name, ()) if not is_docstring(s))
            sha.update(f"{found.module} {found.name} {text}\n".encode())
        return sha.hexdigest()[:16]

    def reached(self, start: Iterable[Definition]) -> set[Definition]:
        """`start` and all that is named there, directly or not, without what lies beside it.

        Of a class so reached, these are the methods and fields whose name is anywhere in it, and those that need none.
        """
        found: set[Definition] = set()
        named: set[str] = set()
        unnamed: dict[str, set[Definition]] = {}
        waiting = list(start)
        while waiting:
            here = waiting.pop()
            if here in found or not decides(here):
                continue
            found.add(here)
            waiting += self.links(here)
            for member in self.members(here):
                name = member.name.rpartition(".")[2]
                if name in named or name in CALLED or name.startswith("__"):
                    waiting.append(member)
                else:
                    unnamed.setdefault(name, set()).add(member)
            new = self.names(here) - named
            named |= new
            waiting += [member for name in new for member in unnamed.pop(name, ())]
        return found

    def statements(self, module: str) -> dict[str, list[ast.stmt]]:
        """The statements that define each top-level name of a module and each member of its classes, and under IMPORTED
        the other ones but imports.
        """
        if module not in self._sorted:
            out: dict[str, list[ast.stmt]] = {IMPORTED: []}
            self._sorted[module] = out
            tree = self.code.tree(module)
            for statement in tree.body if tree else ():
                if isinstance(statement, ast.ClassDef):
                    for name, part in self.parted(statement, module):
                        out.setdefault(name, []).append(part)
                elif not isinstance(statement, ast.Import | ast.ImportFrom):
                    for name in defined(statement) or [IMPORTED]:
                        out.setdefault(name, []).append(statement)
        return self._sorted[module]

    def parted(self, cls: ast.ClassDef, module: str) -> Iterator[tuple[str, ast.stmt]]:
        """A class without its methods and the fields that have a default, under its name, and each of these.

        A class stays whole if a base of another package may call its methods or look through them.
        """
        before = BEFORE.get(module, ())
        body = [m for m in cls.body if not (isinstance(m, ast.FunctionDef) and m.name in before)]
        apart = [m for m in body if self.is_open(cls, module) and is_member(m)]
        kept = [m for m in body if m not in apart]
        yield cls.name, ast.ClassDef(**{**dict(ast.iter_fields(cls)), "body": kept})
        for member in apart:
            for name in defined(member):
                yield f"{cls.name}.{name}", member

    def is_open(self, cls: ast.ClassDef, module: str) -> bool:
        """Whether all bases of a class are of this package or call no method by themselves."""
        tree = self.code.tree(module)
        here = {s.name for s in tree.body if isinstance(s, ast.ClassDef)} if tree else set()
        known = here | {name for name, found in self.imported(module).items() if found}
        bases = [b.value if isinstance(b, ast.Subscript) else b for b in cls.bases]
        names = [
            b.attr if isinstance(b, ast.Attribute) else b.id for b in bases if isinstance(b, ast.Attribute | ast.Name)
        ]
        return len(names) == len(bases) and all(name in known or name in OPEN for name in names)

    def members(self, found: Definition) -> list[Definition]:
        """The methods and fields of a class that stand for themselves."""
        ours = self.statements(found.module) if found.name not in (WHOLE, IMPORTED) else {}
        return [Definition(found.module, name) for name in ours if name.startswith(f"{found.name}.")]

    def names(self, found: Definition) -> set[str]:
        """All that could be the name of a method or field in a definition."""
        if found not in self._names:
            text = self.statements(found.module).get(found.name, ())
            self._names[found] = {name for statement in text for node in ast.walk(statement) for name in named_by(node)}
        return self._names[found]

    def links(self, found: Definition) -> set[Definition]:
        """What a definition names: in its own module, and in others of its package."""
        if found not in self._links:
            here, imported = self.statements(found.module), self.imported(found.module)
            out = {Definition(found.module, IMPORTED)}
            if "." in found.name:
                out.add(Definition(found.module, found.name.partition(".")[0]))
            if found.name == WHOLE:
                out |= {Definition(found.module, name) for name in here} | {d for ds in imported.values() for d in ds}
            for statement in here.get(found.name, ()):
                for node in (statement, *running(statement)):
                    if isinstance(node, ast.Name):
                        out |= {Definition(found.module, node.id)} if node.id in here else imported.get(node.id, set())
                    if isinstance(node, ast.Import | ast.ImportFrom):  # inside a function or a condition
                        out |= {d for ds in self.named(node, found.module).values() for d in ds}
            self._links[found] = out - {found}
        return self._links[found]

    def imported(self, module: str) -> dict[str, set[Definition]]:
        """What each name that a module imports stands for."""
        tree = self.code.tree(module)
        found = [s for s in tree.body if isinstance(s, ast.Import | ast.ImportFrom)] if tree else []
        return {name: ds for s in found for name, ds in self.named(s, module).items()}

    def named(self, statement: ast.Import | ast.ImportFrom, module: str) -> dict[str, set[Definition]]:
        """What each name that an import statement in `module` introduces stands for, where that is of the package."""
        if isinstance(statement, ast.Import):
            top = module.partition(".")[0]
            ours = [a for a in statement.names if a.name.startswith(f"{top}.") and self.code.tree(a.name)]
            return {(a.asname or a.name).partition(".")[0]: {Definition(a.name, WHOLE)} for a in ours}
        base = self.code.base(statement, module)
        if base is None:
            return {}
        return {a.asname or a.name: set(self.owners(base, a.name)) for a in statement.names}

    def owners(self, base: str, wanted: str) -> Iterator[Definition]:
        """Where `wanted`, imported from `base`, is defined. A package's tables of its parts lead nowhere: the part that
        is used is known by itself.
        """
        inner = f"{base}.{wanted}"
        if self.code.tree(inner) is not None:
            if not is_package(inner):
                yield Definition(inner, WHOLE)
        elif wanted in (here := self.statements(base)):
            if not is_package(base) or isinstance(here[wanted][0], ast.FunctionDef | ast.ClassDef):
                yield Definition(base, wanted)
        else:
            yield from self.imported(base).get(wanted, ())


def decides(found: Definition) -> bool:
    """Whether a definition may decide a number: it lies in none of the modules of `BESIDE`."""
    return not f"{found.module}.".startswith(tuple(f"{m}." for m in BESIDE))


def is_written(part: type | FunctionType) -> bool:
    """Whether a class or function is not of a library whose version a row states."""
    return (part.__module__ or "__main__").partition(".")[0] not in ELSEWHERE


def is_member(statement: ast.stmt) -> bool:
    """Whether a statement of a class defines what somebody must name: a method, or a field that has a default."""
    return bool(defined(statement)) and not (isinstance(statement, ast.AnnAssign) and statement.value is None)


def named_by(node: ast.AST) -> Iterator[str]:
    """What a node could call a method or a field by: an attribute, a keyword, or a text that is a name."""
    if isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
        yield node.value
    elif isinstance(node, ast.MatchClass):
        yield from node.kwd_attrs


def defined(statement: ast.stmt) -> list[str]:
    """The names that a top-level statement defines and does nothing besides."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
    flat = [t for target in targets for t in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [t.id for t in flat if isinstance(t, ast.Name)] if all(isinstance(t, ast.Name) for t in flat) else []
