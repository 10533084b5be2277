"""The laws of solvers: images never mix, seeds decide, runs resume, misfits are refused, data are used."""

from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..errors import DivergedError, MismatchError
from ..likelihoods import Likelihood
from ..loop import solve, trajectory
from ..noise import Gaussian, Noise
from ..numerics.calls import counting
from ..operators.hdr import HDR
from ..priors.denoiser import Denoiser
from ..rng import Rng
from ..schedule import EDM, VP, Flow
from ..solvers.base import AnySolver, State
from .exact import SHAPE, LayeredGaussian
from .law import Law
from .trials import prior_of, trial

ROUNDING = 1e-8  # in double precision a neighbour may change the rounding of a matrix product, and nothing else


def images_do_not_mix(solver: AnySolver) -> None:
    """The answer for an image does not depend on its neighbours in the batch."""
    law = Law(
        solver, "images never mix", "a mean, norm or loss over the batch axis, or `torch.randn` in place of `rng`"
    )
    both = trial(solver)
    one = replace(both, like=both.like.take(torch.tensor([1])))
    law.near(both.run(solver, [7, 8])[1:], one.run(solver, [8]), ROUNDING, ROUNDING)


def freezing_moves_no_other(solver: AnySolver) -> None:
    """An image that is frozen from step 3 on stays as it is, and no other image moves, on any ladder of levels.

    This is what `stop_at` does. Tried on the ladders of EDM, VP and flow matching, those that the solver takes.
    """
    law = Law(solver, "freezing an image moves no other", "a quantity of the run, say a counter, in the state")
    made = trial(solver)
    for schedule in (EDM(), VP(), Flow()):
        asked: list[State] = []

        def from_step_3_on(state: State, asked: list[State] = asked) -> Tensor:
            asked.append(state)
            return torch.tensor([len(asked) > 1, False])

        try:
            free = [s.state for s in made.steps(solver, Rng([0, 1]), schedule=schedule)]
        except MismatchError:
            continue
        held = [s.state for s in made.steps(solver, Rng([0, 1]), schedule=schedule, done=from_step_3_on)]
        for number, (a, b) in enumerate(zip(free, held, strict=True), 1):
            where = f"after step {number} on the levels of {type(schedule).__name__}"
            law.same(b.x[1], a.x[1], f"the other image {where}")
            law.same(b.estimate[1], a.estimate[1], f"the other estimate {where}")
            if number > 2:
                law.same(b.x[0], held[1].x[0], f"the frozen image {where}")
                law.same(b.estimate[0], held[1].estimate[0], f"the frozen estimate {where}")


def every_kth_step_is_every_kth(solver: AnySolver) -> None:
    """What a solver with an option `every` does at every k-th step happens at every k-th step, on any ladder of levels.

    It costs calls of the operator, which show when it happens. Tried with every third of 24 steps.
    """
    law = Law(solver, "every k-th step is every k-th", "the number of the step is read off its noise level")
    if "every" not in {f.name for f in fields(solver)}:
        return
    options: dict[str, Any] = {"steps": 24, "every": 3}
    often, made = replace(solver, **options), trial(solver, [0])
    for schedule in (EDM(), VP(), Flow()):
        with counting() as calls:
            total = [0, *(calls.operator for _ in made.steps(often, Rng([0]), schedule=schedule))]
        cost = [b - a for a, b in pairwise(total)]
        seen = [i for i, n in enumerate(cost[:-1], 1) if n > min(cost)]  # the last step of a run may be one of its own
        gaps = {b - a for a, b in pairwise(seen)}
        law.holds(len(seen) > 4 and gaps == {3}, f"it happens at the steps {seen} of {type(schedule).__name__}")


