"""Laws of a march: its values and both derivatives are those of the recurrence written out."""

import pytest
import torch

from xhat.numerics.march import March

N, STEPS = 5, 12


def unrolled(x):
    u, v = x.sin(), x * 0
    for _ in range(STEPS):
        u, v = (u + 0.1 * v).tanh(), v - 0.2 * u**2
    return torch.cat([u, v], 1)


@pytest.fixture(params=[1, 5])
def march(request):
    """The same recurrence, so many steps at a time; the state holds the number of steps made."""

    def steps(state):
        u, v, made = state
        for _ in range(min(request.param, STEPS - int(made))):
            u, v = (u + 0.1 * v).tanh(), v - 0.2 * u**2
            made = made + 1
        return u, v, made

    zero = torch.zeros((), dtype=torch.float64)
    return March(lambda x: (x.sin(), x * 0, zero), steps, lambda s: int(s[2]) < STEPS, lambda s: torch.cat(s[:2], 1))


def batch(seed):
    return torch.randn(2, N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_values(march):
    x = batch(0)
    assert torch.equal(march(x), unrolled(x))
    assert torch.equal(march(x.requires_grad_()).detach(), unrolled(x).detach())


def test_pullback_is_that_of_the_recurrence(march):
    x = batch(0).requires_grad_()
    v = torch.cat([batch(1), batch(2)], 1)
    found, expected = (torch.autograd.grad(f(x), x, v)[0] for f in (march, unrolled))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_derivative_of_the_pullback_is_the_derivative(march):
    """v ↦ Jᵀ v is linear, and its own pullback is u ↦ J u."""
    x, u = batch(0).requires_grad_(), batch(3)
    v = torch.zeros(2, 2 * N, dtype=torch.float64, requires_grad=True)
    (back,) = torch.autograd.grad(march(x), x, v, create_graph=True)
    (found,) = torch.autograd.grad(back, v, u)
    _, expected = torch.autograd.functional.jvp(unrolled, x.detach(), u)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_what_is_not_there_is_not_a_number(march):
    x = batch(0).requires_grad_()
    v = torch.cat([batch(1), batch(2)], 1).requires_grad_()
    (back,) = torch.autograd.grad(march(x), x, v, create_graph=True)
    assert torch.autograd.grad(back.sum(), x)[0].isnan().all()
