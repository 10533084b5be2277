"""Benchmarks: grids of solvers, tasks, priors and data; their records, reports, comparisons and searches."""
