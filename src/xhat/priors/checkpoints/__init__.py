"""Checkpoints as people have them: single files, recognised by their content and read without running anything in
them.
"""

from .adm import ADM
from .consistency import ConsistencyCheckpoint
from .denoiser import FileDenoiser
from .edm import EDMNetwork
from .inspect import inspect
from .options import read_options
from .recognise import file_spec

__all__ = [
    "ADM",
    "ConsistencyCheckpoint",
    "EDMNetwork",
    "FileDenoiser",
    "file_spec",
    "inspect",
    "read_options",
]
