"""Metrics: numbers that compare restored images with the true ones, one by one or as sets."""
