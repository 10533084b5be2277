"""`xhat app`: a page in the browser to drop a picture on, served on this machine alone."""
