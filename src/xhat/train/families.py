"""The families of networks that can be trained, by the name in a recipe."""

from pathlib import Path

from ..errors import SpecError
from ..priors.diffusers_folder import kind_of
from .family import Family
from .recipe import Recipe
from .residual import Residual
from .unet import Unet

FAMILIES: dict[str, Family] = {"residual": Residual(), "unet": Unet()}


def family_of(recipe: Recipe) -> Family:
    """The family of the recipe's network. Raises SpecError if the recipe is for an autoencoder."""
    if recipe.autoencoder is not None:
        raise SpecError("this recipe is for an autoencoder: it has a table autoencoder")
    return FAMILIES[recipe.network["family"]]


def kind_in(folder: Path) -> str:
    """The name of the family of the denoiser in a trained `folder`."""
    return "residual" if kind_of(folder) == "network" else "unet"
