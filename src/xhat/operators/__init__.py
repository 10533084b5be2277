"""Forward operators. One line for each operator here; those of the sciences join through `xhat.catalogue`."""

from ..registry import Registry, concrete
from .algebra import stack
from .base import CellOperator, LinearOperator, Operator, ProxyOperator, SpectralOperator
from .blind_blur import BlindBlur
from .blur_of_volumes import volume_blur
from .colorize import Colorize
from .compressed_sensing import CompressedSensing
from .denoise import Denoise
from .dense import Dense
from .film import Interlace, Scratches, Snapshot
from .gaussian_blur import GaussianBlur
from .hdr import HDR
from .inpaint import Inpaint
from .jpeg import JPEG
from .kernel_blur import blur, motion_blur
from .lifted import frames, slices
from .nonlinear_blur import NonlinearBlur
from .out_of_focus import defocus
from .phase_retrieval import PhaseRetrieval
from .quantize import Quantize
from .rolling_shutter import RollingShutter
from .super_resolution import SuperResolution
from .temporal import DropFrames, Flicker, TemporalAverage, ThickSlices

OPERATORS: Registry[type[Operator]] = Registry("operators", Operator, concrete(vars(), Operator))
