"""Tiny pipelines in the layout of the diffusers library, built on the fly: random ones, and one that denoises."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recipes import NETWORK

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENS = 12
WIDTH = 16


def unet(channels: int = 3, **changes: object) -> nn.Module:
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    size = {"sample_size": 8, "block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
    return UNet2DModel(in_channels=channels, out_channels=channels, **{**blocks, **size, **changes}).eval()


def text_unet(channels: int = 4, **changes: object) -> nn.Module:
    from diffusers import UNet2DConditionModel

    torch.manual_seed(1)
    blocks = {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }
    size = {"sample_size": 8, "block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
    heads = {"cross_attention_dim": WIDTH, "attention_head_dim": 2}
    return UNet2DConditionModel(
        in_channels=channels, out_channels=channels, **{**blocks, **size, **heads, **changes}
    ).eval()


def autoencoder(kind: str) -> nn.Module:
    """An AutoencoderKL, VQModel or AutoencoderTiny with 4 latent channels at half the resolution."""
    import diffusers

    torch.manual_seed(2)
    if kind == "AutoencoderTiny":
        sizes = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
        return diffusers.AutoencoderTiny(**sizes, num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1)).eval()
    sizes = {"block_out_channels": (8, 8), "norm_num_groups": 4, "latent_channels": 4}
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    more = {"num_vq_embeddings": 32} if kind == "VQModel" else {"scaling_factor": 0.4}
    return getattr(diffusers, kind)(**sizes, **blocks, **more).eval()


def scheduler(kind: str = "DDIMScheduler", **config: object) -> Any:
    import diffusers

    usual = {"num_train_timesteps": 100, "clip_sample": False, "timestep_spacing": "trailing"}
    return getattr(diffusers, kind)(**(config if "Flow" in kind else usual | config))


def tokenizer(folder: Path) -> Any:
    """CLIP's tokenizer for single letters."""
    from transformers import CLIPTokenizer

    words = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(c + "</w>" for c in LETTERS)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=TOKENS)


def text_encoder() -> nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(3)
    sizes = {"hidden_size": WIDTH, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    return CLIPTextModel(
        CLIPTextConfig(vocab_size=54, max_position_embeddings=TOKENS, bos_token_id=0, eos_token_id=1, **sizes)
    ).eval()


def image_encoder() -> nn.Module:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(4)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(image_size=16, patch_size=8, projection_dim=WIDTH, **sizes)
    ).eval()


def stable_diffusion(folder: Path, eyes: bool = False, **config: object) -> Any:
    """A text-to-image pipeline, saved in `folder`; with `eyes` there is an image encoder, too."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        vae=autoencoder("AutoencoderKL"),
        text_encoder=text_encoder(),
        tokenizer=tokenizer(folder / "words"),
        unet=text_unet(),
        scheduler=scheduler(**{"beta_schedule": "scaled_linear", "steps_offset": 1, **config}),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=image_encoder() if eyes else None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(folder)
    return pipeline


def latent_diffusion(folder: Path, kind: str = "AutoencoderKL", **config: object) -> Any:
    """An unconditional latent pipeline, saved in `folder`."""
    from diffusers import LDMPipeline

    pipeline = LDMPipeline(autoencoder(kind), unet(4), scheduler(**config))
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(folder)
    return pipeline


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def spot_denoiser(folder: Path) -> Path:
    """A `UNet2DModel` that `xhat train denoiser` wrote and that denoises one picture, the spot that networks are tried
    on: some seconds are enough for that.
    """
    from xhat.priors.trial import smooth
    from xhat.train.denoiser import train_denoiser
    from xhat.train.loop import Limit
    from xhat.train.recipe import read_recipe
    from xhat.train.session import Options

    spots = smooth((3, 16, 16)).permute(0, 2, 3, 1).numpy() + np.linspace(0, 0.1, 24)[:, None, None, None]
    np.savez(folder / "spots.npz", ((spots + 1) * 127.5).round().astype(np.uint8))
    (folder / "recipe.toml").write_text(NETWORK)
    changes = [
        "optimiser.lr=1e-2", "optimiser.warmup=10", "diffusion.p_std=0.5", "data.validation=8",
        "watching.validation=4", "watching.samples=1", "watching.sampling_steps=2",
    ]  # fmt: skip
    out = folder / "spot"
    options = Options(out, Limit(steps=240), device="cpu", quiet=True)
    train_denoiser(folder / "spots.npz", read_recipe(str(folder / "recipe.toml"), changes), options)
    return out
