"""Forward operators. This import list is the registry: one line per operator."""

from ..registry import concrete
from .base import LinearOperator, Operator, SpectralOperator
from .blur import Blur, MotionBlur
from .denoise import Denoise
from .gaussian_blur import GaussianBlur
from .inpaint import Inpaint
from .super_resolution import SuperResolution

OPERATORS = concrete(vars(), Operator)
