"""The table of docs/mri.md: LMAPS beside half-quadratic steps, DDNM and total variation on held-out slices, by noise.

    python -m benchmarks.mri_noise brain_128.npz

Eight of the slices that the prior `brain` was not trained on; eight birdcage coils whose maps are known to all.
"""

import argparse

import torch

import xhat
from xhat.bench.images import Held
from xhat.likelihoods import likelihood
from xhat.loop import solve
from xhat.noise import Gaussian, Noise, Noiseless
from xhat.operators import OPERATORS
from xhat.rng import Rng
from xhat.science.mri.metrics import magnitude_psnr, magnitude_ssim
from xhat.task.parts import as_solver

SLICES = 8
NOISES: tuple[Noise, ...] = (Noiseless(1e-4), Gaussian(0.003), Gaussian(0.01), Gaussian(0.03))
WEIGHTS = ("5e-4", "2e-3", "5e-3", "2e-2")  # of total variation
SOLVERS = ("lmaps:steps=20", "hqs:steps=20", "ddnm", *(f"tv:lam={w}" for w in WEIGHTS), "adjoint", "pinv")


def main() -> None:
    """Prints one line a cell: PSNR of the magnitude with its 95 % interval, SSIM, residual over the expected one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="brain_128.npz")
    held = Held(parser.parse_args().data, "brain")
    names = held.names()[:: len(held.names()) // SLICES][:SLICES]
    grey = (torch.stack([held.load(name).reshape(1, 128, 128) for name in names]) + 1) / 2
    x = torch.cat([grey, torch.zeros_like(grey)], 1)
    prior = xhat.build_prior("magnitude:prior=brain")
    for acceleration in (4, 8):
        A = xhat.build(f"mri:acceleration={acceleration}", OPERATORS, (2, 128, 128))
        for noise in NOISES:
            like = likelihood(A, noise, noise.sample(A(x), Rng(range(SLICES))))
            for spec in SOLVERS:
                if spec == "ddnm" and not isinstance(noise, Noiseless):
                    continue  # it is for data without noise
                z = solve(as_solver(spec), prior, like, Rng(range(100, 100 + SLICES)))
                psnr, (found, expected) = magnitude_psnr(z, x), like.misfit(z)
                wide = 2.365 * float(psnr.std()) / SLICES**0.5  # Student's t of seven degrees
                ratio = "" if isinstance(noise, Noiseless) else f", residual {float((found / expected).mean()):.2f}"
                print(
                    f"x{acceleration} {noise} {spec}: {float(psnr.mean()):.2f} ± {wide:.2f} dB, "
                    f"SSIM {float(magnitude_ssim(z, x).mean()):.3f}{ratio}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
