"""Checkpoints of denoising-diffusion-pytorch (lucidrains) as priors."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import Tensor

from ...errors import DataError, SpecError
from ...ranges import Range, Side
from ..precondition import Tabulated
from .files import Checkpoint, read
from .fit import shape_of
from .lucid_net import Heads, LucidConfig, LucidUNet
from .plan import TABLE_NEEDED, NetworkPrior, Plan, no_label, table_told

CLIP = 5.0  # of the ratio of signal to noise in the weights of its loss, where they are clipped
CLOSE = 1e-3  # relative; its tables are float32


class Lucid(NetworkPrior):
    """A U-Net of denoising-diffusion-pytorch, of those versions whose attention has a memory, from its checkpoint.

    `model-10.pt` of its trainer, whose averaged weights are taken, or the network's own state dict. Widths, attention
    and heads are read off the shapes of the tensors. The trainer's file has the noise levels, and its weights of the
    loss tell what the network predicts; for other files say `noise_schedule`, linear or cosine, with `steps` if there
    are not 1000, and `prediction`, epsilon, v_prediction or sample. Images are of any size without `image_size`, in
    [−1, 1]. A network that takes its own last estimate is given 0 in its place, as in half of its training. `weights`
    is `averaged`, `raw` or the name of one of the sets of weights in the file. Raises DataError for a file that cannot
    be read or has another layout, and SpecError if an option is missing or wrong.
    """

    source = "github.com/lucidrains/denoising-diffusion-pytorch; arXiv 2006.11239"

    def __init__(
        self,
        path: str | Path,
        image_size: Annotated[int, Side] | None = None,
        noise_schedule: Literal["linear", "cosine"] | None = None,
        steps: Annotated[int, Range(2, 100_000)] | None = None,
        prediction: str | None = None,
        weights: str | None = None,
        dtype: str = "float32",
        compile: bool = False,
        trial: bool = True,
    ) -> None:
        plan = lucid_plan(read(path, is_lucid, weights), image_size, noise_schedule, steps, prediction)
        super().__init__(plan, None, dtype, compile, trial)


def is_lucid(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the tensors have the names of a U-Net of denoising-diffusion-pytorch, of any version."""
    return "init_conv.weight" in tensors and "final_res_block.block1.proj.weight" in tensors


def lucid_plan(
    file: Checkpoint,
    image_size: int | None = None,
    noise_schedule: str | None = None,
    steps: int | None = None,
    prediction: str | None = None,
) -> Plan:
    """The plan for a network in this layout. The options are those of `Lucid`; they win over what the file says.

    Raises SpecError if `file` has another layout or an option is wrong, and DataError if the file is damaged or of a
    version that is not read.
    """
    if not is_lucid(file.tensors):
        raise SpecError(
            f"{file.path} is none of denoising-diffusion-pytorch; give the path alone to have its layout recognised"
        )
    c = config_of(file.tensors, file.path)
    table = table_told(file, noise_schedule, steps)
    predicts = prediction or predicted(file)
    needs = []
    if table is None:
        needs.append(TABLE_NEEDED)
    if predicts is None:
        needs.append("prediction (epsilon, v_prediction or sample)")
    return Plan(
        path=file.path,
        layout="denoising-diffusion-pytorch",
        architecture=describe(c),
        build=lambda: LucidUNet(c),
        tensors=file.tensors,
        shape=(c.channels, image_size, image_size),
        multiple=2 ** (len(c.widths) - 1),
        classes=0,
        labels=no_label,
        precondition=None if table is None or predicts is None else Tabulated(predicts, table),
        schedule=table,
        needs=tuple(needs),
        weights=file.weights,
        notes=file.notes,
    )


def predicted(file: Checkpoint) -> str | None:
    """What the network predicts, by the weights of its loss at each noise level; None if the file does not tell.

    With s the ratio of signal to noise, clipped at 5 or not, they are s/snr for ε, s/(snr + 1) for v, and s for x₀
    (Salimans & Ho, 2022, arXiv:2202.00512; Hang et al., 2023, arXiv:2303.09556).
    """
    weights, kept = file.beside.get("loss_weight"), file.beside.get("alphas_cumprod")
    if weights is None or kept is None or weights.shape != kept.shape or weights.ndim != 1:
        return None
    snr = kept.double() / (1 - kept.double()).clamp_min(1e-12)
    found = set()
    for most in (None, CLIP):
        s = snr if most is None else snr.clamp(max=most)
        for name, value in (("epsilon", s / snr), ("v_prediction", s / (snr + 1)), ("sample", s)):
            if torch.allclose(value, weights.double(), rtol=CLOSE, atol=1e-6):
                found.add(name)
    return found.pop() if len(found) == 1 else None


def describe(c: LucidConfig) -> str:
    """The network in one line of text."""
    full = ", ".join(f"1/{2**i}" for i, heads in enumerate(c.levels) if heads.full) or "none"
    more = "; takes its own last estimate, and is given 0" if c.conditioned else ""
    return (
        f"U-Net of denoising-diffusion-pytorch, widths {c.first} to ({', '.join(map(str, c.widths))}), full attention "
        f"at {full} of the resolution and in the middle, linear elsewhere{more}"
    )


def config_of(tensors: Mapping[str, Tensor], path: Path) -> LucidConfig:
    """The configuration of the network with these tensors; `path` is named in errors.

    Raises DataError if they do not form such a network, or one of a version that is not read.
    """
    if "init_conv.weight" in tensors and "mid_attn.mem_kv" not in tensors:
        raise DataError(
            f"{path} is of an old version of denoising-diffusion-pytorch, whose network is another one (no memory in "
            "its attention); it is not read: export the network to ONNX or by torch.jit.save, and give that file"
        )
    first, into = shape_of(tensors, "init_conv.weight", path)[:2]
    levels = 1 + max((int(m[1]) for k in tensors if (m := re.match(r"downs\.(\d+)\.", k))), default=-1)
    if not levels:
        raise DataError(f"{path} has no levels of denoising-diffusion-pytorch's network")
    change = ["3.1.weight"] * (levels - 1) + ["3.weight"]
    widths = tuple(shape_of(tensors, f"downs.{i}.{name}", path)[0] for i, name in enumerate(change))
    out = shape_of(tensors, "final_conv.weight", path)[0]
    learned = "time_mlp.0.weights" in tensors
    embedding, told = shape_of(tensors, "time_mlp.1.weight", path)
    conditioned = into == 2 * out  # an image beside its last estimate goes in; a learned variance would come out
    return LucidConfig(
        channels=into // 2 if conditioned else into,
        out_channels=out,
        first=first,
        widths=widths,
        code=told - 1 if learned else told,
        embedding=embedding,
        levels=tuple(heads_of(tensors, f"downs.{i}.2", path) for i in range(levels)),
        middle=heads_of(tensors, "mid_attn", path),
        levels_up=tuple(heads_of(tensors, f"ups.{i}.2", path) for i in range(levels)),
        conditioned=conditioned,
        learned_code=learned,
    )


def heads_of(tensors: Mapping[str, Tensor], name: str, path: Path) -> Heads:
    """The attention called `name`: the shape of its memory tells its heads."""
    shape = shape_of(tensors, f"{name}.mem_kv", path)
    if len(shape) != 4:
        raise DataError(f"{path}: {name}.mem_kv has the shape {shape}, not four axes")
    full = f"{name}.to_out.weight" in tensors
    _, heads, a, b = shape
    return Heads(heads, b if full else a, a if full else b, full)
