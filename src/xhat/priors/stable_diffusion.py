"""Text-to-image latent diffusion models in the layout of Stable Diffusion."""

from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from ..errors import DataError, MismatchError, SpecError
from ..numerics.precision import dtype_of
from ..ranges import Range
from ..schedule import Level
from ..types import Image
from . import diffusers_folder as folder
from .autoencoders import autoencoder_of
from .latent import Text, TextPrior, Vector
from .pixel import estimate
from .text import encode_image, encode_prompts, load_image_encoder


class StableDiffusion(TextPrior):
    """A text-to-image latent diffusion model of the type of Stable Diffusion 1.x and 2.x, from a diffusers folder.

    In the folder `path`, `unet/` holds a UNet2DConditionModel, `vae/` the autoencoder (`autoencoder` may name another
    folder to use in its place), `tokenizer/` and `text_encoder/` those of CLIP, and `scheduler/` the config of a
    beta-table or flow scheduler. `prompt` says what is in the image, `negative` what is not. `guidance` w = 1 follows
    the prompt as trained; 7.5 is usual for making pictures. The network runs in `dtype`. Needs the extra xhat[text].
    Raises DataError if files are missing, SpecError or MismatchError if the networks are of another kind or do not fit.
    """

    source = "StableDiffusionPipeline of Hugging Face diffusers, github.com/huggingface/diffusers"

    def __init__(
        self,
        path: str | Path,
        prompt: str = "",
        negative: str = "",
        guidance: Annotated[float, Range(0, 1_000)] = 1.0,
        autoencoder: str | None = None,
        dtype: str = "float32",
        compile: bool = False,
    ) -> None:
        super().__init__()
        root, kind = folder.existing(path), dtype_of(dtype)
        self.net = folder.load_unet(root, kind, "UNet2DConditionModel")
        config: Any = self.net.config
        if extras := [k for k in UNKNOWN if config.get(k) is not None]:
            raise SpecError(f"{root}: a UNet with {', '.join(extras)} is not supported")
        self.precondition, self.schedule = folder.read_scheduler(root)
        self.autoencoder = autoencoder_of(root, autoencoder, kind)
        self.channels = int(config.in_channels)
        if not self.channels == config.out_channels == self.autoencoder.latent_channels:
            raise MismatchError(
                f"{root}: a UNet of {config.in_channels} channels in and {config.out_channels} out, and latents "
                f"of {self.autoencoder.latent_channels}"
            )
        self.multiple = 2 ** (len(config.block_out_channels) - 1)
        self.guidance = guidance
        prompts = encode_prompts(root, [prompt, negative])
        width = config.cross_attention_dim
        if isinstance(width, int) and width != prompts.shape[-1]:
            raise DataError(f"{root}: text_encoder gives {prompts.shape[-1]} numbers a token, the UNet takes {width}")
        self.register_buffer("prompt", prompts[:1], persistent=False)
        self.register_buffer("negative", prompts[1:], persistent=False)
        self.image_encoder: Any = load_image_encoder(root)
        self.eval()
        if compile:
            self.net.compile()

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or shape[0] != self.channels:
            raise MismatchError(
                f"this prior knows latents of shape ({self.channels}, height, width), the problem has {tuple(shape)}"
            )

    def denoise(self, z: Image, t: Level, c: Text) -> Image:
        def network(x: Tensor, time: float) -> Tensor:
            own = next(self.net.parameters()).dtype
            when = torch.full((len(x),), time, device=x.device)
            out: Tensor = self.net(x.to(own), when, encoder_hidden_states=c.to(own), return_dict=False)[0]
            return out.to(x.dtype)

        return estimate(network, self.precondition(t.ratio), z / t.alpha, self.multiple)

    @property
    def sees(self) -> bool:
        return self.image_encoder is not None

    def image_embedding(self, x: Image) -> Vector:
        return encode_image(self.image_encoder, x) if self.sees else super().image_embedding(x)


UNKNOWN = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type", "time_cond_proj_dim")
