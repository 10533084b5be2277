"""Residuals in words, and the page of before and after."""

import re

import pytest
import torch

import xhat
from xhat.figures.compare import compare
from xhat.likelihoods.verdict import DOES_NOT, FITS, MEANS, OVERFITS, verdict


@pytest.mark.parametrize(
    ("found", "expected", "word"),
    [
        (1.0, 1.0, FITS),
        (0.9, 1.0, FITS),
        (0.3, 1.0, OVERFITS),
        (1.6, 1.0, DOES_NOT),
        (0.002, 0.0, FITS),
        (0.1, 0.0, DOES_NOT),
    ],
)
def test_words(found, expected, word):
    assert verdict(found, expected) == word


def test_the_advice_names_no_option_of_one_noise():
    """σ is the option of Gaussian noise; Laplace's is b, and Poisson's is a peak."""
    assert not [text for text in MEANS.values() if "sigma" in text]


def test_the_truth_fits_and_the_measurement_itself_overfits():
    x = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0)) - 0.5
    like = xhat.likelihood(xhat.build("denoise", xhat.operators.OPERATORS, (1, 64, 64)), xhat.Gaussian(0.1), x[None])
    y = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    like = xhat.likelihood(like.A, like.noise, y[None])
    for image, word in ((x, FITS), (y, OVERFITS), (x + 0.2, DOES_NOT)):
        found, expected = like.misfit(image[None])
        assert verdict(float(found), float(expected)) == word


def test_the_page_asks_nothing_of_anybody():
    page = compare(torch.zeros(3, 8, 8), torch.zeros(3, 32, 32), "<a> & b", "caption <script>")
    assert "<script>" in page.replace("caption &lt;script&gt;", "")
    assert "&lt;a&gt; &amp; b" in page
    assert not re.search(r"https?://|url\(", page)
    assert all(src.startswith("data:image/") for src in re.findall(r'src="([^"]*)"', page))
    assert len(re.findall(r"data:image/png;base64,[A-Za-z0-9+/]{20}", page)) == 2
