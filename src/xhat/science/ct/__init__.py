"""Computed tomography: line integrals, and their inversion by filtered back-projection."""
