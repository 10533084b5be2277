"""3x3 convolutions with what follows them, in one pass over memory where torch can do that.

At the finest level of a U-Net a pass over the features costs a quarter of their convolution. oneDNN, which computes
the convolutions of a processor, can apply a relu or add another tensor as it writes. torch.compile uses that, too.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

POINTWISE: Any = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)  # torch's own name for such a convolution
PLACE = ([1, 1], [1, 1], [1, 1], 1)  # padding, stride, dilation, groups


def conv_relu(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """relu(weight * x + bias) for `x` (b, c, h, w), zeros outside; `weight` is (k, c, 3, 3) and `bias` (k,)."""
    if _joined(x, weight):
        out: Tensor = POINTWISE(x, weight, bias, *PLACE, "relu", [], "")
        return out
    return F.conv2d(x, weight, bias, padding=1).relu_()


def conv_add(x: Tensor, weight: Tensor, bias: Tensor | None, onto: Tensor) -> Tensor:
    """onto + weight * x + bias, shapes as for `conv_relu` and `onto` as the result."""
    if _joined(x, weight):
        out: Tensor = POINTWISE.binary(x, onto, weight, bias, *PLACE, "add", 1.0, None, [], None)
        return out
    return F.conv2d(x, weight, bias, padding=1).add_(onto)


def _joined(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN's convolution is at hand and fits: on the CPU, in bfloat16, without derivatives."""
    return (
        POINTWISE is not None
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.bfloat16  # under autocast the weights are still float32
        and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
        and not torch.compiler.is_compiling()
    )
