"""Prompts and images as CLIP embeddings, by the encoders in the folders of Stable Diffusion's pipelines."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import DataError, SpecError
from ..files.extras import install
from ..types import Image
from . import diffusers_folder as folder
from .latent import Text, Vector

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP's images in [0, 1] (Radford et al., 2021)
STD = (0.26862954, 0.26130258, 0.27577711)


def encode_prompts(root: Path, prompts: list[str]) -> Text:
    """The last hidden states of `root`/text_encoder, a CLIPTextModel, for each prompt: (prompts, tokens, width).

    Raises SpecError if a prompt is longer than the encoder takes, so that nothing is cut off in silence.
    """
    tokenizer = load(root / "tokenizer", ("CLIPTokenizer", "CLIPTokenizerFast"))
    encoder = load(root / "text_encoder", ("CLIPTextModel",))
    longest = int(tokenizer.model_max_length)
    for prompt in prompts:
        if (n := len(tokenizer(prompt).input_ids)) > longest:
            raise SpecError(f"a prompt of {n} tokens; {root / 'text_encoder'} takes {longest}: {prompt!r}")
    tokens = tokenizer(prompts, padding="max_length", max_length=longest, return_tensors="pt")
    mask = tokens.attention_mask if getattr(encoder.config, "use_attention_mask", False) else None
    with torch.no_grad():
        hidden: Tensor = encoder(tokens.input_ids, attention_mask=mask)[0]
    return hidden


def load_image_encoder(root: Path) -> Any:
    """The network in `root`/image_encoder, a CLIPVisionModelWithProjection, or None if the pipeline has none."""
    place = root / "image_encoder"
    return load(place, ("CLIPVisionModelWithProjection",)).requires_grad_(False) if place.is_dir() else None


def encode_image(encoder: Any, x: Image) -> Vector:
    """CLIP's embedding, (b, width), of RGB images `x` (b, 3, h, w) in [−1, 1], which are first scaled to the encoder's
    size.
    """
    side = encoder.config.image_size
    small = interpolate(x, (side, side), mode="bicubic", antialias=True).clamp(-1, 1)
    mean, std = (torch.tensor(v, dtype=x.dtype, device=x.device).reshape(3, 1, 1) for v in (MEAN, STD))
    own = next(encoder.parameters()).dtype
    embedding: Tensor = encoder(pixel_values=(((small + 1) / 2 - mean) / std).to(own)).image_embeds
    return embedding.to(x.dtype)


def load(place: Path, kinds: tuple[str, ...]) -> Any:
    """The tokenizer or network of the transformers library in the folder `place`.

    `kinds` are the class names that are accepted. Raises SpecError for another class or if transformers is not
    installed, and DataError if the folder is missing or damaged.
    """
    try:
        import transformers
    except ModuleNotFoundError:
        raise SpecError(f"a text-conditional prior needs transformers: {install('text')}") from None
    if not place.is_dir():
        raise DataError(f"{place} is missing")
    config = place / ("tokenizer_config.json" if place.name == "tokenizer" else "config.json")
    content = folder.read_json(config)
    folder.check_indices(place)
    name = content.get("tokenizer_class") or next(iter(content.get("architectures") or kinds))
    if name not in kinds:
        raise SpecError(f"{place} holds a {name}; known here: {', '.join(kinds)}")
    try:
        made = getattr(transformers, kinds[0]).from_pretrained(place, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as e:
        raise DataError(f"{place}: {e}") from e
    return made.eval() if isinstance(made, torch.nn.Module) else made
