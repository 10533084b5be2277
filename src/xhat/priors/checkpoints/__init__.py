"""Checkpoints as people have them: single files, recognised by their content and read without running anything in
them.
"""

from .adm import ADM
from .consistency import ConsistencyCheckpoint
from .ddpm import DDPM
from .denoiser import FileDenoiser
from .edm import EDMNetwork
from .files import Checkpoint, read
from .formats import FORMATS, Format
from .plan import NetworkPrior, Plan
from .recognise import file_spec

__all__ = [
    "ADM",
    "DDPM",
    "FORMATS",
    "Checkpoint",
    "ConsistencyCheckpoint",
    "EDMNetwork",
    "FileDenoiser",
    "Format",
    "NetworkPrior",
    "Plan",
    "file_spec",
    "read",
]
