"""The page at `/`: its files, its limits, and the page itself in a real browser."""

import http.client
import json
import os
import re
import shutil
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import keras
import numpy as np
import pandas as pd
import pytest

import kerasae
from kerasae import anomaly
from kerasae.export import publish_model
from kerasae.report import write_report
from kerasae.serving import Server
from kerasae.serving.page import MOST_BYTES, STATIC

COLUMNS = ["size", "weight [kg]", "<img src=x onerror=alert(1)>", "price"]
HOSTILE = 'a<b>"c" & d'
PNG = (
    Path(os.environ.get("KERASAE_SCREENSHOTS", "")) if "KERASAE_SCREENSHOTS" in os.environ else None
)


def mixed_table():
    draw = np.random.default_rng(0)
    days = np.datetime64("2024-01-01") + draw.integers(0, 400, 60)
    kinds = draw.choice(["red", "<b>blue</b>"], 60)
    table = pd.DataFrame({"size": draw.normal(size=60), "kind": kinds, "when": days})
    table["good [%]"] = draw.uniform(size=60) < 0.5
    table.loc[3, "size"] = np.nan
    return table


def publish(folder, model, x, labels=None, image_shape=None):
    def report(place):
        write_report(place, model, x, name=folder.name, labels=labels, image_shape=image_shape)

    anomaly.calibrate(model, x)
    return publish_model(model, folder, report=report)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of a table of numbers, a generative model of images, and one of series."""
    keras.utils.set_random_seed(0)
    place, draw = tmp_path_factory.mktemp("page"), np.random.default_rng(0)
    x = (draw.normal(size=(80, 4)) * [1, 10, 2, 1]).astype("float32")
    scaler = keras.layers.Normalization()
    scaler.adapt(x)
    table = kerasae.stacked_autoencoder((4,), (3, 2), scaler=scaler, columns=COLUMNS)
    publish(place / HOSTILE, table, x)
    pixels = draw.uniform(size=(40, 8, 8, 1)).astype("float32")
    images = kerasae.variational_autoencoder((8, 8, 1), (4, 2))
    publish(place / "images", images, pixels)
    mixed = mixed_table()
    model = kerasae.table_autoencoder(mixed, (8, 2))
    anomaly.calibrate(model, mixed)
    publish_model(
        model, place / "mixed", report=lambda where: write_report(where, model, mixed, name="mixed")
    )
    waves = np.sin(np.arange(16)[None, :, None] / 3 + draw.uniform(0, 6, size=(40, 1, 2)))
    series = kerasae.stacked_autoencoder((16, 2), (8, 2), columns=["flow", "<b>"])
    publish(place / "series", series, waves.astype("float32"))
    return place


@pytest.fixture(scope="module")
def served(folder):
    with Server(folder, rest_port=0, grpc_port=0) as server:
        yield server


def fetch(url, path, method="GET"):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


# Files and limits --------------------------------------------------------------------------------


def test_every_file_of_the_page_is_served_with_a_policy(served):
    status, headers, body = fetch(served.url, "/")
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    for path in set(re.findall(r'(?:src|href)="(/[^"]+)"', body.decode())):
        status, headers, _ = fetch(served.url, path)
        assert status == 200, path
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    for file in STATIC.glob("*.js"):
        for name in re.findall(r'from "\./([a-z]+\.js)"', file.read_text()):
            assert fetch(served.url, f"/page/{name}")[0] == 200


def test_nothing_of_the_page_asks_another_host_or_makes_html_of_texts():
    for file in STATIC.iterdir():
        text = file.read_text().replace("http://www.w3.org/", "")
        assert not re.search(r"https?://|//cdn|@import", text), file
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text), (
            file
        )


def test_a_version_has_its_report_in_a_sandbox(served):
    path = f"/page/models/{quote(HOSTILE)}/versions/1"
    status, headers, body = fetch(served.url, f"{path}/report")
    assert status == 200
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert "allow-scripts" not in headers["content-security-policy"]
    assert b"a&lt;b&gt;" in body
    known = json.loads(fetch(served.url, path)[2])
    assert known["manifest"]["columns"] == COLUMNS
    assert known["report"] is True
    assert len(known["facts"]["codings"]["low"]) == 2


@pytest.mark.parametrize(
    "path",
    [
        *("/page/../page.py", "/page/nothing.js", "/page/models/nothing/versions/1"),
        *("/page/models/images/versions/2/report", "/page/models/../versions/1/report"),
        *("/page/models/%2e%2e/versions/1", "/page/models/images%2f1/versions/1/report"),
    ],
)
def test_other_paths_are_not_found(served, path):
    assert fetch(served.url, path)[0] == 404


def test_the_page_is_for_get_alone(served):
    assert fetch(served.url, "/", "POST")[0] == 404


def test_files_of_a_version_that_lead_out_or_are_damaged_or_huge_are_not_shown(folder, tmp_path):
    shutil.copytree(folder / "images" / "1", tmp_path / "models" / "images" / "1")
    version = tmp_path / "models" / "images" / "1"
    secret = tmp_path / "secret.html"
    secret.write_text("secret")
    with Server(tmp_path / "models", rest_port=0, grpc_port=0) as server:
        path = "/page/models/images/versions/1"
        (version / "report.html").unlink()
        (version / "report.html").symlink_to(secret)
        assert fetch(server.url, f"{path}/report")[0] == 404
        (version / "report.html").unlink()
        assert fetch(server.url, f"{path}/report")[0] == 404
        with (version / "report.html").open("wb") as file:
            file.truncate(MOST_BYTES + 1)
        assert fetch(server.url, f"{path}/report")[0] == 404
        for damaged in (b"[1", b"[1]", b'{"a": NaN}', b"\xff", b"[" * 100_000):
            (version / "report.json").write_bytes(damaged)
            (version / "manifest.json").write_bytes(damaged)
            status, _, body = fetch(server.url, path)
            assert (status, json.loads(body)["facts"]) == (200, {})


# In a browser ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def driver():
    """Debian's chromium, driven by selenium; skips where either is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("no chromium with chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(chromedriver)
    started = webdriver.Chrome(options=options, service=service)
    yield started
    started.quit()


