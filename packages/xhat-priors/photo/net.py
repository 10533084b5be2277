"""The denoiser around the network, as it is trained: each image of a batch at its own level."""

import torch
from torch import Tensor

from xhat.priors.pixel import pad
from xhat.priors.residual_unet import ResidualUNet

SIGMA_DATA = 0.5
"""The standard deviation of a photograph's pixels in [-1, 1] units, as EDM's preconditioning assumes it."""


LEVELS = (0.002, 40.0)
"""The lowest and the highest noise level that is trained."""


def denoise(net: ResidualUNet, u: Tensor, sigma: Tensor) -> Tensor:
    """D(u, sigma) = E[x0 | u = x0 + sigma n] of images (b, 3, h, w) in [-1, 1], `sigma` (b,) or (1,).

    D = c_skip u + c_out F(c_in u, ln(sigma) / 4) with c_skip = d^2 / (sigma^2 + d^2), c_in = 1 / sqrt(sigma^2 + d^2)
    and c_out = sigma d c_in, d = SIGMA_DATA (Karras et al., 2022, arXiv:2206.00364). Computed in u's dtype; the network
    runs in its own, on sides mirrored up to multiples of its own.
    """
    s = sigma.view(-1, 1, 1, 1)
    q = torch.sqrt(s * s + SIGMA_DATA**2)
    own = next(net.parameters()).dtype
    h, w = u.shape[-2:]
    out = net(pad(u / q, net.multiple).to(own), sigma.log() / 4)[..., :h, :w].to(u.dtype)
    return SIGMA_DATA**2 / (q * q) * u + s * SIGMA_DATA / q * out


def inherit(net: ResidualUNet, weights: dict[str, Tensor]) -> None:
    """Fill `net` from the weights of another shape, so that it starts as nearly the same function.

    Where the other is narrower, the new channels are read with zero weights and written as initialised; blocks that
    the other lacks stay the identity; of blocks that it has too many of, the first ones are taken. Levels are
    matched from the finest.
    """
    with torch.no_grad():
        for name, own in net.state_dict().items():
            old = weights.get(name)
            if old is None:
                continue
            if own.dim() == 4:
                transposed = name.startswith("grow")
                read = own.transpose(0, 1) if transposed else own
                old = old.transpose(0, 1) if transposed else old
                read[:, old.shape[1] :] = 0
                read[: old.shape[0], : old.shape[1]] = old
            else:
                own[tuple(slice(n) for n in old.shape)] = old


def psnr(estimate: Tensor, truth: Tensor) -> Tensor:
    """PSNR in dB of each image, (b,), of images in [-1, 1]; the estimate is clipped to that range."""
    error = (estimate.clamp(-1, 1) - truth).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / error.clamp_min(1e-12))
