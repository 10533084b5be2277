"""The Navier-Stokes equation: the start of a two-dimensional flow from its later vorticity."""
