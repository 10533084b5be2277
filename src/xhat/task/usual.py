"""Which prior is taken where none is named: that of the kind of image of which the operator's data are."""

from collections.abc import Mapping

from ..notes import note
from ..operators.base import Operator
from ..operators.building import operator_spec
from ..priors import PRIORS
from ..ranges import parameters
from ..spec import factors, parse
from .parts import Shape

UNNAMED = "auto"
PICTURES = "photo"
# The prior by the name of the operator that sees the image, and what it knows. A plug-in's operator is not here: its
# images are taken for pictures.
USUAL: Mapping[str, tuple[str, str]] = {
    "black_hole": ("blackhole", "pictures of black holes, discs and blobs"),
    "black_hole_array": ("blackhole", "pictures of black holes, discs and blobs"),
    "ct": (PICTURES, "photographs, not tomograms"),
    "helical_ct": (f"slices:prior={PICTURES}", "photographs, not tomograms"),
    "fwi": ("velocity_net", "made-up grounds of 64 and 128 pixels"),
    "mri": ("magnitude:prior=brain", "slices of heads"),
    "mri_single": ("magnitude:prior=brain", "slices of heads"),
    "mri_volume": ("slices:prior=(magnitude:prior=brain)", "slices of heads"),
    "navier_stokes": ("vorticity", "a forced flow"),
    "scattering": ("nuclei", "micrographs of nuclei"),
}
FITTED = ("blackhole", "vorticity")  # priors of square pictures that are fitted to those of a `size`


def usual(operator: object, shape: Shape | None = None, origin: str | None = None) -> str:
    """The spec of the prior for images of `operator`, a spec, an `Operator` or anything else, of `shape` if it is
    known.

    For the data of a science it is said which prior was taken for the measurement `origin`; None says nothing.
    """
    text = operator_spec(operator) if isinstance(operator, Operator) else operator
    name = parse(factors(text)[-1]).name if isinstance(text, str) else ""
    if name not in USUAL:
        return PICTURES
    prior, knows = USUAL[name]
    size = shape[-1] if shape and len(shape) == 3 and shape[-1] == shape[-2] else None
    if size and prior in FITTED and size != parameters(PRIORS[prior])["size"].default:
        prior = f"{prior}:size={size}"
    if origin is not None:
        note("%s: no prior was named: %s is taken, which knows %s; --prior names another", origin, prior, knows)
    return prior


def unnamed(prior: object) -> bool:
    """Whether a prior was left open: `auto`, with options or without."""
    return isinstance(prior, str) and prior.partition(":")[0] == UNNAMED


def named_prior(prior: str, operator: object, shape: Shape | None, origin: str | None) -> str:
    """The `usual` prior, with the options that stand behind `auto`."""
    return str(parse(usual(operator, shape, origin)).with_(**parse(prior).options))
