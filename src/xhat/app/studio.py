"""What the page asks for: pictures kept in a folder, a look at each, and one run at a time."""

import re
import shlex
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import DataError, SpecError, XhatError
from ..files.pictures import ASKED, LEVELS, PICTURES, layers, to_pixels
from ..files.readers.load import load
from ..files.recognised import SEEN, recognised
from ..files.writing import atomic
from ..likelihoods.verdict import MEANS
from ..spec import factors, parse
from ..task.look import look
from ..task.progress import Progress
from ..task.restore import restore

Restore = Callable[..., Any]
LARGE = 1_500_000  # pixels above which a person is told that it takes long


class Stopped(Exception):
    """The person pressed stop."""


@dataclass
class Run:
    """A restoration on its way, as the page sees it."""

    state: str = "running"  # running, done, failed or stopped
    done: int = 0
    total: int = 0
    left: float | None = None
    words: str = ""  # what went wrong, or how well the result fits
    result: str = ""  # the name of the picture
    command: str = ""
    stop: bool = field(default=False, repr=False)

    def seen(self) -> dict[str, Any]:
        """What is sent to the page."""
        return {k: v for k, v in vars(self).items() if k != "stop"}


def _damage(guessed: Mapping[str, str]) -> str:
    """In words of a person, what a look took the damage of a picture to be, if it is more than noise."""
    seen = parse(factors(guessed["operator"])[0]) if "operator" in guessed else None
    if seen is None or seen.name == "denoise":
        return ""
    if seen.name == "jpeg":
        quality = seen.options.get("quality")
        return f"the blocks of JPEG at quality {quality}" if quality else "the blocks of JPEG"
    return "transparent pixels, which are filled" if seen.name == "inpaint" else seen.name


def _grain(guessed: Mapping[str, str]) -> str:
    """The same of the noise; empty for none."""
    noise = parse(guessed["noise"]) if "noise" in guessed else None
    if noise is None or noise.name == "noiseless":
        return ""
    sigma = noise.options.get("sigma")
    return f"noise, {sigma * LEVELS:.2g} of 255 grey levels" if sigma else "noise, more of it in bright places"


