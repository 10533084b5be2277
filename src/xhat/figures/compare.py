"""Before and after in one HTML file with a slider, which asks nothing of any other file or place."""

from base64 import b64encode
from html import escape
from io import BytesIO

from PIL import Image
from torch import Tensor

from ..files.pictures import to_pixels

LARGE = 1_000_000  # pixels from which a picture is embedded as JPEG, so that the file stays small

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>
  body {{ margin: 1.5rem auto; padding: 0 1rem; max-width: {width}px; font: 15px/1.5 system-ui, sans-serif;
    color: #1c1c20; background: #fff; }}
  #pair {{ position: relative; }}
  #pair img {{ display: block; width: 100%; aspect-ratio: {w} / {h}; {render} }}
  #before {{ position: absolute; inset: 0; clip-path: inset(0 50% 0 0); }}
  #line {{ position: absolute; top: 0; bottom: 0; left: 50%; width: 2px; background: #fff; box-shadow: 0 0 3px #000; }}
  input {{ width: 100%; margin: .8rem 0 0; }}
  p {{ margin: .3rem 0; display: flex; justify-content: space-between; }}
  small {{ color: #66666c; overflow-wrap: anywhere; }}
</style>
<div id="pair"><img src="{after}" alt="after"><img id="before" src="{before}" alt="before"><div id="line"></div></div>
<input id="at" type="range" min="0" max="100" step="0.1" value="50" aria-label="how much is shown as before">
<p><span>before</span><span>after</span></p>
<small>{caption}</small>
<script>
  const at = document.getElementById("at");
  const show = () => {{
    document.getElementById("before").style.clipPath = `inset(0 ${{100 - at.value}}% 0 0)`;
    document.getElementById("line").style.left = `${{at.value}}%`;
  }};
  at.addEventListener("input", show);
  document.getElementById("pair").addEventListener("pointermove", (e) => {{
    const box = e.currentTarget.getBoundingClientRect();
    at.value = 100 * (e.clientX - box.left) / box.width;
    show();
  }});
</script>
</html>
"""


def compare(before: Tensor, after: Tensor, title: str, caption: str) -> str:
    """The page that lays the picture `before` over `after`, both (1 or 3, h, w) in [−1, 1], of any two sizes.

    `before` is shown at the size of `after`.
    """
    h, w = after.shape[-2:]
    return PAGE.format(
        title=escape(title),
        caption=escape(caption),
        before=_embedded(before),
        after=_embedded(after),
        width=min(max(w, 640), 1600),
        w=w,
        h=h,
        render="image-rendering: pixelated;" if max(h, w) < 320 else "",
    )


def _embedded(x: Tensor) -> str:
    """The picture itself as a URL."""
    file = BytesIO()
    kind, options = ("jpeg", {"quality": 92}) if x.shape[-2] * x.shape[-1] > LARGE else ("png", {})
    Image.fromarray(to_pixels(x)).save(file, kind, **options)
    return f"data:image/{kind};base64,{b64encode(file.getvalue()).decode()}"
