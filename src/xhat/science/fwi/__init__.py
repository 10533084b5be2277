"""Full waveform inversion: the acoustic wave equation, and velocities of the ground."""
