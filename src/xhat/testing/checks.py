"""All laws of a part at once. Which laws there are is decided by its type."""

from collections.abc import Callable, Sequence
from typing import Any

from ..checks import image_shape, instance
from ..errors import XhatError
from ..noise import Noise
from ..operators.base import LinearOperator, Operator, ProxyOperator, SpectralOperator
from ..priors.base import Prior
from ..solvers.base import AnySolver, Solver
from . import linear, noise, operators, priors, solvers
from .law import LawBroken, one_line

OperatorLaw = Callable[[Any], None]
PriorLaw = Callable[[Prior, Sequence[int]], None]
SolverLaw = Callable[[AnySolver], None]
NoiseLaw = Callable[[Noise], None]

OPERATOR_LAWS: dict[type[Operator], tuple[OperatorLaw, ...]] = {
    Operator: (
        operators.refuses_other_shapes,
        operators.refuses_other_batches,
        operators.takes_a_batch,
        operators.double_follows,
        operators.has_a_gradient,
        operators.data_has_its_shape,
        operators.keeps_its_input,
        operators.takes_images,
        operators.images_do_not_mix,
        operators.memory_does_not_matter,
        operators.counts_its_calls,
    ),
    ProxyOperator: (operators.proxy_gradient_is_the_identity,),
    LinearOperator: (
        linear.is_linear,
        linear.adjoint,
        linear.memory_does_not_matter,
        linear.counts_its_calls,
        linear.solves,
        linear.pinv,
        linear.agrees_with_its_matrix,
    ),
    SpectralOperator: (linear.singular_values,),
}


# A law comes before those that its breach would break, too: each names the cause that is left.
PRIOR_LAWS: tuple[PriorLaw, ...] = (
    priors.is_at_rest,
    priors.keeps_its_input,
    priors.depends_on_ratio_only,
    priors.images_do_not_mix,
    priors.memory_does_not_matter,
    priors.double_stays_double,
    priors.has_the_gradient_of_its_values,
    priors.counts_its_calls,
    priors.little_noise_changes_little,
    priors.error_is_at_most_the_noise,
)

SOLVER_LAWS: tuple[SolverLaw, ...] = (
    solvers.a_seed_decides,
    solvers.images_do_not_mix,
    solvers.freezing_moves_no_other,
    solvers.every_kth_step_is_every_kth,
    solvers.resumes_bit_for_bit,
    solvers.keeps_dtype_shape_and_data,
    solvers.nan_raises,
    solvers.refuses_by_type,
    solvers.uses_prior_and_data,
)

NOISE_LAWS: tuple[NoiseLaw, ...] = (
    noise.seed_decides,
    noise.images_do_not_mix,
    noise.residual_is_expected,
    noise.density_is_that_of_the_samples,
)


def operator_laws(A: Operator) -> list[OperatorLaw]:
    """The laws for an operator of A's type, each a function of A that raises LawBroken."""
    laws = [law for kind, some in OPERATOR_LAWS.items() if isinstance(A, kind) for law in some]
    return laws if isinstance(A, ProxyOperator) else [*laws, operators.has_the_gradient_of_its_values]


def check_operator(A: Operator) -> list[str]:
    """Tries every law that A's type allows, and returns the laws' names. Raises LawBroken at the first broken one.

    Build A for small images, (3, 16, 16) say: the laws of linear operators form its matrix where an image has at most
    2,000 numbers. If it has parameters that differ from image to image, give them for three images. The laws run on a
    copy in double precision; what was computed in single precision is compared with a tolerance for that. Raises
    SpecError for what is no operator, a class or a function for example.
    """
    _part(A, Operator, "an operator that is built, such as Flip((3, 16, 16)); a function becomes one by xhat.operator")
    return [_tried(law, A) for law in operator_laws(A)]


def check_prior(prior: Prior, shape: Sequence[int]) -> list[str]:
    """Tries every law on images of `shape`, (channels, height, width), and returns the laws' names.

    Raises LawBroken at the first broken one, and SpecError for what is no prior.
    """
    _part(prior, Prior, "a Prior that is built; a function (x, sigma) -> x0 becomes one by xhat.Denoiser")
    shape = image_shape(shape)
    return [_tried(law, prior, shape) for law in PRIOR_LAWS]


def check_solver(solver: AnySolver) -> list[str]:
    """Tries every law on small problems that the solver takes, and returns the laws' names.

    The images have 8x8 pixels and the prior is a Gaussian field, whose posterior is known. Some twenty runs are made,
    so choose options that keep inner work small; of `steps` there should be at least 50, for an answer that the last
    law accepts. Raises LawBroken at the first broken law, MismatchError if no problem fits the solver, and SpecError
    for what is no solver.
    """
    _part(solver, Solver, "a Solver that is built, such as DPS(steps=50)")
    return [_tried(law, solver) for law in SOLVER_LAWS]


def check_noise(model: Noise) -> list[str]:
    """Tries every law of noise models on real data, and returns the laws' names.

    Raises LawBroken at the first broken one, and SpecError for what is no noise model.
    """
    _part(model, Noise, "a Noise that is built, such as Gaussian(0.1)")
    return [_tried(law, model) for law in NOISE_LAWS]


def _part(given: object, kind: type, words: str) -> None:
    instance("what is checked", given, kind, words)


def _tried(law: Callable[..., None], part: Any, *more: Any) -> str:
    try:
        law(part, *more)
    except (LawBroken, XhatError):
        raise
    except Exception as e:  # the part's own code breaks
        says = (law.__doc__ or "").split("\n\n")[0]
        raise LawBroken(
            f"{type(part).__name__} raises {type(e).__name__} ({one_line(e)}) where the law {law.__name__} is tried: "
            f"{' '.join(says.split())}"
        ) from e
    return law.__name__
