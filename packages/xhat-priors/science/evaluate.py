"""PSNR in dB of priors on images held out, at fixed noise levels, as a table.

    python evaluate.py DATA RECIPE PRIOR PRIOR ...
    python evaluate.py generated WHAT PRIOR PRIOR ...

The second is for pictures of `xhat generate WHAT` that are not trained on. A PRIOR is a spec or a folder; all see the
same noise. PSNR is that of the mean squared error over all images.
"""

import sys

import generated

from xhat.metrics.pixels import decibels
from xhat.priors import build_prior
from xhat.priors.calibrate import measure
from xhat.train.held import held_out

LEVELS = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0)


def main(data: str, recipe: str, *priors: str) -> None:
    held = generated.held_out(recipe) if data == "generated" else held_out(data, recipe)
    print(f"| {len(held)} images held out |", " | ".join(f"s = {s}" for s in LEVELS), "|")
    print("|---" * (len(LEVELS) + 1) + "|")
    for text in priors:
        found = measure(build_prior(text, "cpu"), held, LEVELS)
        print(f"| `{text}` |", " | ".join(f"{decibels(e):.2f}" for e in found.mse), "|", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
