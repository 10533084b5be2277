"""Checkpoints as people have them: single files, recognised by their content and read without running anything in
them.
"""

from .adm import ADM
from .consistency import ConsistencyCheckpoint
from .ddpm import DDPM
from .denoiser import FileDenoiser
from .edm import EDMNetwork
from .formats import FORMATS, Format
from .recognise import file_spec

__all__ = ["ADM", "DDPM", "FORMATS", "ConsistencyCheckpoint", "EDMNetwork", "FileDenoiser", "Format", "file_spec"]
