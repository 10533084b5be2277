"""What a residual says, in words."""

FITS, OVERFITS, DOES_NOT = "fits the noise", "overfits", "does not fit"
ROUGH = "is rougher than the measurement"  # whatever its residual says
# A true image has 1 up to a few thousandths for a photograph. A good estimate has less, because it takes a part of the
# noise for image: 0.9 to 1 for denoising, down to about 0.7 where there are few data for many pixels.
LOW, HIGH = 0.6, 1.2
ROUNDED = 0.0068  # three times the standard deviation of rounding to 8 bits, for measurements without noise

MEANS = {
    FITS: "",
    OVERFITS: "the noise went into the image, or the noise is weaker than was said: try a smaller one",
    ROUGH: "dots or stripes that no photograph has: say that there is more noise, or try another width or kernel",
    DOES_NOT: "usually a wrong kernel, mask, quality or geometry, or more noise than was said",
}


def verdict(found: float, expected: float) -> str:
    """Whether an image with the residual `found` explains a measurement of which the noise explains `expected`.

    Both are root mean squares in the units of y. `expected` is 0 without noise; then a residual of rounding fits.
    """
    if not expected > 0:
        return FITS if found <= ROUNDED else DOES_NOT
    return OVERFITS if found < LOW * expected else DOES_NOT if found > HIGH * expected else FITS
