"""A seed means the same picture on every machine, whatever signs its library gives to singular vectors."""

import numpy as np
import pytest
import torch

from oracles import problem, rbf_prior
from solver_cases import noise_for, operator_for, prior_for, quick
from xhat.exact.mixture import MixturePosterior
from xhat.loop import solve
from xhat.priors.low_rank import LowRankMixture, fit
from xhat.rng import Rng
from xhat.solvers import SOLVERS

SHAPE = (1, 8, 8)
SVD, EIGH = torch.linalg.svd, torch.linalg.eigh


@pytest.fixture
def other_signs(monkeypatch):
    """From the call on, every singular vector and eigenvector has the other of its two possible signs, by turns."""

    def turned(n: int) -> torch.Tensor:
        return torch.tensor([(-1.0) ** (i % 3) for i in range(n)], dtype=torch.float64)

    def svd(M, full_matrices=True):
        U, s, Vt = SVD(M, full_matrices=full_matrices)
        # a pair of singular vectors turns together; what spans the null spaces is free
        return U * turned(U.shape[-1]).to(U), s, turned(Vt.shape[-2])[:, None].to(Vt) * Vt

    def eigh(M):
        values, vectors = EIGH(M)
        return values, vectors * turned(vectors.shape[-1]).to(vectors)

    def turn() -> None:
        monkeypatch.setattr(torch.linalg, "svd", svd)
        monkeypatch.setattr(torch.linalg, "eigh", eigh)

    return turn


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=1e-9)  # float64 rounding, grown over a few steps


def test_draws_of_a_gaussian(other_signs):
    before = rbf_prior(SHAPE).double().sample(Rng([0, 1]))
    other_signs()
    assert close(rbf_prior(SHAPE).double().sample(Rng([0, 1])), before)


def test_draws_of_a_fitted_mixture(other_signs):
    pictures = torch.randn(40, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def run() -> torch.Tensor:
        found = fit(pictures, components=2, rank=5)
        return LowRankMixture(found.pop("means").reshape(2, *SHAPE), **found).double().sample(Rng(range(4)))

    before = run()
    other_signs()
    assert close(run(), before)


def test_draws_of_an_exact_posterior(other_signs):
    half = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    law = MixturePosterior(torch.tensor([0.3, 0.7]).double().log(), half[:2], half @ half.T)
    before = law.sample(7, torch.Generator().manual_seed(1))
    other_signs()
    assert close(law.sample(7, torch.Generator().manual_seed(1)), before)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("kind", ["separable", "dense"])
def test_solvers(name, kind, other_signs, tmp_path):
    if operator_for(name) != "inpaint" and kind == "dense":
        pytest.skip("finds a blur kernel, which no decomposition is made of")
    path = tmp_path / "matrix.npy"
    np.save(path, torch.randn(30, 64, generator=torch.Generator().manual_seed(3)).numpy())

    def run() -> torch.Tensor:
        base = rbf_prior(SHAPE).double()
        usual = f"dense:matrix={path}" if kind == "dense" else "super_resolution:factor=2"
        _, like = problem(base, [0, 1], operator_for(name, usual), noise_for(name, 0.1))
        prior = prior_for(name, base)
        if (why := SOLVERS[name]().mismatch(prior, prior.problem(like))) is not None:
            pytest.skip(str(why))
        return solve(quick(name, 4), prior, prior.problem(like), Rng([0, 1]))

    before = run()
    other_signs()
    assert close(run(), before)
