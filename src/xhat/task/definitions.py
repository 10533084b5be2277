"""A fingerprint of the definitions that decide a number: finer than that of modules, for rows that are kept for long.

It covers the functions, classes and constants of the parts, their bases, those that these name, and so on, wherever in
their package they are defined; of each module so reached also what runs when it is imported. A change of another
function beside them changes nothing. What is found by no name, such as a class among all subclasses of another, must be
one of the parts. Modules that refuse, show and write decide no number and are left out.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import NamedTuple

from .fingerprint import ELSEWHERE, HOME, Code, closure, is_docstring, is_package, modules_of, plain, running

WHOLE = "*"  # stands for all definitions of a module
IMPORTED = ""  # stands for what runs when a module is imported, its definitions aside
BESIDE = tuple(f"{HOME}.{name}" for name in ("checks", "errors", "files", "operators.modality", "ranges", "registry"))
COSTS = {f"{HOME}.exact.problems": ("size", "work")}  # methods that say what a run costs, before it begins


class Definition(NamedTuple):
    """The top-level `name` of a module, or WHOLE or IMPORTED."""

    module: str
    name: str


class Definitions:
    """The definitions in the modules of `code`, their hashes, and what each of them names."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self._sorted: dict[str, dict[str, list[ast.stmt]]] = {}
        self._links: dict[Definition, set[Definition]] = {}

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
        """`start` and all that is named there, directly or not, without what lies beside it."""
        return closure(filter(decides, start), lambda found: filter(decides, self.links(found)))

    def statements(self, module: str) -> dict[str, list[ast.stmt]]:
        """The statements that define each top-level name of a module, and under IMPORTED the other ones but imports."""
        if module not in self._sorted:
            out: dict[str, list[ast.stmt]] = {IMPORTED: []}
            tree = self.code.tree(module)
            for statement in tree.body if tree else ():
                if not isinstance(statement, ast.Import | ast.ImportFrom):
                    if isinstance(statement, ast.ClassDef):
                        cost = COSTS.get(module, ())
                        body = [m for m in statement.body if not (isinstance(m, ast.FunctionDef) and m.name in cost)]
                        statement = ast.ClassDef(**{**dict(ast.iter_fields(statement)), "body": body})
                    for name in defined(statement) or [IMPORTED]:
                        out.setdefault(name, []).append(statement)
            self._sorted[module] = out
        return self._sorted[module]

    def links(self, found: Definition) -> set[Definition]:
        """What a definition names: in its own module, and in others of its package."""
        if found not in self._links:
            here, imported = self.statements(found.module), self.imported(found.module)
            out = {Definition(found.module, IMPORTED)}
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


def defined(statement: ast.stmt) -> list[str]:
    """The names that a top-level statement defines and does nothing besides."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
    flat = [t for target in targets for t in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [t.id for t in flat if isinstance(t, ast.Name)] if all(isinstance(t, ast.Name) for t in flat) else []