class Studio:
    """Everything lies in `folder`: what is dropped, what is painted, what comes out. Nothing there is overwritten."""

    def __init__(self, folder: Path, restored: Restore = restore) -> None:
        self.folder, self.restored = folder, restored
        self.run: Run | None = None
        self.lock = threading.Lock()

    def path(self, name: str) -> Path:
        """The file called `name` in the folder. Raises DataError if there is none."""
        path = self.folder / name
        if path.parent != self.folder or path.is_symlink() or not path.is_file():
            raise DataError(f"there is no picture called {name}")
        return path

    def add(self, name: str, content: bytes) -> dict[str, Any]:
        """Keeps a picture under its own name, or one that is free, and says what it is.

        Raises DataError if it is no picture.
        """
        stem, suffix = re.sub(r"[^\w .-]", "_", Path(name).stem).strip(" .") or "picture", Path(name).suffix.lower()
        if suffix not in PICTURES:
            what = recognised(content[:SEEN])
            why = f"is {what}" if what else f"is no picture; known are {', '.join(PICTURES)}"
            raise DataError(f"{name}: {why}; save the picture as {ASKED}")
        with self.lock:
            path = self._free(stem, suffix)
            atomic(path, lambda file: file.write_bytes(content))
        try:
            x, alpha = layers(path)
        except XhatError:
            path.unlink()
            raise
        h, w = x.shape[1:]
        large = f"{w} x {h} pixels take long, many minutes without a GPU" if h * w > LARGE else ""
        return {"name": path.name, "width": w, "height": h, "large": large, "transparent": alpha is not None}

    def _free(self, stem: str, suffix: str) -> Path:
        names = (f"{stem}{n}{suffix}" for n in ("", *(f"-{i}" for i in range(2, 100_000))))
        return next(p for p in (self.folder / name for name in names) if not p.exists())

    def guess(self, name: str) -> str:
        """What is wrong with a picture as far as its file tells, in words. Raises DataError if nothing can be seen."""
        found = look(load(self.path(name)))
        return " and ".join(filter(None, (_damage(found.guessed), _grain(found.guessed))))

    def upright(self, name: str) -> Image.Image:
        """A picture as xhat reads it, to be shown and painted on."""
        return Image.fromarray(to_pixels(layers(self.path(name))[0]))

    def paint(self, name: str, content: bytes) -> str:
        """Keeps a mask painted on a picture, white where it is to be filled, and returns its name."""
        with self.lock:
            path = self._free(f"{self.path(name).stem}.mask", ".png")
            atomic(path, lambda file: file.write_bytes(content))
        return path.name

    def start(self, ask: dict[str, Any]) -> None:
        """Begins a restoration. Raises SpecError for what cannot be asked, or if one is running."""
        path, options = self.path(str(ask["name"])), self._options(ask)
        with self.lock:
            if self.run and self.run.state == "running":
                raise SpecError("one picture at a time: wait, or press stop")
            self.run = Run()
        threading.Thread(target=self._work, args=(self.run, path, options), daemon=True).start()

    def _options(self, ask: dict[str, Any]) -> dict[str, Any]:
        """The options of `xhat restore` that the choices on the page stand for."""
        what, amount = str(ask.get("what")), float(ask.get("amount") or 0)
        steps = int(ask.get("steps") or 20)
        options: dict[str, Any] = {"solver": f"lmaps:steps={steps}"}
        if ask.get("noise"):
            options["noise"] = f"gaussian:sigma={float(ask['noise']) / LEVELS:.4g}"
        if what == "noise":
            options["operator"] = "denoise"
        elif what == "jpeg":
            options["operator"] = f"jpeg:quality={round(amount)}"
        elif what == "blur":
            options["operator"] = f"gaussian_blur:std={amount:g}" if amount else "blind_blur"
        elif what == "small":
            options["scale"] = round(amount)
        elif what == "holes":
            options["operator"] = f"inpaint:fill={self.path(str(ask.get('mask'))).name}"
        elif what != "guess":
            raise SpecError(f"nothing is known of {what!r}")
        return options

    def _work(self, run: Run, path: Path, options: dict[str, Any]) -> None:
        def tell(p: Progress) -> None:
            run.done, run.total, run.left = p.done, p.total, p.left
            if run.stop:
                raise Stopped

        absolute = dict(options)
        if str(options.get("operator", "")).startswith("inpaint"):
            absolute["operator"] = f"inpaint:fill={self.folder / options['operator'].partition('=')[2]}"
        try:
            r = self.restored(path, progress=tell, **absolute)
            with self.lock:
                out = self._free(f"{path.stem}_restored", path.suffix if path.suffix in (".tif", ".tiff") else ".png")
                r.save_picture(out, record=True)
        except Stopped:
            run.state = "stopped"
        except Exception as e:  # whatever it is, the person is told, and the page goes on
            run.words, run.state = str(e).replace(f"{self.folder}/", ""), "failed"
        else:
            word = r.verdict()
            run.words = word + (f": {MEANS[word]}" if MEANS[word] else "")
            run.result, run.command = out.name, self._command(path.name, options, r.record, out.name)
            run.state = "done"

    def _command(self, name: str, options: dict[str, Any], record: dict[str, Any], out: str) -> str:
        """The command that makes the result again, in the folder."""
        words = ["xhat", "restore", name]
        if "scale" in options:
            words += ["--scale", str(options["scale"])]
        elif "operator" in options:
            words += ["--operator", options["operator"]]
        words += ["--noise", options["noise"]] if "noise" in options else []
        return shlex.join([*words, "--solver", options["solver"], "-o", out])
