"""The report: what its tables say, and the page in a real browser at two widths."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from xhat.bench.compare import across, compared, show
from xhat.bench.drive import bench
from xhat.bench.folder import open_run
from xhat.bench.grid import read
from xhat.bench.options import Options
from xhat.bench.report.plot import plot
from xhat.bench.report.write import report
from xhat.bench.stats import summary
from xhat.cli.arguments import main
from xhat.errors import DataError

GRID = {
    "title": "Tables & <tests>",
    "priors": ["powerlaw"],
    "data": ["fields:size=32,count=4,channels=3"],
    "solvers": ["lmaps:steps=3", "ddrm:steps=3", {"label": "ddrm_20", "spec": "ddrm:steps=20"}],
    "tasks": {
        "pixels": {"operator": "inpaint:keep=0.4", "noise": "gaussian:sigma=0.05"},
        "HDR": {"operator": "hdr", "noise": "gaussian:sigma=0.05"},
    },
    "baseline": "lmaps",
    "published": [
        {
            "source": "Somebody (2020), Table 1",
            "data": "FFHQ",
            "metric": "psnr",
            "rows": [{"method": "LMAPS", "ours": "lmaps", "pixels": 30.0}, {"method": "Other", "pixels": 20.0}],
        }
    ],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run with pictures and its report."""
    out = tmp_path_factory.mktemp("report") / "run"
    bench(read(GRID), out, Options(batch_size=4, keep=True, quiet=True))
    report(out)
    return out


def test_the_tables_say_what_the_records_say(run):
    rows = open_run(run)[1]
    psnr = [r["metrics"]["psnr"][0] for r in rows if r["label"] == "ddrm_20" and r["task"] == "pixels"]
    line = next(s for s in summary(rows) if s["label"] == "ddrm_20" and s["task"] == "pixels")
    m = line["numbers"]["psnr"]
    assert m.value == pytest.approx(sum(psnr) / 4)
    assert m.half == pytest.approx(3.18245 * torch.tensor(psnr).double().std().item() / 2, rel=1e-4)
    text = (run / "report.md").read_text()
    assert f"| ddrm_20 (sample) | **{m.value:.2f} ± {m.half:.2f}** | n/a |" in text
    assert "| LMAPS | 30.00 |" in text
    assert "not to be ranked" in text
    assert "## Paired differences to lmaps" in text
    tex = (run / "report.tex").read_text()
    assert rf"ddrm\_20 & \textbf{{{m.value:.2f}$\pm${m.half:.2f}}} & n/a \\" in tex
    assert tex.count("\\begin{tabular}") == tex.count("\\end{tabular}") == 2
    assert not re.search(r"(?<!\\)[&]\w*(?<!\\)_", tex)


def test_the_picture_is_one(run):
    from PIL import Image

    pytest.importorskip("matplotlib")
    with Image.open(run / "report.png") as image:
        assert image.width > 600


def test_the_page_asks_for_nothing(run):
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "@@" not in text
    assert "default-src 'none'" in text
    page = re.sub(r"data:image/webp;base64,[\w+/=]+", "", text).replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|@import|url\(|<link|src=\"[^\"]", page)
    assert "Tables &amp; &lt;tests&gt;" in text
    assert "<tests>" not in text
    data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', text, re.S)[1])
    assert len(data["rows"]) == 24
    assert len(data["pictures"]) == 16


def test_pictures_keep_to_the_budget_and_the_worst_come_first(run, tmp_path):
    report(run, tmp_path, megabytes=0.03)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', text, re.S)[1])
    assert 0 < len(data["pictures"]) < 16
    assert len(json.dumps(data["pictures"])) < 80_000  # truth and measurement are named by each of their records
    cells = {c["cell"]: c["task"] for c in data["cells"]}
    rows = {r["key"]: r for r in data["rows"]}
    shown = [rows[k] for k in data["pictures"]]
    task = cells[shown[0]["cell"]]
    worst = min((r["n"]["psnr"], r["image"]) for r in data["rows"] if cells[r["cell"]] == task and "psnr" in r["n"])
    assert shown[0]["image"] == worst[1]


def test_a_report_of_nothing_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "no folder of a benchmark" in capsys.readouterr().err
    with pytest.raises(DataError):
        report(tmp_path)


