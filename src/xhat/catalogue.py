"""What joins the core: one line for each science.

This module sits on top. No other module imports it: the registries load it by its name when they are first asked.
"""

from .registry import Plugin
from .science import ct, fwi, inversebench, mri, navier_stokes, planes, scattering, vlbi, volumes

PLUGINS: tuple[Plugin, ...] = (
    ct.PLUGIN,
    fwi.PLUGIN,
    inversebench.PLUGIN,
    mri.PLUGIN,
    navier_stokes.PLUGIN,
    planes.PLUGIN,
    scattering.PLUGIN,
    vlbi.PLUGIN,
    volumes.PLUGIN,
)
