"""Numerical tools that know nothing of images: derivatives, linear algebra, inner problems, particles, call counts."""
