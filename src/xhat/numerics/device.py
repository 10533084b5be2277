"""Where tensors are computed."""

import torch

from ..errors import SpecError


def best_device() -> str:
    """cuda, mps or cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def pick_device(device: str | torch.device) -> torch.device:
    """The device called `device`; "auto" is cuda if there is one, otherwise mps, otherwise cpu.

    Raises SpecError if the machine does not have it.
    """
    try:
        picked = torch.device(best_device() if device == "auto" else device)
        if picked.type == "meta":
            raise SpecError("device meta holds no numbers; take auto, cpu, cuda or mps")
        torch.zeros(1, device=picked)
    except SpecError:
        raise
    except Exception as e:  # each kind of device has errors of its own, a module that is missing among them
        why = (str(e).splitlines() or [""])[0][:120]
        raise SpecError(f"device {device} is not available; take auto, cpu, cuda or mps ({why})") from e
    return picked
