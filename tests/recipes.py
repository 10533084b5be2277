"""Recipes and grids that tests share."""

NETWORK = """
[network]
family = "unet"
block_out_channels = [8, 8]
layers_per_block = 1
down_block_types = ["DownBlock2D", "DownBlock2D"]
up_block_types = ["UpBlock2D", "UpBlock2D"]
norm_num_groups = 4
add_attention = false
"""  # the smallest U-Net there is

GRID = """
priors = ["powerlaw"]
data = ["fields:size=16,count=2"]
solvers = ["ddrm:steps=3"]
metrics = ["psnr"]
[tasks.pixels]
operator = "inpaint:keep=0.4"
noise = "gaussian:sigma=0.05"
"""  # a benchmark of seconds
