"""report.html in a real Chromium: what is seen, and that nothing is asked of any network."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from runner.reports import html
from tests.reports.example import END, RUNS

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
        laid_out(chromium)
        return chromium

    return opened


def laid_out(driver: Chrome) -> None:
    """Wait for the second frame from now: what watches sizes has seen to the first one."""
    driver.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))"
    )


def eventually(driver: Chrome, true: Callable[[], object]) -> None:
    """Wait until what a pointer did is true: the page hears of it a little later."""
    WebDriverWait(driver, 20).until(lambda _: true())


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
    for label in ("Faults", "what it said"):
        boxes = driver.execute_script(
            "const row = [...document.querySelectorAll('.row')].find("
            " (row) => row.querySelector('.label')?.textContent.trim() === arguments[0]);"
            "return [...row.querySelectorAll('text:not(.crowded)')].map((text) => {"
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


HEAD = "svg[aria-label^='head/new, downtime']"
"""The lane of the head, which is down from 52.3 s to 78.9 s."""


def view(driver: Chrome) -> tuple[float, float]:
    """Give the stretch that the timeline says it shows."""
    said = driver.find_element(By.CSS_SELECTOR, ".range").text
    if said.startswith("all"):
        return 0.0, END
    start, end = said.split(",")[0].split(" to ")
    return float(start.removesuffix(" s")), float(end.removesuffix(" s"))


def place(driver: Chrome, selector: str) -> tuple[float, float]:
    """Give from where to where a thing is drawn, in seconds."""
    start, end = view(driver)
    plot = driver.find_element(By.CSS_SELECTOR, ".axis .plot").rect
    rect = driver.find_element(By.CSS_SELECTOR, selector).rect
    scale = (end - start) / plot["width"]
    left = start + (rect["x"] - plot["x"]) * scale
    return left, left + rect["width"] * scale


def press(driver: Chrome, keys: str) -> None:
    driver.find_element(By.CSS_SELECTOR, ".timeline .wide").send_keys(keys)


def test_pointing_at_the_timeline_says_the_time_and_what_is_there(show):
    driver = show("passed")
    lane = driver.find_element(By.CSS_SELECTOR, HEAD)
    ActionChains(driver).move_to_element_with_offset(lane, 60, 0).perform()
    tip = driver.find_element(By.CSS_SELECTOR, ".tip")
    eventually(driver, tip.is_displayed)
    time, *said = tip.text.split("\n")
    assert float(time.split(" s ")[0]) == pytest.approx(52.1 + 60 / lane.rect["width"] * END, abs=0.3)
    assert "from the fault" in time
    assert said[0] == "head new: bad"
    assert "down 26.55 s [26.50-26.61]: refused 428, unreachable 96, timeout 7" in said[1]
    ActionChains(driver).move_to_element_with_offset(lane, -300, 0).perform()
    eventually(driver, lambda: "head new: nothing was sent" in tip.text)
    curve = driver.find_element(By.CSS_SELECTOR, "svg[aria-label^='worker-1/new, latency']")
    ActionChains(driver).move_to_element_with_offset(curve, 60, 0).perform()
    eventually(driver, lambda: re.search(r"median about 4\.\d ms, slowest about \d+", tip.text))
    member = driver.find_element(By.CSS_SELECTOR, "svg[aria-label^='proxy head:'] .dead")
    ActionChains(driver).move_to_element(member).perform()
    eventually(driver, lambda: "proxy head: dead for 21.4 s: its node is dead" in tip.text)
    ActionChains(driver).move_to_element(driver.find_element(By.TAG_NAME, "h1")).perform()
    eventually(driver, lambda: not tip.is_displayed())


def test_all_lanes_zoom_together_and_stay_true(show):
    driver = show("passed")
    everything = place(driver, f"{HEAD} .bad")
    assert everything == pytest.approx((52.33, 78.88), abs=0.3)
    press(driver, "f")
    start, end = view(driver)
    assert 48 < start < 52.31
    assert 84.9 < end < 90
    for selector, truth in (
        (f"{HEAD} .window", (52.301, 78.9054)),
        ("svg[aria-label^='proxy head:'] .dead", (52.33, 73.7)),
        (".grid line.hit", (52.316, 52.316)),
    ):
        assert place(driver, selector) == pytest.approx(truth, abs=0.12), selector
    ticks = [each.text for each in driver.find_elements(By.CSS_SELECTOR, ".axis text") if each.text]
    assert ticks[0].removesuffix(" s") in ("50", "52", "55")


def test_keys_and_buttons_zoom_and_move(show):
    driver = show("passed")
    press(driver, "+")
    start, end = view(driver)
    assert end - start == pytest.approx(END / 2, rel=0.01)
    press(driver, Keys.ARROW_RIGHT)
    assert view(driver)[0] == pytest.approx(start + END / 8, abs=0.2)
    driver.find_element(By.CSS_SELECTOR, "[data-do=left]").click()
    assert view(driver)[0] == pytest.approx(start, abs=0.2)
    driver.find_element(By.CSS_SELECTOR, "[data-do=in]").click()
    assert view(driver)[1] - view(driver)[0] == pytest.approx(END / 4, rel=0.02)
    press(driver, "-")
    press(driver, "0")
    assert view(driver) == (0.0, END)
    press(driver, Keys.ARROW_LEFT)
    assert view(driver) == (0.0, END), "there is nothing before the beginning"


def test_dragging_looks_closer_and_a_double_click_shows_all(show):
    driver = show("passed")
    plot = driver.find_element(By.CSS_SELECTOR, ".steps .plot")
    width = plot.rect["width"]
    actions = ActionChains(driver).move_to_element_with_offset(plot, round(-width / 4), 0).click_and_hold()
    actions.move_by_offset(round(width / 8), 0).move_by_offset(round(width / 8), 0).release().perform()
    eventually(driver, lambda: view(driver) == pytest.approx((END / 4, END / 2), abs=0.5))
    ActionChains(driver).double_click(plot).perform()
    eventually(driver, lambda: view(driver) == (0.0, END))


def test_the_wheel_zooms_with_ctrl_and_scrolls_the_page_without(show):
    driver = show("passed")
    driver.set_window_size(1400, 700)
    laid_out(driver)
    plot = driver.find_element(By.CSS_SELECTOR, HEAD)
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    origin = ScrollOrigin.from_element(plot)
    before = driver.execute_script("return scrollY")
    ActionChains(driver).scroll_from_origin(origin, 0, 100).perform()
    eventually(driver, lambda: driver.execute_script("return scrollY") > before)
    assert view(driver) == (0.0, END)
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    ActionChains(driver).key_down(Keys.CONTROL).scroll_from_origin(origin, 0, -200).key_up(
        Keys.CONTROL
    ).perform()
    eventually(driver, lambda: view(driver) != (0.0, END))
    start, end = view(driver)
    assert end - start < END * 0.6
    assert (start + end) / 2 == pytest.approx(END / 2, abs=1.0), "what is pointed at stays where it is"


def test_a_click_on_a_window_shows_its_samples_and_its_errors(show):
    driver = show("passed")
    panel = driver.find_element(By.CSS_SELECTOR, ".panel")
    assert not panel.is_displayed()
    driver.find_element(By.CSS_SELECTOR, f"{HEAD} a").click()
    assert panel.is_displayed()
    for text in (
        "head/new down 26.55 s [26.50-26.61]",
        "428 × refused\n#1 ConnectionRefusedError: [Errno 111] Connection refused",
        "523 requests left out",
        "head is dead: its gcs_server ended by SIGKILL",
    ):
        assert text in panel.text
    assert driver.current_url.endswith("#window-1-2")
    assert driver.execute_script("return document.activeElement.className") == "panel"
    driver.find_element(By.CSS_SELECTOR, "[data-do=closer]").click()
    start, end = view(driver)
    assert start < 52.3
    assert end > 78.9
    assert end - start < 80
    assert "#window-1-2@" in driver.current_url
    driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not panel.is_displayed()
    assert driver.execute_script("return document.activeElement.getAttribute('href')") == "#window-1-2"


def test_windows_are_reached_and_followed_by_keyboard_alone(show):
    driver = show("passed")
    press(driver, "n")
    assert driver.current_url.endswith("#window-1-1")
    press(driver, "n")
    assert driver.current_url.endswith("#window-1-2")
    press(driver, Keys.ESCAPE)
    driver.find_element(By.CSS_SELECTOR, ".timeline .wide").send_keys(Keys.TAB, Keys.TAB)
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert "down 26.55 s" in driver.find_element(By.CSS_SELECTOR, ".panel").text


def test_a_link_restores_the_window_and_the_stretch(show):
    driver = show("passed")
    page = driver.current_url
    driver.get("about:blank")
    driver.get(f"{page}#window-1-1@50.000-55.000")
    assert view(driver) == (50.0, 55.0)
    assert "service/new down 50 ms [0-104]" in driver.find_element(By.CSS_SELECTOR, ".panel").text
    assert place(driver, ".chosen") == pytest.approx((52.301, 52.405), abs=0.03)
    assert driver.current_url.endswith("#window-1-1@50.000-55.000")
    driver.execute_script("location.hash = 'scenario-1@60-70'")
    WebDriverWait(driver, 10).until(lambda driver: view(driver) == (60.0, 70.0))
    assert not driver.find_element(By.CSS_SELECTOR, ".panel").is_displayed()
    assert driver.get_log("browser") == []


@pytest.mark.parametrize("fragment", ["window-9-9@1-2", "window-1-99", "scenario-1@9-1", "scenario-1@NaN-1"])
def test_a_link_that_leads_nowhere_shows_all(show, fragment):
    driver = show("passed")
    page = driver.current_url
    driver.get("about:blank")
    driver.get(f"{page}#{fragment}")
    assert view(driver)[1] > view(driver)[0]
    assert driver.get_log("browser") == []


def test_of_several_scenarios_each_has_a_timeline_of_its_own(show):
    driver = show("several")
    ranges = driver.find_elements(By.CSS_SELECTOR, ".range")
    driver.find_elements(By.CSS_SELECTOR, "[data-do=in]")[1].click()
    assert [each.text.startswith("all") for each in ranges[:2]] == [True, False]
    assert "#scenario-2@" in driver.current_url


def test_of_many_scenarios_those_come_alive_that_are_seen(show, monkeypatch):
    run = RUNS["passed"]()
    many = replace(
        run, scenarios=tuple(replace(run.scenarios[0], name=f"number {each}") for each in range(8))
    )
    monkeypatch.setitem(RUNS, "many", lambda: many)
    driver = show("many")
    driver.set_window_size(1400, 900)
    driver.get("about:blank")
    driver.back()
    driver.refresh()
    alive = ".timeline.live"
    assert len(driver.find_elements(By.CSS_SELECTOR, alive)) < 8
    driver.execute_script("location.hash = 'window-7-2@50-80'")
    WebDriverWait(driver, 10).until(
        lambda driver: driver.find_elements(By.CSS_SELECTOR, f"#timeline-7{alive}")
    )
    assert driver.find_element(By.CSS_SELECTOR, "#timeline-7 .range").text.startswith("50.0 s to 80.0 s")
    assert "head/new down 26.55 s" in driver.find_element(By.CSS_SELECTOR, "#timeline-7 .panel").text
    assert driver.get_log("browser") == []


def test_in_a_narrow_window_the_timeline_fits_and_text_can_be_read(show):
    driver = show("passed", width=420)
    wide = driver.find_element(By.CSS_SELECTOR, ".timeline .wide")
    assert wide.get_property("scrollWidth") <= wide.get_property("clientWidth")
    lane = driver.find_element(By.CSS_SELECTOR, HEAD).rect
    assert lane["width"] > 300


def test_what_is_printed_is_whole_and_as_it_was_laid_out(show):
    driver = show("passed")
    press(driver, "f")
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert all(each.get_property("open") for each in driver.find_elements(By.TAG_NAME, "details"))
    length = driver.find_element(By.CSS_SELECTOR, f"{HEAD} .length")
    assert length.get_attribute("x") == "62.959%"
    assert "live" not in driver.find_element(By.CSS_SELECTOR, ".timeline").get_attribute("class")
    driver.execute_script("dispatchEvent(new Event('afterprint'))")
    assert view(driver)[0] > 48
    assert not any(each.get_property("open") for each in driver.find_elements(By.TAG_NAME, "details"))
    pdf = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert pdf.startswith(b"%PDF")


def test_every_text_has_enough_contrast(show):
    for scheme in ("light", "dark"):
        driver = show("known", scheme=scheme)
        least = driver.execute_script(CONTRAST)
        assert least[0] >= 4.5, (scheme, least)


CONTRAST = """
const channel = (value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = ([red, green, blue]) =>
  0.2126 * channel(red / 255) + 0.7152 * channel(green / 255) + 0.0722 * channel(blue / 255);
const behind = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const colour = parse(getComputedStyle(each).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
};
let least = [99, ""];
for (const element of document.querySelectorAll("main :not(svg):not(svg *)")) {
  if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
  const [one, two] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
  const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
  if (ratio < least[0]) least = [ratio, element.outerHTML.slice(0, 200)];
}
return least;
"""


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
