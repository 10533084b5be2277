"""The laws of noise models: the residual and the density are those of the samples."""

import math

import torch
from torch import Tensor

from ..noise import Noise, Noiseless
from ..rng import Rng
from .law import Law

DRAWS = 4000  # for averages: their standard error is then 1.6 % of a standard deviation
# The step of differences, in standard deviations of what a sample tells of z, over all 24 numbers. Of Laplace's kink it
# makes an error of about 2 %, and chance alone moves the second identity by 2 % of its value.
STEP = 0.15
ERRORS = 5  # standard errors that an average may be off: chance exceeds that once in 1.7 million


def clean(batch: int = 3, seed: int = 1) -> Tensor:
    """Noiseless data, (b, 2, 3, 4), uniform on [−0.8, 0.8], in double precision."""
    g = torch.Generator().manual_seed(seed)
    return 1.6 * torch.rand(batch, 2, 3, 4, generator=g, dtype=torch.float64) - 0.8


def seed_decides(noise: Noise) -> None:
    """A seed decides the noise of its image, whatever else is in the batch; other seeds give other noise."""
    law = Law(noise, "a seed decides the noise of its image", "`torch.randn` in place of `rng`")
    x, noise, alone = clean(2), noise.take(torch.tensor([0, 1])), noise.take(torch.tensor([1]))
    y = noise.sample(x, Rng([4, 5]))
    law.holds(y.shape == x.shape, f"data of shape {tuple(x.shape)} become {tuple(y.shape)}")
    law.same(noise.sample(x, Rng([4, 5])), y, "the same seeds again")
    law.same(alone.sample(x[1:], Rng([5])), y[1:], "the second image alone")
    if not isinstance(noise, Noiseless):
        law.holds(not torch.equal(noise.sample(x, Rng([4, 6]))[1], y[1]), "another seed gives the same noise")


def images_do_not_mix(noise: Noise) -> None:
    """−log p, the residuals and the scale of an image do not depend on its neighbours, and `take` selects images."""
    law = Law(noise, "images never mix", "a mean over the batch, or a number per image that `take` forgets")
    x = clean()
    y = noise.sample(x, Rng([1, 2, 3]))
    for index in (torch.tensor([1]), torch.tensor([2, 0, 2])):
        part = noise.take(index)
        law.near(part.nll(y[index], x[index]), noise.nll(y, x)[index], 1e-12, 1e-12, "nll")
        law.near(part.residual(y[index], x[index]), noise.residual(y, x)[index], 1e-12, 1e-12, "residual")
        law.near(part.expected_residual(x[index]), noise.expected_residual(x)[index], 1e-12, 1e-12, "expected_residual")
        law.near(part.scale(y[index]), noise.scale(y)[index], 1e-12, 1e-12, "scale")


def residual_is_expected(noise: Noise) -> None:
    """The mean square of y − A(x) over many draws is the square of `expected_residual`."""
    law = Law(noise, "the residual of samples is the expected one", "a variance for a standard deviation, or a factor")
    x, noise = clean(1).expand(DRAWS, -1, -1, -1), noise.take(torch.zeros(DRAWS, dtype=torch.long))
    found = noise.residual(noise.sample(x, Rng(range(DRAWS))), x).square()
    expected = float(noise.expected_residual(x)[0].square())
    error = ERRORS * float(found.std()) / math.sqrt(DRAWS) + 1e-12
    off = abs(float(found.mean()) - expected)
    law.holds(off <= error, f"the mean square is {float(found.mean()):.5g}, expected {expected:.5g} ± {error:.2g}")


def density_is_that_of_the_samples(noise: Noise) -> None:
    """E[∇ℓ] = 0 and E[(v·∇ℓ)²] = d/dh E[v·∇ℓ(z + h v)] for ℓ = −log p(y|z) at the true z: Bartlett's identities.

    The first fails if the samples are biased, the second if the ½ or the σ² of `nll` is not that of `sample`. The slope
    of the mean is a difference: the mean of ∇ℓ over the samples is smooth in z where ℓ itself has kinks, as Laplace's.
    Noiseless data have no density: it is enough that the measurement itself has the least `nll`.
    """
    law = Law(noise, "`nll` is the density of `sample`", "the ½ or the σ² of the negative log-likelihood")
    z, noise = clean(1).expand(DRAWS, -1, -1, -1).clone(), noise.take(torch.zeros(DRAWS, dtype=torch.long))
    y = noise.sample(z, Rng(range(DRAWS)))
    if isinstance(noise, Noiseless):
        law.holds((noise.nll(y, z) < noise.nll(y, z + 1e-3)).all(), "the measurement is not its most likely cause")
        return
    v = torch.randn(z[:1].shape, generator=torch.Generator().manual_seed(3), dtype=z.dtype)

    def slope(at: Tensor) -> Tensor:
        at = at.clone().requires_grad_()
        with torch.enable_grad():
            (found,) = torch.autograd.grad(noise.nll(y, at).sum(), at)
        return found

    here = slope(z).flatten(1)
    error = ERRORS * here.std(0) / math.sqrt(DRAWS)
    worst = float((here.mean(0).abs() / error).max()) * ERRORS
    law.holds(worst <= ERRORS, f"the mean of ∇ nll at the truth is {worst:.1f} standard errors from 0")
    square = (here * v.flatten(1)).sum(1).square()
    law.holds(square.mean() > 0, "it does not depend on the noiseless data")
    h = STEP / math.sqrt(float(square.mean()))
    curve = ((slope(z + h * v) - slope(z - h * v)) * v).flatten(1).sum(1) / (2 * h)
    gap, spread = float((square - curve).mean()), float((square - curve).std()) / math.sqrt(DRAWS)
    said = f"E[(v·∇nll)²] is {float(square.mean()):.4g}, the slope of E[v·∇nll] {float(curve.mean()):.4g}"
    law.holds(abs(gap) <= ERRORS * spread, f"{said}, {abs(gap) / spread:.1f} standard errors apart")
