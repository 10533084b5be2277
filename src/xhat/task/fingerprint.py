"""A fingerprint of the code that decides a run: it changes with a formula, not with a docstring, comment or annotation,
and not with how a part is shown.

It covers the modules of the parts of the run (solver, operator, noise, prior, schedule, metrics), the loop and the
runner, and all that these import inside their own package. A package's `__init__` only joins names, so an import of a
name from it leads to the module that defines the name, and not to everything else that the package lists.
"""

import ast
import hashlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import FunctionType
from typing import TypeVar

from torch import nn

from ..registry import Builder, Given

T = TypeVar("T")
HOME = __name__.partition(".")[0]
RUNNER = tuple(f"{HOME}.{name}" for name in ("loop", "likelihoods", "task.run", "task.results"))
ELSEWHERE = {*sys.stdlib_module_names, "torch", "numpy", "torchmetrics"}  # a record states the versions of these


def path_of(name: str) -> Path | None:
    """The file of a module, whether it has been imported or not; None if there is no source."""
    top, *rest = name.split(".")
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None or not rest:
        return None if file is None else Path(file)
    base = Path(file).parent.joinpath(*rest)
    found = (base.parent / f"{base.name}.py", base / "__init__.py")
    return next((p for p in found if p.is_file()), None)


def text_of_module(name: str) -> str | None:
    """The source of a module; None if there is none, as for a class that was typed into a shell."""
    path = path_of(name)
    return path.read_text(encoding="utf-8") if path and path.suffix == ".py" and path.is_file() else None


def closure(start: Iterable[T], links: Callable[[T], Iterable[T]]) -> set[T]:
    """`start` and all that `links` leads to from there, directly or not."""
    seen: set[T] = set()
    waiting = list(start)
    while waiting:
        found = waiting.pop()
        if found not in seen:
            seen.add(found)
            waiting += links(found)
    return seen


class Code:
    """The source of modules as trees, hashes and imports, each computed once; `read` gives a module's text."""

    def __init__(self, read: Callable[[str], str | None] = text_of_module) -> None:
        self.read = read
        self._trees: dict[str, ast.Module | None] = {}
        self._hashes: dict[str, str] = {}
        self._imports: dict[str, set[str]] = {}

    def fingerprint(self, *parts: object) -> str:
        """16 hexadecimal digits that stand for all code which decides a run with these parts."""
        sha = hashlib.sha256()
        for name in sorted(self.reached({*RUNNER, *modules_of(parts)})):
            sha.update(f"{name} {self.hash(name)}\n".encode())
        return sha.hexdigest()[:16]

    def reached(self, names: Iterable[str]) -> set[str]:
        """The modules called `names` and all that they import inside their own package, directly or not."""
        return closure(names, self.imports)

    def tree(self, name: str) -> ast.Module | None:
        """The syntax tree of a module without what only a type checker reads; None if it has no source."""
        if name not in self._trees:
            text = self.read(name)
            self._trees[name] = None if text is None else untyped(ast.parse(text))
        return self._trees[name]

    def hash(self, name: str) -> str:
        """A hash of what a module does; of its name alone if it has no source."""
        if name not in self._hashes:
            tree = self.tree(name)
            self._hashes[name] = hashlib.sha256((name if tree is None else plain(tree)).encode()).hexdigest()
        return self._hashes[name]

    def imports(self, name: str) -> set[str]:
        """The modules of the same package that a module imports, those inside functions included."""
        if name not in self._imports:
            tree = self.tree(name)
            found = [] if tree is None else [m for node in running(tree) for m in self._named(node, name)]
            self._imports[name] = {m for m in found if m != name}
        return self._imports[name]

    def _named(self, node: ast.AST, name: str) -> Iterator[str]:
        """The modules that an import statement in the module `name` leads to."""
        if isinstance(node, ast.Import):
            top = name.partition(".")[0]
            yield from (a.name for a in node.names if a.name.startswith(f"{top}.") and self.tree(a.name))
        if isinstance(node, ast.ImportFrom):
            base = self.base(node, name)
            if base is not None:
                yield from (m for alias in node.names if (m := self._owner(base, alias.name)))

    def base(self, node: ast.ImportFrom, name: str) -> str | None:
        """The absolute name of the module after `from`; None outside the package of the module `name`."""
        if node.level:
            up = name.split(".") if is_package(name) else name.split(".")[:-1]
            up = up[: len(up) - node.level + 1]
            return ".".join([*up, *([node.module] if node.module else [])])
        top = name.partition(".")[0]
        return node.module if node.module and node.module.split(".")[0] == top else None

    def _owner(self, base: str, wanted: str) -> str | None:
        """The module that defines `wanted`, which is imported from `base`; None if a package's `__init__` does."""
        if self.tree(f"{base}.{wanted}") is not None:
            inner = f"{base}.{wanted}"
            return None if is_package(inner) else inner
        if not is_package(base):
            return base if self.tree(base) is not None else None
        tree = self.tree(base)
        for node in ast.walk(tree) if tree else ():
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    inside = self.base(node, base)
                    if (alias.asname or alias.name) == wanted and inside is not None:
                        return self._owner(inside, alias.name)
        return None


