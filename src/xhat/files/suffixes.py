"""Suffixes of picture files: names alone, so that a command can speak of files before a library is loaded."""

from pathlib import Path

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".pgm")
READ = (".avif", ".jfif", ".jp2", ".tga", "")  # of pictures, too, which are read if Pillow can, and never written
UNWRITTEN = (*READ[:-1], ".heic", ".heif", ".jxl", ".psd", ".svg", ".pdf", ".eps", ".dng", ".exr", ".ico")
TIFF = (".tif", ".tiff")


def written(path: Path) -> str:
    """The suffix of the picture that a picture `path` becomes: .png, which loses nothing; a TIFF stays one."""
    return path.suffix.lower() if path.suffix.lower() in TIFF else ".png"
