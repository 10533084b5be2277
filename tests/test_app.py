"""The page of `xhat app`: what its server refuses, and the page itself in a real browser at two widths."""

import json
import os
import shlex
import shutil
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import xhat
from xhat.app.server import Server
from xhat.app.studio import Studio
from xhat.cli.arguments import main
from xhat.files.pictures import to_pixels

W, H = 56, 40
SHOTS = os.environ.get("XHAT_SHOTS")  # a folder for screenshots to look at


def picture(noise: float = 0.1) -> Image.Image:
    """Soft colours with noise, and a white scratch across them."""
    rows, columns = torch.linspace(-1, 1, H)[:, None], torch.linspace(-1, 1, W)
    x = torch.stack([rows * columns, rows + 0 * columns, columns + 0 * rows]) * 0.6
    x = x + noise * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    x[:, 18:21, 8:48] = 1.0
    return Image.fromarray(to_pixels(x))


def quick(path: Path, **options: object) -> xhat.Restoration:
    """`restore` with a prior that takes no time, so that the page and not the network is tested."""
    return xhat.restore(path, **options, prior=lambda x, s: x / (1 + s**2), device="cpu")


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    with Server(Studio(tmp_path, quick)) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield served
        served.shutdown()


def ask(server: Server, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, dict]:
    line = HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    try:
        line.request(method, path, body, {"X-Token": server.token, **headers})
        answer = line.getresponse()
        return answer.status, answer.read(), dict(answer.headers)
    finally:
        line.close()


def png(image: Image.Image) -> bytes:
    content = BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def test_only_the_page_itself_is_answered(server):
    assert server.server_address[0] == "127.0.0.1"
    status, page, headers = ask(server, "GET", "/")
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert b"http://" not in page
    assert b"https://" not in page
    for wrong in ({"X-Token": ""}, {"X-Token": "x"}, {"Host": "evil.example"}):
        for method, path in (("GET", "/"), ("POST", "/picture"), ("GET", "/progress")):
            assert ask(server, method, path, b"x" if method == "POST" else None, **wrong)[0] == 403


def test_nothing_outside_the_folder_is_read_and_nothing_in_it_overwritten(server, tmp_path):
    secret = tmp_path.parent / "secret.png"
    secret.write_bytes(png(picture()))
    (tmp_path / "link.png").symlink_to(secret)
    for name in ("../secret.png", str(secret), "link.png", "", "."):
        for route in ("/file", "/shown", "/guess"):
            status, answer, _ = ask(server, "GET", f"{route}?name={name}")
            assert status == 400
            assert b"error" in answer
    names = [
        json.loads(ask(server, "POST", "/picture", png(picture()), **{"X-Name": n})[1])["name"]
        for n in ("a.png", "a.png", "..%2F..%2Fa.PNG")
    ]
    assert names == ["a.png", "a-2.png", "a-3.png"]
    status, answer, _ = ask(server, "POST", "/picture", b"\0\0\0\x20ftypheic" + bytes(90), **{"X-Name": "IMG_1.HEIC"})
    assert (status, json.loads(answer)["error"]) == (400, "IMG_1.HEIC: is HEIC; save the picture as PNG, TIFF or JPEG")
    for name, body in (("a.html", b"x"), ("b.png", b"no picture"), ("c.py", png(picture()))):
        assert ask(server, "POST", "/picture", body, **{"X-Name": name})[0] == 400
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a-2.png", "a-3.png", "a.png", "link.png"]


def finished(server: Server) -> dict:
    for _ in range(600):
        run = json.loads(ask(server, "GET", "/progress")[1])
        if run["state"] != "running":
            return run
        time.sleep(0.1)
    raise AssertionError("the run does not end")


