"""Trains priors on your own images: `xhat train denoiser DATA --out DIR`. Needs the extra `train`.

`recipe.py` holds what decides the result, `images.py` and `dataset.py` read the images, and `loop.py` is the one
training loop. The result is a folder that `--prior DIR` takes.
"""
