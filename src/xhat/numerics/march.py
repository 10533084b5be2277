"""Derivatives of a long recurrence in bounded memory: a simulation of thousands of steps as one differentiable map."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

State = tuple[Tensor, ...]


@dataclass(frozen=True)
class March:
    """x ↦ last(state), where `steps` has led from first(x) to the state while `more`(state) held.

    One call of `steps` makes some steps at a time. The pullback v ↦ Jᵀ v stores the state before each call of `steps`,
    and repeats that call to get what automatic differentiation needs of it. The derivative of the pullback in v, u ↦ J
    u, which Gauss-Newton asks for, passes over the same states in the other direction. The derivative of Jᵀ v in x is
    not available and comes out as NaN.
    """

    first: Callable[[Tensor], State]
    steps: Callable[[State], State]
    more: Callable[[State], bool]
    last: Callable[[State], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            y: Tensor = _Forward.apply(x, self)  # type: ignore[no-untyped-call]
            return y
        for state in self.states(x):  # noqa: B007
            pass
        return self.last(state)

    def states(self, x: Tensor) -> Iterator[State]:
        """Yields the first state and the state after every call of `steps`."""
        state = self.first(x)
        yield state
        while self.more(state):
            state = self.steps(state)
            yield state


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, march: March) -> Tensor:
        ctx.march, ctx.states = march, list(march.states(x))
        ctx.save_for_backward(x)
        return march.last(ctx.states[-1])

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, None]:
        back: Tensor = _Backward.apply(*ctx.saved_tensors, v, ctx.march, ctx.states)  # type: ignore[no-untyped-call]
        return back, None


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Tensor, march: March, states: Sequence[State]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.march, ctx.states = march, states
        back = _pull(lambda s: (march.last(s),), states[-1], (v,))
        for state in reversed(states[:-1]):
            back = _pull(march.steps, state, back)
        return _pull(lambda s: march.first(s[0]), (x,), back)[0]

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (x,), march = ctx.saved_tensors, ctx.march
        tangent = _push(lambda s: march.first(s[0]), (x,), (u,))
        for state in ctx.states[:-1]:
            tangent = _push(march.steps, state, tangent)
        (Ju,) = _push(lambda s: (march.last(s),), ctx.states[-1], tangent)
        return torch.full_like(x, torch.nan), Ju, None, None


Step = Callable[[State], State]


def _pull(f: Step, state: State, v: State) -> State:
    """Jᵀ v of `f` at `state`."""
    with torch.enable_grad():
        state = tuple(s.detach().requires_grad_() for s in state)
        return _grad(f(state), state, v)


def _push(f: Step, state: State, u: State) -> State:
    """J u of `f` at `state`: the derivative of v ↦ Jᵀ v, which is linear, pulls u back."""
    with torch.enable_grad():
        state = tuple(s.detach().requires_grad_() for s in state)
        end = f(state)
        v = tuple(torch.zeros_like(y, requires_grad=True) for y in end)
        return _grad(_grad(end, state, v, create_graph=True), v, u)


def _grad(ys: State, xs: State, v: State, create_graph: bool = False) -> State:
    """Σ vᵀ ∂y/∂x; 0 where there is no way from x to any y."""
    pairs = [(y, g) for y, g in zip(ys, v, strict=True) if y.requires_grad]
    ys, v = tuple(y for y, _ in pairs), tuple(g for _, g in pairs)
    return torch.autograd.grad(ys, xs, v, create_graph=create_graph, allow_unused=True, materialize_grads=True)
