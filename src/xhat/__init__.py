"""What was x, given y = A(x) + noise? Diffusion priors, every solver of the field, one interface."""
