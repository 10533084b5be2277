"""The fingerprint of definitions changes with what a number is made of, and with nothing beside it."""

import pytest

from xhat.exact.cell import FLOOR, drawn
from xhat.exact.metrics import Reference
from xhat.exact.sampling import solved
from xhat.likelihoods import LinearGaussian
from xhat.solvers import SOLVERS
from xhat.solvers.base import Estimator
from xhat.spec import build
from xhat.task.definitions import Definition, Definitions
from xhat.task.fingerprint import Code, text_of_module

GAUSSIAN = "mixture:d=8,m=2"


PARTS = {FLOOR: (), **{n: (build(n, SOLVERS),) for n in ("ddrm", "tds", "tmpd")}}
ALL = set(PARTS)


def rows(code):
    """The fingerprints of a row of exact samples and of three samplers."""
    found = Definitions(code)
    return {n: found.fingerprint(*drawn(GAUSSIAN), *own, Reference, solved) for n, own in PARTS.items()}


CODE = Code()
NOW = rows(CODE)


def edited(module, old, new):
    """The code as it would be with another text in one module; what is known of the others is taken over."""
    text = text_of_module(module)
    assert old in text, f"{module} has no {old!r} any more"
    code = Code(lambda name: text.replace(old, new) if name == module else text_of_module(name))
    code._trees = {k: v for k, v in CODE._trees.items() if k != module}
    return code


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (("solvers.ddrm", "self.eta_b)", "2 * self.eta_b)"), {"ddrm"}),
        (("solvers.tds", "return -sq(z", "return -2 * sq(z"), {"tds"}),
        (("numerics.particles", "logw.logsumexp(1, keepdim=True) - ", "-"), {"tds"}),  # what resampling uses
        (("numerics.particles", "EQUAL = 1e-6", "EQUAL = 1e-7"), {"tds"}),  # a constant
        (("numerics.particles", "copies = share.floor()", "copies = share.ceil()"), set()),  # of none of these
        (("numerics.particles", "comb + rng", "comb - rng"), ALL),  # `solved` asks whether there are particles
        (("exact.deviations", "RIVALS = 99", "RIVALS = 98"), ALL),
        (("exact.mixture", "class EqualMixture", "print(1)\n\n\nclass EqualMixture"), ALL),  # what runs on import
        (("likelihoods.base", "class SpectralGaussian(", "class SpectralGaussian(object, "), ALL),
        (("operators.base", "def take(", "def take(more, "), ALL),  # a method that is called
        (("operators.base", "def understood(cls", "def understood(cls, *_"), set()),  # and one that is not
        (("solvers.base", "def mismatch(self", "def mismatch(self, *_"), set()),  # what only refuses
        (("task.run", "def run(", "def run(*_"), set()),  # a runner of pictures and of videos
        (("likelihoods.cells", "class CellGaussian(", "class CellGaussian(object, "), set()),
        (("exact.problems", "return 25.0 * self.size", "return 24.0 * self.size"), set()),  # what a run costs
        (("exact.problems", "* -8", "* -7"), ALL),
        (("files.encode", "def encoded(", "def encoded(more, "), set()),  # what only writes
        (("task.account", "def ", "def x"), set()),
        (("solvers.ddrm", "Denoising diffusion restoration models", "Other words"), set()),
    ],
)
def test_a_change_reaches_the_rows_that_are_made_of_it(change, changed):
    then = rows(edited(f"xhat.{change[0]}", *change[1:]))
    assert {n for n, code in then.items() if code != NOW[n]} == changed


class Mine(Estimator[LinearGaussian]):
    """A sampler outside the package, whose step is that of its base."""


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("self.fraction(t, s), rng)", "2 * self.fraction(t, s), rng)", False),
        ("class PointEstimator(", "class PointEstimator(object, ", True),
    ],
)
def test_a_sampler_of_ones_own_is_made_of_its_bases_too(old, new, same):
    """Its own package names them and does not define them."""
    codes = [Definitions(code).fingerprint(Mine, solved) for code in (CODE, edited("xhat.solvers.base", old, new))]
    assert (codes[0] == codes[1]) == same


def test_names_are_followed_wherever_they_are_imported():
    """From a package that joins names, under another name, inside a function, and as a module."""
    texts = {
        "p": "from .b import g as h\nTABLE = {1: 2}\n",
        "p.a": "from . import h, TABLE\nimport p.c\ndef f(x):\n    from .d import k\n    return h(x) + k(x)\n"
        "def other(x):\n    return p.c.z\n",
        "p.b": "LIMIT = 3\ndef g(x):\n    return x if x < LIMIT else unused.y\ndef unused():\n    pass\n",
        "p.c": "z = 1\nfor i in range(3):\n    z += i\n",
        "p.d": "def k(x):\n    return x\n",
    }

    class Texts(Code):
        def base(self, node, name):
            return {0: node.module, 1: f"p.{node.module}" if node.module else "p"}[node.level]

    found = Definitions(Texts(texts.get))
    assert {d for d in found.reached([Definition("p.a", "f")]) if d.name} == {
        Definition("p.a", "f"),
        Definition("p.b", "g"),
        Definition("p.b", "LIMIT"),
        Definition("p.b", "unused"),
        Definition("p.d", "k"),
    }
    assert Definition("p.c", "z") in found.reached([Definition("p.a", "other")])


def test_of_a_class_count_the_methods_that_are_named_and_those_that_need_no_name():
    """By whatever is reached, before or after the class; all of a class that a foreign base may look through."""
    A = "class A:\n    a: int\n    b: int = 0\n    def __len__(self):\n        return 1\n"
    A += "    def forward(self):\n        return self.used()\n    def used(self):\n        return 2\n"
    A += "    def idle(self):\n        return self.deeper\n    def deeper(self):\n        return 3\n"
    B = "class B(Enum):\n    def idle(self):\n        return {}\n"
    texts = {"q": A + B.format(4) + "def f():\n    return A(b=1), B\n"}
    definitions, start = Definitions(Code(texts.get)), [Definition("q", "f")]
    assert {d.name for d in definitions.reached(start) if d.name} == {
        *("A", "A.b", "A.__len__", "A.forward", "A.used"),
        *("B", "f"),
    }
    assert {"A.idle", "A.deeper"} <= {d.name for d in definitions.reached([*start, Definition("q", "A.idle")])}
    assert not definitions.members(Definition("q", "B"))
