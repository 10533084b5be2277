"""Which solver draws samples where the user names none, and what is said where one is named that does not draw them."""

from ..errors import MismatchError
from ..likelihoods import Likelihood
from ..notes import note
from ..priors import Prior
from ..solvers import SOLVERS
from ..solvers.base import AnySolver
from ..spec import build

POINT = "lmaps"  # for one image

# For several, the first that takes the problem, by docs/calibration.md. Moment matching (TMPD by conjugate gradient) is
# uniform in all respects on mixtures and exact on Gaussians; 50 steps of the page's 100 cover within 3 % of the same
# there. DAPS, for what is not linear and Gaussian, is uniform in all respects but the log-density, and rather too wide.
SAMPLERS = ("mmps:steps=50", "daps")


def sampler_for(prior: Prior, like: Likelihood) -> str:
    """The spec of the sampler for the problem `like`. Raises MismatchError if none takes it."""
    why = ""
    for spec in SAMPLERS:
        why = build(spec, SOLVERS).mismatch(prior, like) or ""
        if not why:
            note("samples are drawn by %s (no solver was named)", spec)
            return spec
    raise MismatchError(f"name a solver that draws samples: {why}")


def no_posterior(solver: AnySolver) -> str | None:
    """What is to be known of several runs of `solver`, in a sentence; None if they are draws of the posterior."""
    if solver.returns != "point":
        return None
    name = type(solver).__name__
    return (
        f"{name} returns a point: the spread of its runs is no posterior, so no standard deviation is written. Without "
        "a named solver, samples are drawn by one that claims the posterior; the best of several runs is --starts"
    )
