"""Write the averaged weights of a training as the folder that the prior loads.

    python export.py OUT FOLDER --data brain_128.npz --recipe brain
    python export.py OUT FOLDER --what velocity

OUT is the folder that train.py wrote. FOLDER gets `model.safetensors`, in half precision, `config.json`, `log.csv`,
`calibration.json`, measured on the images held out, and `samples.png`, drawn without a measurement and not selected.
"""

import argparse
import json
import shutil
from pathlib import Path

import generated
import torch
from safetensors.torch import save_file
from train import TRAINED

from xhat.priors import NetworkFolder
from xhat.priors.calibrate import measure, spaced
from xhat.train.held import held_out
from xhat.train.sample import draw, grid


def main(options: argparse.Namespace) -> None:
    out: Path = options.folder
    saved = torch.load(options.out / "checkpoint.pt", weights_only=False)
    out.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().contiguous() for k, v in saved["mean"].items()}, out / "model.safetensors")
    config = {
        "network": "residual_unet",
        "options": saved["config"],
        "sigma_data": saved["sigma_data"],
        "schedule": generated.LEVELS.get(options.what, f"edm:sigma_min={TRAINED[0]},sigma_max={TRAINED[1]},rho=7.0"),
        "trained": TRAINED,
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    shutil.copy(options.out / "log.csv", out)
    prior = NetworkFolder(out)
    held = generated.held_out(options.what) if options.what else held_out(str(options.data), options.recipe)
    measure(prior, held, spaced()).write(out / "calibration.json")
    grid(draw(prior, tuple(held.shape[1:]), 16, 18)).save(out / "samples.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--recipe", help="whose table [data] says which images of --data are held out")
    parser.add_argument("--what", help="pictures of `xhat generate WHAT`, in place of --data and --recipe")
    main(parser.parse_args())