class Browser:
    """The page as a person uses it."""

    def __init__(self, driver, url):
        self.driver, self.url = driver, url

    def wait(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := condition():
                return value
            time.sleep(0.03)
        raise AssertionError(f"{self.text('#status')!r} after {seconds} seconds")

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def every(self, selector):
        return self.driver.find_elements("css selector", selector)

    def text(self, selector):
        return self.find(selector).text

    def open(self, name):
        self.driver.get(self.url)
        self.wait(lambda: "ready" in self.text("#status") or "not an" in self.text("#status"))
        option = next(one for one in self.every("#model option") if one.text.startswith(name))
        option.click()
        self.wait(lambda: self.text("#status") == f"{name}, version 1, is ready.")

    def status(self, part):
        self.wait(lambda: part in self.text("#status"))

    def slide(self, element, value):
        """Moves a slider as a pointer or the arrow keys do."""
        self.driver.execute_script(
            "arguments[0].value = arguments[1];"
            "arguments[0].dispatchEvent(new Event('input', {bubbles: true}))",
            element,
            value,
        )

    def picture(self, name, width=1100, scheme="light"):
        if PNG is None:
            return
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        self.driver.set_window_size(width, 1000)
        height = self.driver.execute_script("return document.documentElement.scrollHeight")
        self.driver.set_window_size(width, height + 150)
        time.sleep(0.3)
        self.driver.save_screenshot(str(PNG / f"{name}.png"))

    def silent(self):
        """No error on the console, and no request but to this server."""
        logs = [
            one["message"] for one in self.driver.get_log("browser") if one["level"] == "SEVERE"
        ]
        assert logs == []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                assert url.startswith((self.url, "data:", "blob:", "chrome")), url


@pytest.fixture
def browser(driver, served):
    driver.get_log("browser")
    driver.get_log("performance")
    one = Browser(driver, served.url)
    yield one
    one.silent()


def rows(count=30):
    x = (np.random.default_rng(5).normal(size=(count, 4)) * [1, 10, 2, 1]).astype("float32")
    x[min(7, count - 1), 3] = 60
    return x


def test_a_file_is_scored_explained_and_flagged(browser, folder, tmp_path):
    """The scores of the page are those of the model; the threshold moves what is flagged."""
    x = rows()
    order = [2, 0, 3, 1]
    lines = [";".join(f'"{COLUMNS[i]}"' for i in order)]
    lines += [";".join(f"{row[i]:.6f}".replace(".", ",") for i in order) for row in x]
    (tmp_path / "rows.csv").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    browser.open(HOSTILE)
    browser.find("#file").send_keys(str(tmp_path / "rows.csv"))
    browser.status("30 rows of rows.csv are scored")
    loaded = kerasae.serving.saved_model.Bundle(folder / HOSTILE / "1", folder)
    scores = loaded.run("anomaly_score", {"rows": np.round(x, 6)})
    first = [one.text for one in browser.every("#body tr:first-child td")]
    assert first[0] == "7"
    assert float(first[1]) == pytest.approx(scores["anomaly_score"][7], rel=2e-3)
    assert browser.find("#body tr:first-child").get_attribute("class") == "flagged"
    flagged = int(scores["is_anomaly"].sum())
    assert browser.text("#flagged").startswith(f"{flagged} of 30 rows")
    worst = [one.text for one in browser.every("#explained tbody tr:first-child td")]
    assert worst[:2] == ["price", "60"]
    for position, expected in ((0, 29), (1000, 0)):
        browser.slide(browser.find("#slider"), position)
        assert browser.text("#flagged").startswith(f"{expected} of 30 rows")
    browser.find("#own").click()
    assert browser.text("#flagged").startswith(f"{flagged} of 30 rows")
    browser.find("#threshold").clear()
    browser.find("#threshold").send_keys(f"{np.sort(scores['anomaly_score'])[9]:.8f}\n")
    browser.wait(lambda: re.match(r"(19|20|21) of 30 rows", browser.text("#flagged")))
    browser.picture("table")
    browser.picture("table-phone-dark", 420, "dark")
    assert browser.driver.execute_script("return document.documentElement.scrollWidth") <= 1100


def test_a_file_is_dropped(browser):
    browser.open(HOSTILE)
    text = "\n".join([",".join(COLUMNS), *(",".join(map(str, row)) for row in rows(5))])
    browser.driver.execute_script(
        "const data = new DataTransfer();"
        "data.items.add(new File([arguments[0]], 'dropped.csv'));"
        "document.getElementById('drop').dispatchEvent("
        "new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}))",
        text,
    )
    browser.status("5 rows of dropped.csv are scored")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "none called size, weight [kg], <img src=x onerror=alert(1)>, price"),
        ("", "must have rows"),
        ("1,2,3,4\n1,2,3\n", "line 2 must have 4 cells. Received: 3"),
        ("1,2,3,4\n1,2,x,4\n", "line 2, column <img src=x onerror=alert(1)>: must be a number"),
        ('"1,2,3,4\n', "line 1 must end its quotes"),
    ],
)
def test_a_bad_file_is_an_error_that_says_where(browser, tmp_path, content, message):
    browser.open(HOSTILE)
    (tmp_path / "bad.csv").write_text(content)
    browser.find("#file").send_keys(str(tmp_path / "bad.csv"))
    browser.status(message)
    assert browser.find("#status").get_attribute("class") == "error"


