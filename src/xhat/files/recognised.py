"""What a file is that is no picture for Pillow, by its first bytes: people have HEIC, and web pages called .jpg."""

BRANDS = {  # the four letters behind `ftyp`: ISO 14496-12, and HEIF's and AVIF's own
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "HEIC",
    b"heim": "HEIC",
    b"mif1": "HEIC",
    b"msf1": "HEIC",
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"crx ": "a raw file of a camera",
}
BEGINNINGS = (
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"FUJIFILMCCD-RAW", "a raw file of a camera"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "PostScript"),
    (b"PK\x03\x04", "a zip archive"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<svg", "SVG, a drawing"),
    (b"\x89PNG", "a PNG that is damaged"),
    (b"\xff\xd8\xff", "a JPEG that is damaged"),
)
SEEN = 512  # bytes that tell


def recognised(content: bytes) -> str:
    """What the file that begins with `content` is, such as "HEIC"; empty if it is not known."""
    if not content:
        return "an empty file"
    if content[4:8] == b"ftyp":
        return BRANDS.get(content[8:12], "a video")
    head = content[:SEEN].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    for start, what in BEGINNINGS:
        if content.startswith(start) or head.startswith(start.lower()):
            return what
    try:
        text = content[: SEEN - 3].decode()  # a letter of UTF-8 may be cut at the end
    except UnicodeDecodeError as e:
        text = content[: e.start].decode() if e.start > SEEN - 8 else ""
    if "<svg" in text.lower():
        return "SVG, a drawing"
    return "text" if text and all(c.isprintable() or c in "\r\n\t" for c in text) else ""
