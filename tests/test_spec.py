"""Spec strings: what is written is what is built, and the other way round."""

from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xhat.errors import SpecError
from xhat.noise import NOISES, Gaussian
from xhat.operators.building import build_operator
from xhat.schedule import SCHEDULES
from xhat.solvers import SOLVERS
from xhat.solvers.lmaps import LMAPS
from xhat.spec import build, called, lookup, parse, spec_of, text_of, value


@dataclass(frozen=True)
class Thing:
    n: int = 3
    x: float = 0.5
    flag: bool = False
    path: str = ""
    many: tuple[float, ...] = ()
    kind: Literal["a", "b"] = "a"
    maybe: float | None = None


REGISTRY = {"thing": Thing}
SAFE = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12)
THINGS = st.builds(
    Thing,
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    SAFE,
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3).map(tuple),
    st.sampled_from("ab"),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
)


@given(THINGS)
@example(Thing(path="1e5"))
@example(Thing(path="[a, b].png"))
@example(Thing(path="'"))
def test_spec_of_and_build_are_inverse(thing):
    back = build(spec_of(thing, REGISTRY), REGISTRY)
    assert back == thing
    assert spec_of(build(spec_of(thing, REGISTRY, full=True), REGISTRY), REGISTRY) == spec_of(thing, REGISTRY)


@pytest.mark.parametrize(("name", "registry"), [(n, r) for r in (NOISES, SOLVERS, SCHEDULES) for n in r])
def test_every_registered_part_round_trips(name, registry):
    part = build(name, registry)
    assert spec_of(part, registry) == name
    assert build(spec_of(part, registry, full=True), registry) == part


def test_the_shortest_spec_leaves_out_defaults():
    assert spec_of(Thing(n=4, x=0.5), REGISTRY) == "thing:n=4"
    assert spec_of(Thing(x=80.0), REGISTRY) == spec_of(Thing(x=80), REGISTRY) == "thing:x=80"


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("a", {}),
        ("a:k=1e-3", {"k": 1e-3}),
        ("a:k=True,j=false,i=None", {"k": True, "j": False, "i": None}),
        ("a:mask=C:/pics/m.png,keep=0.5", {"mask": "C:/pics/m.png", "keep": 0.5}),
        (r"a:mask=C:\pics\m.png", {"mask": r"C:\pics\m.png"}),
        ("a:mask=my mask (1).png,k=2", {"mask": "my mask (1).png", "k": 2}),
        ("a:mask='a,b.png',k=2", {"mask": "a,b.png", "k": 2}),
        ("a:mask=it's.png,k=2", {"mask": "it's.png", "k": 2}),
        ("a:mask=a=b.png", {"mask": "a=b.png"}),
        ("a:seeds=[1,2,3],box=(4,5)", {"seeds": [1, 2, 3], "box": (4, 5)}),
        ("a:nested=[[1,2],[3]],k=1", {"nested": [[1, 2], [3]], "k": 1}),
        ("a: k = 1, j = x", {"k": 1, "j": "x"}),
    ],
)
def test_parsing(spec, options):
    assert parse(spec) == ("a", options)


@pytest.mark.parametrize("spec", ["a:k", "a:=1", "a:k=1,,j=2", "a:k=1,", "a:k=1,k=2"])
def test_bad_syntax_is_quoted_back(spec):
    with pytest.raises(SpecError, match=r"expected key=value|given twice"):
        parse(spec)


@pytest.mark.parametrize("spec", ["plug:halves", "plug:halves:axis=1", "plug:_halves"])
def test_a_name_in_small_letters_without_a_package_is_told_from_an_option(spec):
    with pytest.raises(SpecError, match="a name in small letters needs a package before it"):
        build(spec, REGISTRY)


def test_an_option_without_a_value_is_not_taken_for_a_name():
    for spec in ("thing:n", "thing:n=1,x", "plug:x=1,halves"):
        with pytest.raises(SpecError, match=r"expected key=value, found '\w+'$"):
            build(spec, REGISTRY)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("thng", "unknown name 'thng'; choose from thing"),
        ("thing:m=1", "thing has no option m; it has n, x, flag, path, many, kind, maybe"),
        ("thing:n=0.5", "thing: n must be a whole number, not 0.5"),
        ("thing:n=true", "n must be a whole number, not True"),
        ("thing:x=much", "x must be a number, not 'much'"),
        ("thing:x=nan", "x must be a number, not 'nan'"),
        ("thing:flag=1", "flag must be true or false, not 1"),
        ("thing:kind=c", "kind must be one of a, b, not 'c'"),
        ("thing:many=[1,b]", "many must be"),
    ],
)
def test_wrong_names_and_values_list_the_right_ones(spec, words):
    with pytest.raises(SpecError, match=words):
        build(spec, REGISTRY)


def test_text_options_take_what_looks_like_a_number():
    assert build("thing:path=1", REGISTRY) == Thing(path="1")


@given(st.integers() | st.booleans() | st.none() | SAFE | st.floats(allow_nan=False, allow_infinity=False))
def test_text_of_and_value_are_inverse(v):
    assert value(text_of(v)) == v


def test_negative_sigma_is_refused():
    with pytest.raises(SpecError, match=r"sigma must be a number above 0 .*, not -0\.1; none is noiseless"):
        build("gaussian:sigma=-0.1", NOISES)


@pytest.mark.parametrize(("typed", "meant"), [("lmap", "lmaps"), ("dp", "dps"), ("DDRM", "ddrm")])
def test_a_typing_error_is_told_what_was_meant(typed, meant):
    with pytest.raises(SpecError, match=rf"did you mean {meant}\?"):
        lookup(typed, SOLVERS)


def test_the_word_none_can_be_chosen():
    """An option that has none among its words takes it as a word; elsewhere none is a value that is left out."""
    assert build("lmaps:renoise=none", SOLVERS).renoise == "none"
    with pytest.raises(SpecError, match="zeta must be"):
        build("lmaps:zeta=none", SOLVERS)


def test_a_part_goes_by_what_is_typed_and_not_by_its_class() -> None:
    shape = (3, 16, 16)
    for text in ("motion_blur:size=5", "gaussian_blur", "jpeg @ super_resolution"):
        typed = " @ ".join(part.split(":")[0] for part in text.split(" @ "))
        assert called(build_operator(text, shape)) == typed
    assert called(Gaussian(0.1)) == "gaussian"
    assert called(LMAPS()) == "lmaps"
    assert called(object()) == "object"


@pytest.mark.parametrize(
    ("operator", "hint"),
    [
        ("gaussianblur", r"xhat list operators has all \d+; did you mean gaussian_blur\?"),
        ("jpeg:quality=75@super_resolution", "'jpeg:quality=75 @ super_resolution'"),
        ("jpeg:quality=auto", "tables=FILE"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(operator: str, hint: str) -> None:
    with pytest.raises(SpecError, match=hint) as refused:
        build_operator(operator, (3, 16, 16))
    assert len(str(refused.value)) < 240  # a line that is read, not a list of all there is
