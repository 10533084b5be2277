"""Single planes of numbers in the files of astronomy, electron microscopy and MATLAB: FITS, MRC, .mat."""

from ...registry import Plugin
from . import fits, matlab, mrc

PLUGIN = Plugin(
    "planes",
    readers={
        **dict.fromkeys((".fits", ".fit", ".fts"), fits.read),
        **dict.fromkeys((".mrc", ".mrcs", ".map"), mrc.read),
        ".mat": matlab.read,
    },
)
