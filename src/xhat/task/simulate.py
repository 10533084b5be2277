"""Measurements of a known image: y = A(x) + noise."""

from ..checks import SEEDS, whole
from ..errors import DataError
from ..files.arrays import Range
from ..files.measurement import Measurement, Source
from ..files.readers.load import load_reference
from ..noise import NOISES, Noise
from ..operators.base import Operator
from .intake import image, in_range
from .parts import NoiseLike, OperatorLike, adopted, as_noise, as_operator, image_for, name_of
from .run import measured


def simulate(
    x: Source,
    operator: OperatorLike,
    noise: NoiseLike,
    seed: int = 0,
    value_range: Range | None = None,
) -> Measurement:
    """One measurement y = A(x) + noise of the image `x`, ready for `restore`.

    Example:

        y = xhat.simulate("photo.png", "gaussian_blur:std=1.5", "gaussian:sigma=0.05", seed=1)

    Parameters:
        x: a path, an array, a PIL image or a tensor, without a batch axis. uint8 and uint16 arrays are pixels;
            floats are in [−1, 1] for pictures, and in the units of the operator for other images. The channels of a
            picture may be first, last or none.
        operator: A, as a spec string, an `Operator`, or a function on batches, (b, *image) to (b, *data).
        noise: what the detector adds: a number, the sigma of Gaussian noise in the units of y, a spec string or a
            `Noise`.
        seed: the seed of the noise.
        value_range: what black and white are in `x`, if it is a picture in an array or a tensor of floats: (0, 1), for
            example, and then a noise that is a number is in these units, too; y is in [−1, 1].

    Returns a `Measurement`: `y` of shape (*data), with the specs that made it. `save` writes it to a file.

    Raises SpecError for an unknown name or option, DataError for a file that cannot be read, and ShapeError or
    MismatchError if the parts do not fit.
    """
    given_image = load_reference(x)
    operator = adopted(operator, tuple(given_image.shape))
    found = image(x, given_image, operator, value_range)
    noise = in_range(noise, value_range)
    whole("seed", seed, 0, SEEDS)
    truth = image_for(operator, found)
    A, given = as_operator(operator, tuple(truth.shape)), as_noise(noise)
    model = given.bind(A.detector)
    y = measured(A, model, truth[None], [seed])[0]
    if not y.isfinite().all():
        raise DataError(f"{name_of(operator)} gives numbers that are not finite, for this image")
    own: dict[str, Operator | Noise] = {} if isinstance(operator, str) else {"operator": A}
    if type(given) not in NOISES.values():
        own["noise"] = given
    return Measurement(
        y=y,
        image_shape=A.shape,
        operator=operator if isinstance(operator, str) else None,
        noise=name_of(model, NOISES) if type(model) in NOISES.values() else None,
        seed=seed,
        origin=f"a measurement simulated with {name_of(operator)}",
        parts=own,
    )
