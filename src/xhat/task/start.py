"""The image at which a run begins: the measurement, a classical answer, or an image of the user's."""

from dataclasses import replace
from pathlib import Path

from ..checks import number
from ..errors import ANY, MismatchError, ShapeError, SpecError, about
from ..files.arrays import Range
from ..files.cut import Cut
from ..files.measurement import Measurement, Source
from ..files.readers.load import load_reference
from ..likelihoods import Likelihood, LinearGaussian, PinvGaussian
from ..operators.inpaint import Inpaint
from ..solvers.splitting import first
from ..solvers.started import Start
from ..solvers.warm import harmonic
from ..types import Image
from .checkpoint import digest
from .cutting import cut_alike
from .grey import stored_in_colour
from .intake import taken
from .parts import image_for
from .run import Job

Y, CLASSICAL = "y", "classical"


def begun_at(
    job: Job, given: Source, rho: float | None, found: Measurement, cut: Cut | None = None, values: Range | None = None
) -> Start:
    """Where `job` begins: `given` is y, classical, or an image like a reference, and `rho` the noise level ρ.

    `found` is the measurement, with which a picture of a file is cut and scaled. y is the measurement itself, where it
    has the shape of an image. classical is a hole's harmonic surface, for linear A the least-squares image with a
    little of Tikhonov's damping, and elsewhere A⁺ y. Raises SpecError, ShapeError or DataError for what is none of
    this, and MismatchError if the run cannot begin at an image.
    """
    like, level = job.problem, number("start_rho", rho)
    job = replace(job, start=Start(like.A.blank(1)[0], level, ""))
    job.method  # noqa: B018 - refuses a solver that cannot begin at an image
    if job.windows or job.like is not job.problem:
        what = "video or volume in windows" if job.windows else "chain of latents"
        raise MismatchError(f"a {what} cannot begin at an image: leave start away")
    job.steps  # noqa: B018 - refuses a ρ that the levels of the run do not have
    if isinstance(given, str) and given in (Y, CLASSICAL):
        image = measured(like) if given == Y else classical(like)
    else:
        image = loaded(given, like, found, cut, values)
    if tuple(image.shape) != like.A.shape:
        of = f" {given}" if isinstance(given, str | Path) else ""
        raise ShapeError(f"the start{of} has shape {tuple(image.shape)}, the restored image {like.A.shape}")
    return Start(image.to(like.y), level, str(given) if isinstance(given, str | Path) else "an image")


def measured(like: Likelihood) -> Image:
    """y as an image (*image). Raises ShapeError where it has another shape."""
    y = like.y[0]
    if tuple(y.shape) != like.A.shape:
        raise ShapeError(
            f"start y needs a measurement of the image's shape: {tuple(y.shape)} is not {like.A.shape}; take classical"
        )
    return y


def classical(like: Likelihood) -> Image:
    """An answer without a prior, (*image). Raises MismatchError where there is none in closed form."""
    if isinstance(like, LinearGaussian) and isinstance(like.A, Inpaint) and like.y.ndim == 4:
        return harmonic(like.y, like.A.support)[0]
    if isinstance(like, LinearGaussian):
        return first(like)[0]
    if isinstance(like, PinvGaussian):
        return like.A.pinv(like.y)[0]
    raise MismatchError(f"{type(like.A).__name__} has no classical answer in closed form: give a file as the start")


def loaded(given: Source, like: Likelihood, found: Measurement, cut: Cut | None, values: Range | None) -> Image:
    """The image of a file, an array or a tensor, (*image), as a reference is read."""
    file = isinstance(given, str | Path)
    if file and not Path(str(given).partition("#")[0]).exists():
        raise SpecError(
            f"start is y, classical or a file, and there is no file {given}; several random starts are starts=4, on "
            "the command line --starts 4"
        )
    with about(str(given) if file else "the start", ANY, "the start " if file else ""):
        read, _ = taken(given, like.A, None, values)
        x = load_reference(read)
        x = x / found.scale if read.truth is None and read.scale == 1 else x  # as y was
        x = cut_alike(x, found, cut) if cut else x
        return image_for(like.A, x[:1] if len(like.A.blank(1)[0]) == 1 and stored_in_colour(x) else x)


def account_of(start: Start) -> dict[str, object]:
    """What a record says of it."""
    return {"at": start.origin, "rho": start.rho, "sha256": digest([start.image])}
