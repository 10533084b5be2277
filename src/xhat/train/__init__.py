"""Training priors of one's own: `xhat train denoiser DATA --out DIR`. Needs the extra `train`.

`recipe.py` says how, `images.py` reads what, `loop.py` is the one loop; what comes out is a folder in the layout of
diffusers that `--prior DIR` takes.
"""
