"""Where no prior is named: pictures have `photo`, the data of a science the prior of its images, and that is said."""

import logging

import pytest
import torch

import xhat
from xhat.operators import OPERATORS
from xhat.priors import PRIORS, build_prior
from xhat.registry import kind_of
from xhat.spec import parse
from xhat.task.usual import FITTED, USUAL, named_prior, usual

SCIENCES = sorted(set(OPERATORS) - set(OPERATORS.own))


def test_every_operator_of_a_science_has_a_prior_of_its_own():
    shipped = {name for name in SCIENCES if kind_of(OPERATORS[name]).__module__.startswith("xhat.science.")}
    assert shipped == set(USUAL)


@pytest.mark.parametrize("name", sorted(USUAL))
def test_the_usual_prior_takes_the_images_of_the_operator(name):
    spec, shape = usual(name), kind_of(OPERATORS[name]).example
    assert parse(spec).name in PRIORS
    if spec not in FITTED:  # those take minutes to make
        build_prior(spec, "cpu").check(shape)


def test_a_prior_of_pictures_of_one_size_is_fitted_to_the_size_of_the_image():
    assert usual("black_hole:fov=100") == usual("black_hole", (1, 64, 64)) == "blackhole"
    assert usual("black_hole", (1, 32, 32)) == "blackhole:size=32"


@pytest.mark.parametrize("given", [None, "denoise", torch.nn.Identity(), "jpeg @ super_resolution:factor=2"])
def test_pictures_have_the_prior_of_photographs_and_nothing_is_said(given, caplog):
    assert named_prior("auto:dtype=bfloat16", given, (3, 32, 32), "y") == "photo:dtype=bfloat16"
    assert not caplog.records


def test_it_is_said_and_recorded_and_a_classical_method_asks_for_none(caplog):
    y = xhat.simulate(torch.zeros(2, 32, 32) + 0.3, "mri:acceleration=2,coils=2", "gaussian:sigma=0.02")
    with caplog.at_level(logging.WARNING, "xhat"):
        assert xhat.restore(y, solver="adjoint").record["prior"] == "none"
        assert "no prior" not in caplog.text
        assert xhat.restore(y, solver="lmaps:steps=1").record["prior"] == "magnitude:prior=brain"
    assert "no prior was named: magnitude:prior=brain is taken" in caplog.text
