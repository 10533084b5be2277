"""The page about Python runs as pasted, block after block, on a picture of the reader's."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.mark.slow
def test_the_blocks_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.ascontiguousarray(data.astronaut()[40:88, 200:248])).save("photo.png")
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert Path("better.png").exists()
    assert Path("out/record.json").exists()
    assert names["r"].images.shape == (1, 3, 48, 48)
    assert len(names["several"]) == 2
    assert capsys.readouterr().out.count(" of ") >= 5
