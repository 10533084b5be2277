"""The images that a training run holds out: a prior that was trained on the others has not seen them."""

from functools import lru_cache

from torch import Tensor

from .dataset import load
from .recipe import read_recipe


@lru_cache(2)
def held_out(path: str, recipe: str) -> Tensor:
    """What `xhat train denoiser PATH --recipe RECIPE` holds out, prepared as for training: (n, c, h, w) in [−1, 1].

    Raises DataError for data and SpecError for a recipe that cannot be used.
    """
    options = read_recipe(recipe, []).data
    return load(path, options).validation(options.validation)
