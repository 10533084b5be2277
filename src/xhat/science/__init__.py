"""The sciences: a folder for each, with its operator, noise, reader, prior, metrics, figure and generator."""
