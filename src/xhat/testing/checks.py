"""All laws of a part at once. Which laws there are is decided by its type."""

from collections.abc import Callable, Sequence
from typing import Any

from ..noise import Noise
from ..operators.base import LinearOperator, Operator, ProxyOperator, SpectralOperator
from ..priors.base import Prior
from ..solvers.base import AnySolver
from . import linear, noise, operators, priors, solvers

OperatorLaw = Callable[[Any], None]
PriorLaw = Callable[[Prior, Sequence[int]], None]
SolverLaw = Callable[[AnySolver], None]
NoiseLaw = Callable[[Noise], None]

OPERATOR_LAWS: dict[type[Operator], tuple[OperatorLaw, ...]] = {
    Operator: (
        operators.refuses_other_shapes,
        operators.refuses_other_batches,
        operators.data_has_its_shape,
        operators.keeps_its_input,
        operators.takes_images,
        operators.images_do_not_mix,
        operators.memory_does_not_matter,
        operators.double_follows,
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


PRIOR_LAWS: tuple[PriorLaw, ...] = (
    priors.depends_on_ratio_only,
    priors.images_do_not_mix,
    priors.keeps_its_input,
    priors.memory_does_not_matter,
    priors.double_stays_double,
    priors.has_the_gradient_of_its_values,
    priors.is_at_rest,
    priors.counts_its_calls,
    priors.little_noise_changes_little,
    priors.error_is_at_most_the_noise,
)

SOLVER_LAWS: tuple[SolverLaw, ...] = (
    solvers.images_do_not_mix,
    solvers.freezing_moves_no_other,
    solvers.every_kth_step_is_every_kth,
    solvers.resumes_bit_for_bit,
    solvers.keeps_dtype_shape_and_data,
    solvers.a_seed_decides,
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
    copy in double precision; what was computed in single precision is compared with a tolerance for that.
    """
    return [_tried(law, A) for law in operator_laws(A)]


def check_prior(prior: Prior, shape: Sequence[int]) -> list[str]:
    """Tries every law on images of `shape`, (channels, height, width), and returns the laws' names.

    Raises LawBroken at the first broken one.
    """
    return [_tried(law, prior, tuple(shape)) for law in PRIOR_LAWS]


def check_solver(solver: AnySolver) -> list[str]:
    """Tries every law on small problems that the solver takes, and returns the laws' names.

    The images have 8x8 pixels and the prior is a Gaussian field, whose posterior is known. Some twenty runs are made,
    so choose options that keep inner work small; of `steps` there should be at least 50, for an answer that the last
    law accepts. Raises LawBroken at the first broken law and MismatchError if no problem fits the solver.
    """
    return [_tried(law, solver) for law in SOLVER_LAWS]


def check_noise(model: Noise) -> list[str]:
    """Tries every law of noise models on real data, and returns the laws' names.

    Raises LawBroken at the first broken one.
    """
    return [_tried(law, model) for law in NOISE_LAWS]


def _tried(law: Callable[..., None], *parts: Any) -> str:
    law(*parts)
    return law.__name__