def resumes_bit_for_bit(solver: AnySolver) -> None:
    """From the state half way and the random streams at that time, the rest of the run is the same bit for bit."""
    law = Law(solver, "a resumed run gives the same bits", "something that is kept outside the state, or `torch.randn`")
    made, rng = trial(solver), Rng([3, 4])
    steps = []
    for step in made.steps(solver, rng):
        steps.append((step.index, step.state, rng.state_dict()))
    index, state, streams = steps[(len(steps) - 1) // 2]
    rng = Rng([0, 0])
    rng.load_state_dict(streams)
    *_, end = made.steps(solver, rng, resume=(index, state))
    law.same(end.state.x, steps[-1][1].x, f"the chain resumed after step {index}")
    law.same(end.state.estimate, steps[-1][1].estimate, f"the estimate resumed after step {index}")


def keeps_dtype_shape_and_data(solver: AnySolver) -> None:
    """The answer has the dtype of the data and the shape of an image and carries no gradient; y stays as it was."""
    law = Law(solver, "the answer is an image in the dtype of the data", "a constant tensor in float32, or `y -= …`")
    for dtype in (torch.float32, torch.float64):
        made = trial(solver, [0], dtype)
        y = made.like.y.clone()
        x = made.run(solver, [0])
        law.holds(x.dtype == dtype, f"data in {dtype} gave an image in {x.dtype}")
        law.holds(x.shape == (1, *made.like.A.shape), f"it has the shape {tuple(x.shape)}")
        law.holds(not x.requires_grad, "it requires a gradient")
        law.same(made.like.y, y, "the measurement after the run")


def a_seed_decides(solver: AnySolver) -> None:
    """The same seed gives the same bits, another seed another image, unless the solver says that it draws nothing."""
    law = Law(solver, "a seed decides the result", "`torch.randn` in place of `rng`, or randomness that is not used")
    made = trial(solver, [0])
    a, b, c = (made.run(solver, [seed]) for seed in (5, 5, 6))
    law.same(a, b, "seed 5 again")
    if solver.seeded:
        law.holds(not torch.equal(a, c), "seeds 5 and 6 give the same bits")
    else:
        law.same(a, c, "seed 6 of a solver that says that it draws nothing")


def nan_raises(solver: AnySolver) -> None:
    """A prior that answers NaN raises DivergedError, which names the solver: no failure becomes a plausible image."""
    law = Law(solver, "NaN raises DivergedError with the solver's name", "`nan_to_num`, or a comparison with NaN")
    made = trial(solver, [0])
    broken = prior_of(made.kind, Denoiser(lambda x, sigma: x * float("nan")))
    if isinstance(broken, LayeredGaussian):
        assert broken.denoiser is not None
        vars(broken.denoiser)["mean"] = float("nan")
    broken = broken.to(torch.float64)
    error = law.raises(DivergedError, lambda: solve(solver, broken, made.like, Rng([0])), "a prior that says NaN")
    law.holds(type(solver).__name__ in str(error), f"the message is: {error}")


def refuses_by_type(solver: AnySolver) -> None:
    """A problem of the most general type is solved, or raises MismatchError before the first network call."""
    law = Law(solver, "a misfit raises MismatchError before any network call", "`needs` is missing or too general")
    A = HDR(SHAPE)
    made = trial(solver, [0], torch.float32)
    plain = made.prior.problem(Likelihood(A, Gaussian(0.1), A(made.truth.float())))
    with counting() as calls:
        try:
            next(trajectory(solver, made.prior, plain, Rng([0])))
        except MismatchError as e:
            law.holds("dps" in str(e), f"the message does not list what fits: {e}")
            law.holds(calls.forwards == 0, f"{calls.forwards} network calls came before")
        except Exception as e:
            raise law.broken(f"a problem of any type raised {type(e).__name__}: {e}") from e


def uses_prior_and_data(solver: AnySolver, noise: Noise | None = None) -> None:
    """With 60 % of the pixels seen, the mean squared error is at most a quarter of the prior's variance where a pixel
    was seen and 0.4 of it where none was.

    The prior's mean, which knows nothing of y, errs by all of the variance everywhere, and the data filled up with
    zeros by all of it where nothing was seen. The posterior's mean errs by 1 % and by 4 %.
    """
    law = Law(solver, "the answer uses prior and data", "a weight that leaves out the data, or the prior")
    made = trial(solver, range(4), noise=noise or Gaussian(0.05), keep=0.6)
    x = made.prior.image(made.run(solver, range(4)))
    share = (x - made.truth).square().mean(0) / made.truth.square().mean()
    for where, pixels, most in (("seen", made.seen, 0.25), ("not seen", ~made.seen, 0.4)):
        if pixels.any():
            error = float(share[pixels].mean())
            law.holds(error <= most, f"where pixels were {where} the error is {error:.2f} of the variance, not {most}")
