"""Forward operators. This import list is the registry: one line per operator."""

from ..registry import concrete
from .base import LinearOperator, Operator, ProxyOperator, SpectralOperator
from .black_hole import BlackHole
from .black_hole_array import BlackHoleArray
from .blind_blur import BlindBlur
from .blur import Blur, MotionBlur
from .colorize import Colorize
from .compressed_sensing import CompressedSensing
from .ct import CT
from .denoise import Denoise
from .dense import Dense
from .fwi import FWI
from .gaussian_blur import GaussianBlur
from .hdr import HDR
from .inpaint import Inpaint
from .jpeg import JPEG
from .mri import MRI, SingleCoilMRI
from .navier_stokes import NavierStokes
from .nonlinear_blur import NonlinearBlur
from .phase_retrieval import PhaseRetrieval
from .quantize import Quantize
from .scattering import Scattering
from .super_resolution import SuperResolution

OPERATORS = concrete(vars(), Operator)