def begin(server: Server, **choice: object) -> tuple[int, bytes, dict]:
    return ask(server, "POST", "/start", json.dumps({"name": "a.png", "steps": 2, **choice}).encode())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"what": "blur", "amount": "0"}, "--operator blind_blur"),
        ({"what": "guess"}, "xhat restore a.png --solver lmaps:steps=2 -o a_restored.png"),
        ({"what": "noise", "noise": "6"}, "--operator denoise --noise gaussian:sigma=0.04706"),
        ({"what": "jpeg", "amount": "30", "noise": "2.5"}, "--operator jpeg:quality=30"),
        ({"what": "blur", "amount": "1.5"}, "--operator gaussian_blur:std=1.5"),
        ({"what": "small", "amount": "2"}, "--scale 2"),
    ],
)
def test_every_choice_is_the_command_that_it_shows(server, choice, words):
    ask(server, "POST", "/picture", png(picture()), **{"X-Name": "a.png"})
    assert begin(server, **choice)[0] == 200
    run = finished(server)
    assert run["state"] == "done", run["words"]
    assert words in run["command"]
    assert run["done"] == run["total"] > 0
    size = Image.open(BytesIO(ask(server, "GET", f"/file?name={run['result']}")[1])).size
    assert size == ((2 * W, 2 * H) if choice["what"] == "small" else (W, H))


def test_what_goes_wrong_is_said(server):
    ask(server, "POST", "/picture", png(picture(0.0)), **{"X-Name": "a.png"})
    status, answer, _ = begin(server, what="holes", mask="none.png")
    assert (status, json.loads(answer)["error"]) == (400, "there is no picture called none.png")
    assert begin(server, what="magic")[0] == 400
    assert begin(server, what="jpeg", amount="200")[0] == 200
    run = finished(server)
    assert run["state"] == "failed"
    assert "quality" in run["words"]


def test_a_run_is_stopped_and_two_are_refused(server):
    ask(server, "POST", "/picture", png(picture()), **{"X-Name": "a.png"})
    assert begin(server, what="noise", steps=2000)[0] == 200
    assert b"one picture at a time" in begin(server, what="noise")[1]
    ask(server, "POST", "/stop")
    assert finished(server)["state"] == "stopped"
    assert begin(server, what="noise")[0] == 200
    assert finished(server)["state"] == "done"


# In a browser


@pytest.fixture(params=[(1200, 900), (390, 844)], ids=["desktop", "phone"])
def browser(request, tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, driver = (shutil.which(n) for n in ("chromium", "chromedriver"))
    if not (chromium and driver):
        pytest.skip("chromium and its driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--window-size={},{}".format(*request.param),
    ):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path / "downloads")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    chrome.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {
            "width": request.param[0],
            "height": request.param[1],
            "deviceScaleFactor": 1,
            "mobile": request.param[0] < 500,
        },
    )
    chrome.shape = request.param
    yield chrome
    chrome.quit()


def shot(browser, name: str) -> None:
    if SHOTS:
        browser.save_screenshot(f"{SHOTS}/{name}-{browser.shape[0]}.png")


def fits(browser, element, ratio: float) -> float:
    """The width of a picture on the page, which has the ratio of its sides and is no larger than the window."""
    width, height = element.size["width"], element.size["height"]
    assert width / height == pytest.approx(ratio, rel=0.02)
    inner = browser.execute_script("return [document.body.clientWidth, window.innerHeight]")
    assert width <= inner[0]
    assert height <= 0.76 * inner[1]
    assert max(width / inner[0], height / inner[1]) > 0.7  # and not small, either
    return width