def test_a_large_file_is_refused_before_it_is_read(folder, driver, tmp_path):
    with Server(folder, rest_port=0, grpc_port=0, max_body=2000) as server:
        browser = Browser(driver, server.url)
        browser.open(HOSTILE)
        text = "\n".join(",".join(map(str, row)) for row in rows(40).round(3))
        (tmp_path / "rows.csv").write_text(text[:1900].rsplit("\n", 1)[0])
        browser.find("#file").send_keys(str(tmp_path / "rows.csv"))
        browser.status("are scored")  # in requests below the limit
        (tmp_path / "more.csv").write_text(text + "\n" + text)
        browser.find("#file").send_keys(str(tmp_path / "more.csv"))
        browser.status("must have at most 0.001907 MiB")


def test_a_form_is_filled_by_keyboard(browser):
    from selenium.webdriver.common.keys import Keys

    browser.open(HOSTILE)
    browser.find("#form-part summary").send_keys(Keys.ENTER)
    labels = [one.text for one in browser.every("#form label")]
    assert labels == COLUMNS
    fields = browser.every("#form input")
    fields[3].clear()
    fields[3].send_keys("70", Keys.ENTER)
    browser.status("1 row of the form is scored")
    assert browser.text("#explained tbody td") == "price"
    show = browser.find("#body button")
    show.send_keys(Keys.ENTER)
    browser.wait(lambda: browser.driver.switch_to.active_element.get_attribute("id") == "h-row")


