"""Your own denoiser as a prior: a function of the noise level, or a network of the noise in time steps."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..checks import instance, result, shown
from ..errors import SpecError
from ..schedule import EDM, Discrete, Level, Schedule
from ..types import Image
from .base import Prior
from .given_network import GivenNetwork
from .precondition import Tabulated


class Denoiser(Prior):
    """Your own denoiser as a prior: `Denoiser(lambda x, sigma: ...)`.

    `denoise` is given x = x₀ + σ n, a (b, *image) tensor, and the float σ, and returns its estimate of x₀. `schedule`
    is EDM's if it is left out. A function that returns the noise or the score instead, or works in [0, 1], is refused
    when a problem about pictures is solved with it, unless `trial` is false; so is a network (`nn.Module`) that does
    not denoise at all. A network of the noise in time steps is `Denoiser.from_eps(net, alphas_cumprod)`.

    Example:

        prior = xhat.Denoiser(lambda x, sigma: x / (1 + sigma**2))  # exact for images of independent N(0, 1) pixels
        r = xhat.restore(y, operator="gaussian_blur", noise=0.05, prior=prior)
    """

    def __init__(
        self, denoise: Callable[[Tensor, float], Tensor], schedule: Schedule | None = None, trial: bool = True
    ) -> None:
        super().__init__()
        if not callable(denoise) or isinstance(denoise, type):
            raise SpecError(f"a denoiser is a function (x, sigma) → x₀, not {shown(denoise)}")
        instance("schedule", schedule, Schedule | None, "a Schedule or None")
        self.denoise, self.trial = denoise, trial
        self.schedule = schedule or EDM()

    @classmethod
    def from_eps(
        cls,
        net: Callable[[Tensor, Tensor], object],
        alphas_cumprod: Tensor | Sequence[float],
        *,
        prediction: str = "epsilon",
        channels: int | None = None,
        multiple: int = 1,
        whole: bool = True,
        trial: bool = True,
    ) -> Prior:
        """A network of the noise in time steps, as most research checkpoints are, as a prior.

            x_t = ᾱ_t^½ x₀ + (1 − ᾱ_t)^½ ε,   net(x_t, t) ≈ ε

        Example:

            prior = xhat.Denoiser.from_eps(net, scheduler.alphas_cumprod)

        Parameters:
            net: called with images (b, c, h, w) in [−1, 1] with noise, and the time steps (b,), 0 … T − 1. Returns ε of
                the shape of the images; of twice the channels the second half, a learned variance, is left out. It is
                put into the mode of evaluation (`net.eval()`).
            alphas_cumprod: ᾱ₀ … ᾱ_{T−1}, falling, in (0, 1): the signal's share of the variance at each time step.
            prediction: what the network returns: "epsilon", "v_prediction" or "sample".
            channels: of the images; None takes those of the network's first convolution.
            multiple: both sides of an image are mirrored up to a multiple of this for the network.
            whole: time steps are whole numbers (int64). False gives fractional ones (float32), which is more exact for
                networks with a continuous embedding of time.
            trial: the network is tried once on a smooth picture and refused if it does not denoise it.

        Raises SpecError for a table that does not fall, and MismatchError if the network does not denoise.
        """
        abar = torch.as_tensor(alphas_cumprod, dtype=torch.float64, device="cpu").flatten()
        before = torch.cat([abar.new_ones(1), abar[:-1]])
        if len(abar) < 2 or not bool(((abar > 0) & (abar < before)).all()):
            raise SpecError("alphas_cumprod must be a table of at least 2 numbers that fall from below 1 towards 0")
        table = Discrete(betas=tuple((1 - abar / before).tolist()))
        return GivenNetwork(net, Tabulated(prediction, table, whole), table, channels, multiple, trial=trial)

    def forward(self, x: Image, t: Level) -> Image:
        name = getattr(self.denoise, "__name__", type(self.denoise).__name__)
        out = result(f"the denoiser {name}", lambda: self.denoise(x / t.alpha, t.ratio), x, tuple(x.shape[1:]))
        return out.to(x.dtype)

    def specimen(self, shape: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
        return shape if shape is not None and len(shape) == 3 and shape[0] in (1, 3) else None
