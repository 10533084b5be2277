"""What to try the laws of solvers on: options that keep inner work small, and problems that each can take."""

from dataclasses import replace

import torch

from oracles import GaussianText, LayeredGaussian, Rotation, problem, rbf_prior
from xhat.likelihoods import BlindGaussian, LatentLikelihood, NoiselessLinear, likelihood
from xhat.noise import Gaussian, Noise, Noiseless
from xhat.priors import Autoencoded, ConsistencyPrior, GaussianPrior, Prior, TextPrior
from xhat.solvers import SOLVERS, Solver

# what keeps inner work small, or suits images of 64 numbers and few steps; all others run as they are
QUICK: dict[str, dict[str, object]] = {
    "consistent_csgm": {"lr": 0.1},
    "csgm": {"ode_steps": 3, "lr": 0.1},
    "daps": {"mcmc_steps": 10, "ode_steps": 2},
    "dcdp": {"inner_steps": 10, "ode_steps": 2},
    "dflow": {"ode_steps": 3, "lr": 0.1},
    "dmplug": {"lr": 0.1},
    "efficient_score_prior": {"layers": 2, "hidden": 8, "draws": 4, "lr": 0.05},
    "gibbs_ddrm": {"inner_steps": 3},
    "ilo": {"lr": 0.1},
    "latent_resample": {"every": 3, "pixel_steps": 20, "pixel_lr": 0.05, "latent_steps": 20, "latent_lr": 0.05},
    "lgd": {"n": 3},
    "map_ga": {"inner_steps": 3},
    "map_ga_generic": {"inner_steps": 3},
    "map_ga_pigdm": {"inner_steps": 3, "pigdm_steps": 3},
    "mpgd": {"kappa": 0.3},  # a distance in image space; these images are small
    "pmc_pnp": {"gamma": 1e-3, "sigma_min": 0.05},
    "pmc_red": {"gamma": 1e-3, "sigma_min": 0.05},
    "resample": {"every": 3, "inner_steps": 20, "lr": 0.05},
    "score_ilo": {"lr": 0.1, "stages": 2},  # the last layer here is the image, whose pixels are not independent
    "score_prior": {"layers": 2, "hidden": 8, "draws": 4, "lr": 0.05},
    "shred": {"ode_steps": 3, "lr": 0.1},
    "sitcom": {"inner_steps": 5, "lr": 0.1},
    "snips": {"inner_steps": 2, "lr": 0.2},
}


def quick(name: str, steps: int = 8) -> Solver:
    return replace(SOLVERS[name](), steps=steps, **QUICK.get(name, {}))


def noise_for(name: str, sigma: float) -> Noise:
    """No noise where a solver is written for data without."""
    return Noiseless() if name == "ddnm" or issubclass(SOLVERS[name].needs, NoiselessLinear) else Gaussian(sigma)


def operator_for(name: str, usual: str = "inpaint") -> str:
    """A blur with a kernel to be found for the solvers that find it."""
    return "blind_blur:size=3,std=0.6" if issubclass(SOLVERS[name].needs, BlindGaussian) else usual


def prior_for(name: str, base: Prior) -> Prior:
    """`base`, its exact consistency function, or a prior of rotated images as latents: as the solver needs it."""
    if issubclass(SOLVERS[name].needs_prior, ConsistencyPrior):
        return LayeredGaussian(base)
    if not issubclass(SOLVERS[name].needs, LatentLikelihood):
        return base
    rotation = Rotation()
    latent = rotation.rotated(base) if isinstance(base, GaussianPrior) else base
    made = GaussianText if issubclass(SOLVERS[name].needs_prior, TextPrior) else Autoencoded
    return made(latent, rotation).to(next(base.buffers(), torch.zeros(0)).dtype)


def setup(name: str, seeds: list[int], dtype: torch.dtype = torch.float64):
    """A prior and a problem that solver `name` can take, in `dtype`."""
    prior = rbf_prior().to(dtype)
    noise = noise_for(name, 0.1)
    _, like = problem(prior, seeds, operator_for(name), noise)
    prior = prior_for(name, prior)
    return prior, prior.problem(likelihood(like.A.to(dtype), noise, like.y.to(dtype)))
