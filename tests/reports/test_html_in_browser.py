"""report.html in a real Chromium: what is seen, and that nothing is asked of any network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from runner.reports import html
from tests.reports.example import RUNS

pytestmark = pytest.mark.browser

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--hide-scrollbars",
)


def browser(profile: Path, *, scripts: bool = True, size: str = "1400,2400") -> Chrome:
    options = ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in (*QUIET, f"--user-data-dir={profile}", f"--window-size={size}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    return Chrome(options=options, service=Service("/usr/bin/chromedriver"))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory) -> Iterator[Chrome]:
    driver = browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def show(chromium, tmp_path):
    def opened(name: str, *, scheme: str = "light", width: int = 1400) -> Chrome:
        page = tmp_path / f"{name}.html"
        page.write_text(html.render(RUNS[name]()), encoding="utf-8")
        chromium.set_window_size(width, 2400)
        chromium.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        chromium.get_log("performance")
        chromium.get_log("browser")
        chromium.get(page.as_uri())
        return chromium

    return opened


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_an_error_and_without_a_request(show, name, scheme):
    driver = show(name, scheme=scheme)
    assert driver.get_log("browser") == []
    asked = [
        message["params"]["request"]["url"]
        for message in (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert asked, "the page itself is a request, so its absence means that nothing was logged"
    assert all(url.startswith(("file:", "data:")) for url in asked), asked
    assert driver.find_element(By.ID, "said").is_displayed()


def test_even_a_script_in_it_could_not_reach_the_network(show):
    driver = show("passed")
    refused = driver.execute_async_script(
        "const done = arguments[0];"
        "document.addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective));"
        "fetch('http://127.0.0.1:9/').catch(() => {});"
    )
    assert refused == "connect-src"
    driver.get_log("browser")


def test_the_colours_follow_the_reader(show):
    def paper(scheme: str) -> str:
        return show("passed", scheme=scheme).execute_script(
            "return getComputedStyle(document.querySelector('section')).backgroundColor"
        )

    assert paper("light") == "rgb(255, 255, 255)"
    assert paper("dark") != paper("light")


def test_a_downtime_window_lies_where_its_times_say(show):
    driver = show("passed")
    lane = driver.find_element(By.CSS_SELECTOR, "svg[aria-label^='head/new, downtime']").rect
    bad = driver.find_element(By.CSS_SELECTOR, "svg[aria-label^='head/new, downtime'] .bad").rect
    assert bad["x"] - lane["x"] == pytest.approx(52.326 / 104.2 * lane["width"], abs=3)
    assert bad["width"] == pytest.approx(26.55 / 104.2 * lane["width"], abs=4)
    mark = driver.find_element(By.CSS_SELECTOR, ".grid line.hit").rect
    assert mark["x"] == pytest.approx(bad["x"], abs=3)


@pytest.mark.parametrize("width", [1400, 900, 600])
def test_a_bad_sample_is_at_least_a_pixel_wide(show, width):
    driver = show("passed", width=width)
    # A stroke that does not scale is as wide as it says, however narrow the bar inside it gets.
    effect, stroke = driver.execute_script(
        "const style = getComputedStyle(document.querySelector("
        " \"svg[aria-label^='service/new, downtime'] .bad\"));"
        "return [style.vectorEffect, parseFloat(style.strokeWidth)]"
    )
    assert effect == "non-scaling-stroke"
    assert stroke >= 1


@pytest.mark.parametrize("width", [2200, 1400, 900, 600])
@pytest.mark.parametrize("name", ["passed", "failed"])
def test_labels_do_not_meet_at_any_width(show, name, width):
    driver = show(name, width=width)
    for label in ("Faults", "Cluster"):
        boxes = driver.execute_script(
            "const row = [...document.querySelectorAll('.row')].find("
            " (row) => row.querySelector('.label')?.textContent === arguments[0]);"
            "return [...row.querySelectorAll('text')].map((text) => {"
            " const box = text.getBoundingClientRect(); return [box.left, box.right, box.top, box.bottom]; })",
            label,
        )
        assert boxes
        for number, (left, right, top, bottom) in enumerate(boxes):
            for other_left, other_right, other_top, other_bottom in boxes[:number]:
                apart = right <= other_left or left >= other_right
                # Lines of text stand close: their boxes may share two pixels of empty space.
                assert apart or bottom <= other_top + 2 or top >= other_bottom - 2


@pytest.mark.parametrize("width", [1400, 420])
def test_the_page_itself_never_scrolls_sideways(show, width):
    driver = show("several", width=width)
    assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_pointing_at_the_timeline_says_the_time(show):
    driver = show("passed")
    lane = driver.find_element(By.CSS_SELECTOR, "svg[aria-label^='head/new, downtime']")
    ActionChains(driver).move_to_element(lane).perform()
    cursor = driver.find_element(By.CSS_SELECTOR, ".cursor")
    assert cursor.is_displayed()
    assert float(cursor.text.removesuffix(" s")) == pytest.approx(52.1, abs=0.3)


def test_it_is_whole_without_scripts(tmp_path):
    page = tmp_path / "report.html"
    page.write_text(html.render(RUNS["passed"]()), encoding="utf-8")
    driver = browser(tmp_path / "profile", scripts=False)
    try:
        driver.get("data:text/html,<title>off</title><script>document.title = 'on'</script>")
        assert driver.title == "off"
        driver.get(page.as_uri())
        body = driver.find_element(By.TAG_NAME, "body").text
        for text in (
            "PASSED",
            "26.55 s [26.50-26.61]",
            "kill node head",
            "Wait for recovery",
            "ftrun scenarios/head_node.yaml",
        ):
            assert text in body
        assert driver.find_element(
            By.CSS_SELECTOR, "svg[aria-label^='head/new, downtime'] .bad"
        ).is_displayed()
    finally:
        driver.quit()
