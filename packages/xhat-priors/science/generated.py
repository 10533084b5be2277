"""Train a prior of generated pictures on one core, by the clock: how `blackhole_net`, `velocity_net` and
`vorticity_net` were made.

    xhat generate velocity --count 40000 --seed 1 -o velocity_64.npz
    xhat generate velocity --count 10000 --seed 1 --size 128 -o velocity_128.npz
    python generated.py OUT --what velocity --data velocity_64.npz velocity_128.npz --minutes 14 [--resume]

256 pictures of seed 2 are held out. What OUT gets is told in train.py.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from train import main, shared

from xhat.priors.generated import GENERATORS

AREA = 32 * 64 * 64
"""Pixels of a step."""

LEVELS = {
    "blackhole": "edm:sigma_min=0.01,sigma_max=20.0,rho=7.0",
    "velocity": "edm:sigma_min=0.01,sigma_max=10.0,rho=7.0",
    "vorticity": "edm:sigma_min=0.01,sigma_max=10.0,rho=7.0",
}
"""The levels on which solvers run the prior: those of the mixture of the same pictures."""

HELD = 2
"""The seed of the pictures held out."""


class Pictures:
    """The pictures of `files`, each with one size, in memory, and the symmetries of their kind."""

    def __init__(self, what: str, files: list[Path]) -> None:
        self.what = what
        self.pictures = [np.load(file)["x"] for file in files]
        self.held_out = held_out(what)
        self.sigma_data = float(f"{scaled(self.pictures[0][::7]).std():.3g}")

    def batch(self, done: float, rng: np.random.Generator) -> Tensor:
        """Pictures (b, 1, n, n) in [-1, 1]; three steps in four are of the first file."""
        pictures = self.pictures[0 if rng.random() < 0.75 else -1]
        chosen = pictures[rng.integers(len(pictures), size=AREA // pictures[0].size)]
        return scaled(np.stack([SYMMETRIES[self.what](x, rng) for x in chosen]))


def mirrored(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Left and right, axis 0, are alike; up and down, axis 1, are not."""
    return x[::-1] if rng.random() < 0.5 else x


def turned(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """No direction is special."""
    x = np.rot90(x, rng.integers(4))
    return x[:, ::-1] if rng.random() < 0.5 else x


def drifted(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A flow on the torus, forced by -cos 4y with y along axis 1, under the symmetries of its equation.

    These are w(x + any, y + quarter), w(-x, -y) and -w(-x, y + eighth).
    """
    n, eighths = len(x), 2 * rng.integers(4)
    if rng.random() < 0.5:
        x = np.roll(x[::-1, ::-1], 1, 1)
    if rng.random() < 0.5:
        x, eighths = 255 - x[::-1], eighths + 1
    return np.roll(x, (rng.integers(n), eighths * n // 8), (0, 1))


SYMMETRIES = {"blackhole": turned, "velocity": mirrored, "vorticity": drifted}


def scaled(x: np.ndarray) -> Tensor:
    """uint8 (b, n, n) as float32 (b, 1, n, n) in [-1, 1]."""
    return torch.from_numpy(x)[:, None].float() / 127.5 - 1


def held_out(what: str) -> Tensor:
    """Pictures (256, 1, 64, 64) in [-1, 1] that are not trained on."""
    return scaled(GENERATORS[what](256, 64, HELD))


if __name__ == "__main__":
    parser = shared(__doc__, "32,64,128", "1,2,3")
    parser.add_argument("--what", choices=sorted(SYMMETRIES), required=True)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="one file for each size")
    options = parser.parse_args()
    main(options, Pictures(options.what, options.data))