def test_sliders_move_the_decoder_and_samples_are_drawn(browser, folder):
    browser.open("images")
    browser.wait(lambda: browser.every("#decoded canvas"))
    script = "return document.querySelector('#decoded canvas').toDataURL()"
    before = browser.driver.execute_script(script)
    sliders = browser.every("#sliders input")
    assert len(sliders) == 2
    browser.slide(sliders[0], 50)
    browser.wait(lambda: browser.driver.execute_script(script) != before)
    browser.find("#sample").click()
    browser.wait(lambda: len(browser.every("#drawn canvas")) == 12)
    assert browser.find("#seed").get_attribute("value") == "12"
    browser.every("#examples button")[0].click()
    browser.status("is scored")
    assert len(browser.every("#reconstruction canvas")) == 4
    browser.find("#of-row").click()
    browser.picture("images")
    browser.picture("images-phone-dark", 420, "dark")


def test_a_table_of_mixed_columns_is_scored_by_its_cells(browser, folder, tmp_path):
    table = mixed_table()
    table.to_csv(tmp_path / "mixed.csv", index=False)
    browser.open("mixed")
    browser.find("#file").send_keys(str(tmp_path / "mixed.csv"))
    browser.status("60 rows of mixed.csv are scored")
    bundle = kerasae.serving.saved_model.Bundle(folder / "mixed" / "1", folder)
    codes = np.asarray(kerasae.tables.Schema.infer(table).codes(table), "float32")
    scores = bundle.run("anomaly_score_codes", {"rows": codes})["anomaly_score"]
    first = [one.text for one in browser.every("#body tr:first-child td")]
    assert int(first[0]) == scores.argmax()
    assert float(first[1]) == pytest.approx(scores.max(), rel=2e-3)
    dates = [one.text for one in browser.every("#explained td") if one.text.startswith("2024")]
    assert len(dates) >= 1
    browser.find("#form-part summary").click()
    kinds = browser.every("#form select option")
    assert {"missing", "red", "<b>blue</b>"} <= {one.text for one in kinds}
    browser.find("#form button").click()
    browser.status("1 row of the form is scored")
    assert "<b>blue</b>" in browser.text("#decoded") or "red" in browser.text("#decoded")
    browser.picture("mixed")


