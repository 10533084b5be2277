"""Finds the kernel of a blurred picture of which nobody knows it: `choose.find_blur`."""