@pytest.mark.slow
@pytest.mark.parametrize("tall", [False, True], ids=["wide", "tall"])
def test_a_scratch_is_painted_and_the_result_downloaded(server, browser, tmp_path, tall):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    turned = lambda pair: pair[::-1] if tall else pair
    w, h = turned((W, H))
    find = lambda id: browser.find_element(By.ID, id)
    until = lambda f: WebDriverWait(browser, 30).until(lambda _: f())
    browser.get(server.address)
    assert not find("ask").is_displayed()
    shot(browser, f"1-empty-{tall:d}")

    # dropped as a person drops it: a file in a DataTransfer
    content = list(png(picture().transpose(Image.Transpose.TRANSPOSE) if tall else picture()))
    browser.execute_script(
        "const d = new DataTransfer(); d.items.add(new File([new Uint8Array(arguments[0])], 'old scan.png'));"
        "document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: d, bubbles: true, cancelable: true}))",
        content,
    )
    until(lambda: find("guess").text.startswith("It looks like: noise, "))
    shot(browser, f"2-dropped-{tall:d}")

    browser.find_element(By.CSS_SELECTOR, "[value=holes]").click()
    find("start").click()
    until(lambda: "Paint over" in find("error").text)
    mask = find("mask")
    width = fits(browser, mask, w / h)
    browser.execute_script(
        f"document.getElementById('brush').value = {round(width * 6 / w)};"
        "arguments[0].scrollIntoView({block: 'center'})",
        mask,
    )
    begin, length = turned((6 - W / 2, 19.5 - H / 2)), turned((44, 0))
    (left, top), (right, down) = ([round(n * width / w) for n in pair] for pair in (begin, length))
    ActionChains(browser).move_to_element_with_offset(mask, left, top).click_and_hold().move_by_offset(
        right, down
    ).release().perform()
    shot(browser, f"3-painted-{tall:d}")
    find("start").click()
    until(lambda: find("result").is_displayed() or find("error").is_displayed())
    assert not find("error").is_displayed(), find("error").text

    upright = lambda pixels: pixels.swapaxes(0, 1) if tall else pixels
    painted = upright(np.asarray(Image.open(tmp_path / "old scan.mask.png").convert("L")))
    assert painted.shape == (H, W)
    assert painted[18:21, 8:48].min() == 255  # the scratch, and not much more
    assert 0.05 < (painted > 0).mean() < 0.35
    before, after = (
        upright(np.asarray(Image.open(tmp_path / n)).astype(int)) for n in ("old scan.png", "old scan_restored.png")
    )
    assert before[19, 10:46].min() == 255
    assert after[19, 10:46].max() < 255  # the white is gone
    box = lambda id: browser.execute_script(f"return document.getElementById('{id}').getBoundingClientRect()")
    inner = browser.execute_script("return window.innerHeight")
    until(lambda: box("after")["top"] >= 0 and box("at")["bottom"] <= inner)  # the page has gone there, and it fits
    browser.execute_script("document.getElementById('at').value = 30; document.getElementById('at').oninput()")
    assert "70%" in find("before").get_attribute("style")
    for shown in ("before", "after"):
        assert fits(browser, find(shown), w / h) == find("at").size["width"]  # the line is above the handle
    shot(browser, f"4-result-{tall:d}")

    find("download").click()
    until(lambda: (tmp_path / "downloads" / "old scan_restored.png").exists())
    assert (tmp_path / "downloads" / "old scan_restored.png").read_bytes() == (
        tmp_path / "old scan_restored.png"
    ).read_bytes()

    # no request to any other place, no error, nothing wider than the screen
    sent = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert {u.split("/")[2] for u in urls if u.startswith("http")} == {f"127.0.0.1:{server.server_port}"}
    assert [
        line for line in browser.get_log("browser") if line["level"] == "SEVERE" and "400" not in line["message"]
    ] == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= browser.shape[0]


@pytest.mark.slow
def test_the_command_makes_the_picture_again(tmp_path, monkeypatch):
    studio = Studio(tmp_path)
    studio.add("a.png", png(picture()))
    studio.start({"name": "a.png", "what": "noise", "noise": "15", "steps": 2})
    while studio.run.state == "running":
        time.sleep(0.1)
    assert studio.run.state == "done", studio.run.words
    first = (tmp_path / "a_restored.png").read_bytes()
    monkeypatch.chdir(tmp_path)
    words = shlex.split(studio.run.command)
    assert main([*words[1:-1], "again.png", "-q"]) == 0
    assert (tmp_path / "again.png").read_bytes() == first
