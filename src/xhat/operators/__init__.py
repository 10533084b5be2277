"""Forward operators. This import list is the registry: one line per operator."""

from ..registry import concrete
from ..science.ct.operator import CT
from ..science.fwi.operator import FWI
from ..science.mri.operator import MRI, SingleCoilMRI
from ..science.navier_stokes.operator import NavierStokes
from ..science.scattering.operator import Scattering
from ..science.vlbi.operator import BlackHole
from ..science.vlbi.simulated import BlackHoleArray
from .base import LinearOperator, Operator, ProxyOperator, SpectralOperator
from .blind_blur import BlindBlur
from .blur import Blur, MotionBlur
from .colorize import Colorize
from .compressed_sensing import CompressedSensing
from .denoise import Denoise
from .dense import Dense
from .gaussian_blur import GaussianBlur
from .hdr import HDR
from .inpaint import Inpaint
from .jpeg import JPEG
from .nonlinear_blur import NonlinearBlur
from .phase_retrieval import PhaseRetrieval
from .quantize import Quantize
from .super_resolution import SuperResolution

OPERATORS = concrete(vars(), Operator)