def test_images_are_dropped_and_the_worst_region_is_named(browser, folder, tmp_path):
    from PIL import Image

    pixels = np.full((8, 8, 3), 128, "uint8")
    Image.fromarray(pixels).save(tmp_path / "plain.png")
    pixels[2:4, 5:7] = 255
    Image.fromarray(pixels).save(tmp_path / "spot.png")
    browser.open("images")
    browser.find("#file").send_keys(f"{tmp_path / 'plain.png'}\n{tmp_path / 'spot.png'}")
    browser.status("2 rows of 2 images are scored")
    assert "resized to 8 x 8 pixels, of which white is 1." in browser.text("#notes")
    named = [one.text for one in browser.every("#body td:first-child")]
    assert sorted(named) == ["0: plain.png", "1: spot.png"]
    loaded = kerasae.serving.saved_model.Bundle(folder / "images" / "1", folder)
    x = (pixels[..., :1] / 255).astype("float32")
    expected = loaded.run("anomaly_score", {"rows": x[None]})["anomaly_score"][0]
    line = browser.find("#body tr[data-row='1']")
    found = [one.text for one in line.find_elements("css selector", "td")]
    assert float(found[1]) == pytest.approx(expected, rel=2e-3)
    line.find_element("css selector", "button").click()
    browser.wait(lambda: browser.text("#h-row") == "Row 1, spot.png")
    region = kerasae.anomaly.worst_region(
        loaded.run("anomaly_map", {"rows": x[None]})["anomaly_map"][0]
    )
    assert browser.text("#explained tbody td") == region
    assert len(browser.every("#reconstruction canvas")) == 4
    browser.picture("images-dropped")
    (tmp_path / "broken.png").write_bytes(b"no image")
    browser.find("#file").send_keys(str(tmp_path / "broken.png"))
    browser.status("broken.png must be an image")
    browser.open("series")
    browser.find("#file").send_keys(str(tmp_path / "spot.png"))
    browser.status("must be a CSV for this model")


def test_windows_of_a_series_are_lines(browser):
    browser.open("series")
    browser.every("#examples button")[-1].click()
    browser.status("8 rows of the test data are scored")
    captions = [one.text for one in browser.every("#reconstruction figcaption")]
    assert captions == ["flow", "<b>"]
    assert len(browser.every("#reconstruction polyline")) == 4
    browser.wait(lambda: len(browser.every("#decoded polyline")) == 2)
    assert "at step" in browser.text("#explained tbody td")
    browser.picture("series")


def test_windows_are_cut_from_the_steps_of_a_file(browser, folder, tmp_path):
    steps = np.random.default_rng(2).normal(size=(40, 2)).astype("float32")
    table = pd.DataFrame(steps, columns=["<b>", "flow"])  # in another order
    table.insert(0, "time", pd.date_range("2024-01-01", periods=40, freq="h"))
    table.to_csv(tmp_path / "series.csv", index=False)
    browser.open("series")
    browser.find("#file").send_keys(str(tmp_path / "series.csv"))
    browser.status("3 rows of series.csv are scored")
    named = sorted(one.text for one in browser.every("#body td:first-child"))
    assert named == ["0: steps 0-15", "1: steps 16-31", "2: steps 24-39"]
    loaded = kerasae.serving.saved_model.Bundle(folder / "series" / "1", folder)
    windows = np.stack([steps[first : first + 16, ::-1] for first in (0, 16, 24)])
    expected = loaded.run("anomaly_score", {"rows": windows})["anomaly_score"]
    for i, value in enumerate(expected):
        cells = browser.every(f"#body tr[data-row='{i}'] td")
        assert float(cells[1].text) == pytest.approx(value, rel=2e-3)
    (tmp_path / "short.csv").write_text("flow,<b>\n1,2\n3,4\n")
    browser.find("#file").send_keys(str(tmp_path / "short.csv"))
    browser.status("must have at least 16 steps")
    assert not browser.find("#scores").is_displayed()


def test_the_report_opens_without_errors(browser):
    browser.open(HOSTILE)
    link = browser.find("#report").get_attribute("href")
    browser.driver.get(link)
    assert browser.text("h1") == HOSTILE
    broken = "return [...document.images].filter(one => !one.naturalWidth).length"
    assert browser.driver.execute_script(broken) == 0
    assert browser.driver.execute_script("return document.images.length") > 3
    browser.picture("report")
