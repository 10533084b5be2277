"""Solvers on linear inverse scattering of cell nuclei: PSNR, SSIM, measurement error, calls, seconds.

`python -m benchmarks.scattering nuclei.npz --receivers 60 --images 2 -o out.jsonl` appends one line for each run;
`nuclei.npz` holds x (n, 128, 128) of uint8. Noise is CN(0, 1e-4²), as in InverseBench. Solvers get their defaults but
for the number of steps.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from skimage.restoration import denoise_tv_chambolle

from xhat.likelihoods import LinearGaussian, likelihood
from xhat.metrics.pixels import psnr, ssim
from xhat.noise import Gaussian
from xhat.numerics.linalg import norm
from xhat.priors import build_prior
from xhat.science.scattering.operator import Scattering
from xhat.task import restore, simulate

SIGMA = 1e-4 / 2**0.5
SOLVERS = ("lmaps:steps=20", "ddrm:steps=20", "ddnm+:steps=20", "diffpir:steps=20", "reddiff:steps=50")


def fista_tv(like: LinearGaussian, lam: float, steps: int = 150) -> torch.Tensor:
    """argmin ½‖y − A x‖² + λ TV(x) (Beck & Teboulle, 2009), the proximal step by scikit-image's Chambolle iteration."""
    lipschitz = float(like.A.s.max()) ** 2  # type: ignore[attr-defined]
    x = z = -torch.ones(1, *like.A.shape)
    t = 1.0
    for _ in range(steps):
        u = z + like.A.adjoint(like.residual(z)) / lipschitz
        new = torch.from_numpy(denoise_tv_chambolle(u[0, 0].numpy(), lam / lipschitz, max_num_iter=30))[None, None]
        new = new.float().clamp(-1, 1)
        s = (1 + (1 + 4 * t * t) ** 0.5) / 2
        x, z, t = new, new + (t - 1) / s * (new - x), s
    return x


def back_propagation(like: LinearGaussian) -> torch.Tensor:
    """Aᵀ y times the number that fits the data best, from the empty image."""
    empty = -torch.ones(1, *like.A.shape)
    back = like.A.adjoint(like.residual(empty))
    return empty + back * (norm(back) / norm(like.A(back))) ** 2


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("data", type=Path)
    p.add_argument("--receivers", type=int, default=60)
    p.add_argument("--images", type=int, default=2)
    p.add_argument("--prior", default="photo")
    p.add_argument("--solver", action="append", default=[])
    p.add_argument("--lam", type=float, default=3e-8, help="weight of total variation")
    p.add_argument("-o", "--out", type=Path, required=True)
    args = p.parse_args()
    pictures = np.load(args.data)["x"]
    A = Scattering((1, 128, 128), args.receivers)
    prior = build_prior(args.prior, "cpu")
    for i in range(args.images):
        truth = torch.from_numpy(pictures[i * len(pictures) // args.images]).float()[None] / 127.5 - 1
        y = simulate(truth, A, Gaussian(SIGMA), seed=i).y
        like = likelihood(A, Gaussian(SIGMA), y[None])
        assert isinstance(like, LinearGaussian)

        def note(name: str, x: torch.Tensor, seconds: float, calls: dict[str, int]) -> None:
            error = 100 * norm(like.residual(x)) / norm(y[None])  # noqa: B023
            row = {
                "solver": name,
                "receivers": args.receivers,
                "image": i,  # noqa: B023
                "psnr": float(psnr(x, truth[None])),  # noqa: B023
                "ssim": float(ssim(x, truth[None])),  # noqa: B023
                "error": float(error),
                "seconds": seconds,
                **calls,
            }
            print(json.dumps(row), flush=True)
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")

        start = time.perf_counter()
        note("back-propagation", back_propagation(like), time.perf_counter() - start, {"operator": 3})
        start = time.perf_counter()
        note(f"fista-tv:lam={args.lam:g}", fista_tv(like, args.lam), time.perf_counter() - start, {"operator": 300})
        for solver in args.solver or SOLVERS:
            r = restore(y, A, Gaussian(SIGMA), prior, solver, seed=i, device="cpu")
            note(solver, r.images, r.seconds, vars(r.calls))
            np.save(args.out.with_name(f"{solver.split(':')[0]}_{args.receivers}_{i}.npy"), r.image.numpy())
        np.save(args.out.with_name(f"truth_{i}.npy"), truth.numpy())


if __name__ == "__main__":
    main()
