"""Forward operators. This import list is the registry: one line per operator."""

from ..registry import concrete
from .base import LinearOperator, Operator, SpectralOperator
from .denoise import Denoise

OPERATORS = concrete(vars(), Operator)
