"""Fetch photographs under free licences from Debian's wallpaper packages, shrunk until no trace of JPEG is left.

    python fetch_photos.py FOLDER

FOLDER gets a PNG a photograph, at most 2 megapixels and at most half as wide as the original, and `licences.csv` with
the package, its version, the file and the licence that debian/copyright gives. Needs Debian's or Ubuntu's `apt-get`
and `dpkg-deb`, and package lists (`apt-get update`). Drawings, renderings and logos of the packages are left out.
"""

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

PIXELS = 2e6

# package: {licence: files}; a file is named by a part of its path that no other file of the package has.
CHOSEN = {
    "lomiri-wallpapers-16.04": {
        "CC-BY-4.0": [
            "Picture_0B_by_freespace.jpg",
            "Picture_1A_by_freespace.jpg",
            "Wine_by_Jakkub_Mede.jpg",
            "aitzgorri_by_Aitzol_Berasategi.jpg",
            "friends_by_Aitzol_Berasategi.jpg",
            "life_by_Aitzol_Berasategi.jpg",
            "picosdeeuropa_by_Aitzol_Berasategi.jpg",
            "sunset_by_Aitzol_Berasategi.jpg",
        ],
        "CC-BY-SA-4.0": [
            "Bridge_by_Sander_Klootwijk.jpg",
            "Dragonfly_by_Bolly.jpg",
            "free_by_Peter_Nerlich.jpg",
            "greentock_by_Peter_Nerlich.jpg",
        ],
        "CC0-1.0": ["seeding_by_Clements_Engelhardt.jpg"],
    },
    "lomiri-wallpapers-20.04": {"CC-BY-SA-3.0": ["Kleiber_by_Lukas_Baubkus.jpg"]},
    "lxqt-themes": {
        "LGPL-2.1+": [
            "wallpapers/Valendas.png",
            "wallpapers/after-the-rain.jpg",
            "wallpapers/appleflower.png",
            "wallpapers/beam.png",
            "wallpapers/butterfly.png",
            "wallpapers/cloud.png",
            "wallpapers/drop.png",
            "wallpapers/flowers.png",
            "wallpapers/fog.jpg",
            "wallpapers/this-is-not-windows.jpg",
        ]
    },
    "mate-backgrounds": {
        "GPL-2+": [
            "nature/Aqua.jpg",
            "nature/Blinds.jpg",
            "nature/Dune.jpg",
            "nature/Garden.jpg",
            "nature/GreenMeadow.jpg",
            "nature/LadyBird.jpg",
            "nature/RainDrops.jpg",
            "nature/Storm.jpg",
            "nature/TwoWings.jpg",
            "nature/Wood.jpg",
            "nature/YellowFlower.jpg",
        ]
    },
    "plasma-workspace-wallpapers": {
        "GPL-2+": [
            "BytheWater/contents/images/2560x1600.jpg",
            "ColdRipple/contents/images/2560x1600.jpg",
            "ColorfulCups/contents/images/2560x1600.jpg",
            "DarkestHour/contents/images/2560x1600.jpg",
            "EveningGlow/contents/images/2560x1600.jpg",
            "FallenLeaf/contents/images/2560x1600.jpg",
            "Grey/contents/images/2560x1600.jpg",
            "Kite/contents/images/2560x1600.jpg",
            "OneStandsOut/contents/images/2560x1600.jpg",
            "Path/contents/images/2560x1600.jpg",
            "summer_1am/contents/images/2560x1600.jpg",
        ]
    },
}


def unpacked(package: str, folder: Path) -> tuple[Path, str]:
    """The files of a Debian package, in `folder`, and its version."""
    subprocess.run(["apt-get", "download", package], cwd=folder, check=True, capture_output=True)
    deb = next(folder.glob(f"{package}_*.deb"))
    subprocess.run(["dpkg-deb", "-x", deb.name, package], cwd=folder, check=True)
    shown = subprocess.run(
        ["dpkg-deb", "-f", deb.name, "Version"], cwd=folder, check=True, capture_output=True, text=True
    )
    return folder / package, shown.stdout.strip()


def shrunk(photograph: Image.Image) -> Image.Image:
    """At most half as wide, by Lanczos, and at most PIXELS pixels: no 2x2 block of chroma survives."""
    w, h = photograph.size
    factor = max(2.0, (w * h / PIXELS) ** 0.5)
    return photograph.convert("RGB").resize((round(w / factor), round(h / factor)), Image.Resampling.LANCZOS)


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for package, licences in CHOSEN.items():
        with tempfile.TemporaryDirectory() as name:
            root, version = unpacked(package, Path(name))
            files = [p for p in root.rglob("*") if p.suffix in (".jpg", ".png")]
            for licence, chosen in licences.items():
                for part in chosen:
                    (source,) = (p for p in files if str(p).endswith(part))
                    target = f"{package}_{part.replace('/', '_').rsplit('.', 1)[0]}.png"
                    shrunk(Image.open(source)).save(out / target)
                    rows.append([target, package, version, str(source.relative_to(root)), licence])
    with (out / "licences.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "package", "version", "source", "licence"], *rows])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