def is_package(name: str) -> bool:
    """Whether a name is that of a folder of modules."""
    path = path_of(name)
    return path is not None and path.name == "__init__.py"


def running(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a tree but those that only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from running(child)


def untyped(tree: ast.Module) -> ast.Module:
    """A module's tree without annotations, `cast` of `typing`, the imports that only these used, and `extra_repr`.

    The fields of a dataclass keep their names. What an annotation says of a field, such as the numbers it may take,
    decides whether a run begins, and never what it computes.
    """
    casts = {a.asname or a.name for n in imports_of(tree) if n.module == "typing" for a in n.names if a.name == "cast"}
    types = _Untyping(casts)
    types.visit(tree)
    _Importing(types.named - names_in(tree)).visit(tree)
    return tree


def imports_of(tree: ast.Module) -> list[ast.ImportFrom]:
    """The statements `from … import …` of a module."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


def names_in(tree: ast.AST) -> set[str]:
    """The names that a tree uses, and those that its `__all__` hands on."""
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    public = [n.value for n in ast.walk(tree) if isinstance(n, ast.Assign) and "__all__" in map(ast.unparse, n.targets)]
    texts = (n.value for value in public for n in ast.walk(value) if isinstance(n, ast.Constant))
    return found | {text for text in texts if isinstance(text, str)}


class _Untyping(ast.NodeTransformer):
    """Takes annotations and casts away, and notes the names that they use."""

    def __init__(self, casts: set[str]) -> None:
        self.casts, self.fields, self.named = casts, set[int](), set[str]()

    def note(self, type_: ast.AST | None) -> None:
        """Adds the names in an annotation, those in quotes included."""
        for node in ast.walk(type_) if type_ else ():
            if isinstance(node, ast.Name):
                self.named.add(node.id)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                self.named.update(re.findall(r"\w+", node.value))

    def visit_arg(self, node: ast.arg) -> ast.AST:
        self.note(node.annotation)
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        if node.name == "extra_repr":
            return None
        self.note(node.returns)
        node.returns = None
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.fields |= {id(line) for line in node.body if isinstance(line, ast.AnnAssign)}
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.note(node.annotation)
        node.annotation = ast.Constant(None)
        self.generic_visit(node)
        if id(node) in self.fields:
            return node
        return None if node.value is None else ast.Assign([node.target], node.value)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not (isinstance(node.func, ast.Name) and node.func.id in self.casts and len(node.args) == 2):
            return node
        self.note(node.func)
        self.note(node.args[0])
        return node.args[1]


class _Importing(ast.NodeTransformer):
    """Takes the names `idle` out of the statements that import them."""

    def __init__(self, idle: set[str]) -> None:
        self.idle = idle

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        node.names = [a for a in node.names if (a.asname or a.name) not in self.idle]
        return node if node.names else None


def plain(x: object) -> str:
    """A syntax tree as text, without places, comments and docstrings: the same with every version of Python."""
    if isinstance(x, ast.AST):
        inner = ((k, v) for k, v in ast.iter_fields(x) if k not in ("kind", "type_comment"))
        return f"{type(x).__name__}({','.join(f'{k}={plain(v)}' for k, v in inner if v is not None and v != [])})"
    if isinstance(x, list):
        return f"[{','.join(plain(v) for v in x if not is_docstring(v))}]"
    return repr(x)


def is_docstring(node: object) -> bool:
    """Whether a statement is only a text, which does nothing wherever it is."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def modules_of(parts: Iterable[object]) -> set[str]:
    """The modules of the classes and functions that `parts` are made of, whichever package they belong to."""
    found: set[str] = set()
    seen: set[int] = set()
    waiting = list(parts)
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        own = part if isinstance(part, FunctionType | type) else type(part)
        home = own.__module__ or "__main__"  # code that `exec` runs has no module
        if home.partition(".")[0] not in ELSEWHERE and (isinstance(own, FunctionType) or is_ours(own)):
            found.add(home)
        if isinstance(part, nn.Module):
            waiting += [*part.children(), *(v for v in vars(part).values() if isinstance(v, FunctionType))]
        elif is_dataclass(part) and not isinstance(part, type):
            waiting += [getattr(part, f.name) for f in fields(part)]
            waiting.append(getattr(part, "solver", None))  # a solver around another one, which its spec only names
        if isinstance(part, Builder):
            waiting.append(part.make)
        elif isinstance(given := vars(part).get("given") if hasattr(part, "__dict__") else None, Given):
            waiting += [given.maker, *given.args, *given.options.values()]
    return found


def is_ours(cls: type) -> bool:
    """Whether a class is of this package, or derives from one of it, as an operator of a plug-in does."""
    return any(base.__module__.partition(".")[0] == HOME for base in cls.__mro__)


CODE = Code()
