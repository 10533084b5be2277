"""Benchmarks: a grid of spec strings, one record per image, reports. The commands bench, report, compare, tune."""
