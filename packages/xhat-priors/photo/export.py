"""Write the averaged weights of a training as the folder that the prior loads: `python export.py CHECKPOINT FOLDER`.

FOLDER gets `model.safetensors`, in half precision, and `config.json`. CHECKPOINT is train.py's `checkpoint.pt` or
`model.pt`.
"""

import json
import sys
from pathlib import Path

import torch
from net import LEVELS, SIGMA_DATA
from safetensors.torch import save_file


def main(checkpoint: Path, out: Path) -> None:
    saved = torch.load(checkpoint, weights_only=False)
    weights = saved["mean"] if "mean" in saved else saved["weights"]
    out.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().contiguous() for k, v in weights.items()}, out / "model.safetensors")
    config = {
        "network": "residual_unet",
        "options": {"channels": 3} | saved["config"],
        "sigma_data": SIGMA_DATA,
        "schedule": "edm:sigma_min=0.03,sigma_max=3.0,rho=7.0",
        "trained": LEVELS,
        "grey": True,
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
