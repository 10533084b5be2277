"""Magnetic resonance imaging: Cartesian k-space of one or more coils, its files, coil maps and priors."""
