"""The number format in which a network runs; what surrounds it keeps the format of the image."""

import torch

from ..errors import SpecError
from .device import best_device

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def dtype_of(name: str, safe: bool = True) -> torch.dtype:
    """The dtype called `name`: float32, bfloat16, float16, or auto.

    auto is `fast_dtype()` for a network that is `safe` in it, and float32 for others. Eight bits of mantissa are enough
    where a network's output is scaled by the noise level before it is added to the image, as noise and velocity are;
    a network that gives the image itself would round it to 8 bits. Raises SpecError for an unknown name.
    """
    if name == "auto":
        return fast_dtype() if safe else torch.float32
    if name not in DTYPES:
        raise SpecError(f"unknown dtype {name!r}; choose from auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def fast_dtype() -> torch.dtype:
    """bfloat16 where the best device multiplies matrices of it in hardware, otherwise float32.

    These are processors with AMX, or AMD's with AVX512-BF16, and GPUs from NVIDIA's Ampere on. Elsewhere bfloat16 is
    emulated, and slower.
    """
    device = best_device()
    if device == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = device == "cpu" and processor_has_bfloat16()
    return torch.bfloat16 if fast else torch.float32


def processor_has_bfloat16() -> bool:
    """Whether the processor gains from bfloat16: it has AMX, or AVX512-BF16 as AMD has it from Zen 4 on.

    Measured on the latter: a call of `photo` takes 164 ms instead of 320 of float32; networks with normalisation gain
    nothing there and lose nothing. On a Xeon of Intel whose AMX is hidden, as in some virtual machines, AVX512-BF16
    loses: 405 ms instead of 246. A torch that does not say what its processor has counts as one without.
    """
    ask = getattr(torch.cpu, "get_capabilities", None)  # not yet in torch 2.6
    found = ask() if ask else {}
    return bool(found.get("amx_bf16") or (found.get("avx512_bf16") and "Intel" not in str(found.get("cpu_name"))))
