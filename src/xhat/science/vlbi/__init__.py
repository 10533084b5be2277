"""Very long baseline interferometry: observations, closure quantities, images of the sky."""
