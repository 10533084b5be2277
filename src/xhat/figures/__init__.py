"""Figures: labelled panels of images, and charts of physical quantities."""