def test_compare_tells_what_changed(run, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    rows = [json.loads(line) for line in (other / "records.jsonl").read_text().splitlines()]
    for r in rows:
        if r["label"] == "ddrm_20" and r["status"] == "ok":
            r["metrics"]["psnr"][0] += 1 if r["image"] != "field000" else 1.5
            r["code"] = "feed"
    broken = next(r for r in rows if r["label"] == "lmaps:steps=3" and r["task"] == "HDR")
    broken |= {"status": "diverged", "metrics": {}}
    gone = rows.pop()
    (other / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    changes, notes = compared(run, other)
    at = {(c.task, c.label): c for c in changes}
    moved = at["pixels", "ddrm_20"]
    assert moved.gains["psnr"].value == pytest.approx(1.125)
    assert moved.same == 0
    assert at["HDR", "lmaps:steps=3"].statuses == ["ok → diverged (1)"]
    assert any("4 records made by other code" in n for n in notes)
    assert any("1 records are in" in n for n in notes)
    assert gone["key"] not in {r["key"] for r in open_run(other)[1]}
    assert main(["compare", str(run), str(other)]) == 0
    assert "+1.125 ± 0.398 *" in capsys.readouterr().out
    assert "are the same to the last bit" in show(*compared(run, run))


def test_two_solvers_of_a_run_are_paired_image_by_image(run, capsys):
    changes, notes = across(run, run, "solver", "ddrm:steps=3", "ddrm_20")
    rows = [r for r in open_run(run)[1] if r["task"] == "pixels"]
    old, new = (
        {r["image"]: r["metrics"]["psnr"][0] for r in rows if r["label"] == w} for w in ("ddrm:steps=3", "ddrm_20")
    )
    (change,) = [c for c in changes if c.task == "pixels"]
    assert change.gains["psnr"].value == pytest.approx(sum(new[i] - old[i] for i in old) / 4)
    assert (change.records, change.label) == (4, "ddrm:steps=3 → ddrm_20")
    assert notes == ["solver: ddrm:steps=3,eta=0.85,eta_b=1 → ddrm:steps=20,eta=0.85,eta_b=1"]
    command = ["compare", str(run), str(run), "--across", "solver"]
    assert main([*command, "--before", "lmaps", "--after", "ddrm_20"]) == 0
    assert "lmaps:steps=3 → ddrm_20" in capsys.readouterr().out
    assert main([*command, "--before", "lmaps"]) == 2
    assert "--after must name one solver; there are lmaps:steps=3, ddrm:steps=3, ddrm_20" in capsys.readouterr().err
    assert main(["compare", str(run), str(run), "--before", "lmaps"]) == 2


def test_two_priors_are_paired_across_runs_and_other_measurements_are_not(run, tmp_path):
    other = tmp_path / "other"
    grid = GRID | {"priors": ["powerlaw:std=0.2"], "solvers": ["ddrm:steps=3"], "published": [], "baseline": "ddrm"}
    bench(read(grid), other, Options(batch_size=4, quiet=True))
    nothing, notes = compared(run, other)
    assert nothing == []
    assert any("--across solver" in n for n in notes), "what to do instead"
    changes, notes = across(run, other, "prior")
    (change,) = [c for c in changes if c.task == "pixels"]
    old, new = (
        [r["metrics"]["psnr"][0] for r in open_run(f)[1] if r["task"] == "pixels" and r["label"] == "ddrm:steps=3"]
        for f in (run, other)
    )
    assert change.records == 4
    assert change.gains["psnr"].value == pytest.approx((sum(new) - sum(old)) / 4)
    assert notes[0] == "prior: powerlaw → powerlaw:std=0.2"
    assert "records have no partner" in notes[1]
    rows = [json.loads(line) for line in (other / "records.jsonl").read_text().splitlines()]
    next(r for r in rows if r["task"] == "pixels")["measurement_sha256"] = "feed"
    (other / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert any("1 pairs are left out" in note for note in across(run, other, "prior")[1])


def test_the_picture_shows_every_interval_whole_and_names_prior_and_data(run, monkeypatch, tmp_path):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **options: drawn.append(self))
    content, rows = open_run(run)
    plot(content, rows, tmp_path / "x.png")
    lines = [s for s in summary(rows) if "psnr" in s["numbers"]]
    for panel in drawn[0].axes:
        task = panel.get_title().partition("\n")[0]
        low, high = panel.get_ylim()
        for m in (s["numbers"]["psnr"] for s in lines if s["task"] == task):
            assert low < m.value - m.half
            assert m.value + m.half < high
    assert any("powerlaw on fields" in panel.get_title() for panel in drawn[0].axes)


# --- a browser ----------------------------------------------------------------------------------

BROWSER = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium: apt-get install chromium")

# Runs in the page after its own scripts and leaves what it found in <pre id=found>.
PROBE = """
<script>
const found = {};
window.addEventListener("error", (e) => { found.error = e.message; });
try {
  const column = (i) => [...document.querySelectorAll("#overview tbody tr")].map((r) => r.cells[i].innerText.trim());
  found.before = column(1);
  document.querySelectorAll("#overview th button")[1].click();
  found.down = column(1);
  document.querySelectorAll("#overview th button")[1].click();
  found.up = column(1);
  found.aria = document.querySelectorAll("#overview th")[1].getAttribute("aria-sort");
  const slide = document.getElementById("slide");
  slide.value = 25;
  slide.dispatchEvent(new Event("input"));
  found.clip = document.getElementById("over").style.clipPath;
  found.sizes = [...document.querySelectorAll("#stage img")].map((i) => [i.naturalWidth, i.naturalHeight]);
  const worst = document.querySelector("#worst tbody tr");
  found.worst = [...worst.cells].map((c) => c.innerText);
  worst.click();
  found.shown = document.querySelector("#stage .name.right").textContent;
  found.svgs = document.querySelectorAll("#pareto svg").length;
  found.dots = document.querySelectorAll("#pareto svg .dot").length;
  found.points = document.querySelectorAll("#scatter svg .dot").length;
  found.published = document.querySelector("#published").innerText;
  const task = document.querySelectorAll("#choice select")[1];
  task.value = 1;
  task.dispatchEvent(new Event("change"));
  found.task = document.getElementById("one").textContent;
  found.paired = document.querySelectorAll("#paired tbody tr").length;
  found.wide = [document.documentElement.scrollWidth, window.innerWidth];
} catch (e) { found.error = String(e.stack); }
const pre = document.createElement("pre");
pre.id = "found";
pre.textContent = JSON.stringify(found);
document.body.append(pre);
</script>
"""


def browse(page: Path, width: int, *more: str) -> str:
    """The page's DOM after its scripts, in a browser that reaches no network."""
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},3000"]
    options += [f"--user-data-dir={page.parent / f'profile{width}'}", "--host-resolver-rules=MAP * ~NOTFOUND"]
    done = subprocess.run(
        [BROWSER, *options, *more, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_in_a_browser(run, tmp_path, width):
    text = (run / "report.html").read_text(encoding="utf-8")
    (tmp_path / "page.html").write_text(text.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    dom = browse(tmp_path / "page.html", width, "--dump-dom", f"--screenshot={tmp_path / 'shot.png'}")
    found = json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', dom, re.S)[1]))
    assert "error" not in found
    numbers = lambda column: [float(t.split()[0]) for t in column[1:]]  # the samplers' block; the point's has one row
    assert numbers(found["down"]) == sorted(numbers(found["before"]), reverse=True)
    assert numbers(found["up"]) == sorted(numbers(found["before"]))
    assert found["down"][0] == found["before"][0]
    assert found["aria"] == "ascending"
    assert found["clip"] == "inset(0px 75% 0px 0px)"
    assert found["sizes"] == [[32, 32], [32, 32]]
    rows = [r for r in open_run(run)[1] if r["status"] == "ok"]
    assert found["worst"][2] in {r["label"] for r in rows}
    assert found["shown"].startswith(found["worst"][2])
    assert (found["svgs"], found["dots"], found["points"]) == (2, 6, 4)
    assert "other weights" in found["published"]
    assert found["task"] == "One task in full: HDR"
    assert found["paired"] == 2
    assert found["wide"][0] <= found["wide"][1]  # wide tables scroll in themselves, the page does not


def test_a_report_replaces_what_a_report_has_written_and_nothing_else(run, tmp_path, capsys):
    mine = tmp_path / "report.tex"
    mine.write_text("my thesis")
    assert main(["report", str(run), "-o", str(tmp_path)]) == 2
    assert "report.tex" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["report.tex"]
    assert main(["report", str(run), "-o", str(tmp_path), "--overwrite"]) == 0
    assert main(["report", str(run), "-o", str(tmp_path)]) == 0  # its own files as they are
    assert mine.read_text() != "my thesis"
    mine.write_text("my thesis again")
    assert main(["report", str(run), "-o", str(tmp_path)]) == 2
    assert mine.read_text() == "my thesis again"
