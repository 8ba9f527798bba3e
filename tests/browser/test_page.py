"""The page in headless Chromium: it draws, answers its switches, fits a phone, and asks the network for nothing."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.flow.sample import sample

from grokscope.report import write_page

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
)

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no Chromium at /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as p:
        found = p.chromium.launch(executable_path=str(CHROMIUM), args=list(ARGUMENTS))
        yield found
        found.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(sample(3), tmp_path_factory.mktemp("page") / "page.html")


def opened(browser: Any, file: Path, **context: Any) -> Any:
    """The page, drawn; whatever it says or asks for is collected in ``page.heard``."""
    page = browser.new_context(**{"viewport": {"width": 1180, "height": 900}, **context}).new_page()
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda request: heard.append(request.url) if request.url.startswith(("http", "ws")) else None)
    page.goto(file.resolve().as_uri())
    page.wait_for_selector("html.drawn", state="attached", timeout=20_000)
    page.heard = heard
    return page


@pytest.fixture(scope="module")
def page(browser: Any, file: Path) -> Any:
    return opened(browser, file, accept_downloads=True)


def test_everything_is_drawn_in_silence(page: Any) -> None:
    assert page.heard == []
    assert page.locator(".js-plotly-plot").count() == 4
    assert page.locator("#circle circle").count() == 24  # 23 elements and the ring
    assert page.locator("#picture .ribbon .segment").count() == 4
    assert page.locator(".strip .segment").count() >= 12


def test_the_slider_travels_by_keyboard(page: Any) -> None:
    slider, out = page.locator("#circle input"), page.locator("#circle output")
    last, place = out.inner_text(), page.locator("#circle circle").nth(5).get_attribute("cx")
    slider.focus()
    for _ in range(8):
        slider.press("ArrowLeft")
    assert out.inner_text() != last
    assert page.locator("#circle circle").nth(5).get_attribute("cx") != place
    assert slider.get_attribute("aria-valuetext").startswith("step ")
    button = page.locator("#circle .keys button").nth(1)
    button.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"


def test_one_click_to_linear_steps_and_back(page: Any) -> None:
    ticks = lambda: page.evaluate("document.querySelector('#picture .plot').layout.xaxis.range[1]")  # noqa: E731
    toggle = page.locator("#scale")
    before = ticks()
    toggle.click()
    assert toggle.get_attribute("aria-pressed") == "true"
    assert ticks() == 2000
    toggle.click()
    assert ticks() == before


def test_a_zoom_is_shared_and_undone(page: Any) -> None:
    box = page.locator("#circuit .plot .nsewdrag").first.bounding_box()
    page.locator("#circuit").scroll_into_view_if_needed()
    box = page.locator("#circuit .plot .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 82, steps=4)
    page.mouse.up()
    page.wait_for_selector("#unzoom:not([hidden])")
    shared = page.evaluate(
        "['picture', 'spectrum'].map((id) => document.querySelector(`#${id} .plot`).layout.xaxis.range)"
    )
    assert shared[0] == shared[1]
    page.locator("#unzoom").click()
    assert page.locator("#unzoom").is_hidden()


def test_every_figure_gives_its_numbers(page: Any, tmp_path: Path) -> None:
    for button in page.locator(".csv").all():
        with page.expect_download() as waiting:
            button.click()
        target = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(target)
        rows = list(csv.reader(target.read_text(encoding="utf-8").splitlines()))
        assert len(rows) > 100
        assert "step" in rows[0]
        assert {len(row) for row in rows} == {len(rows[0])}


def test_the_colours_can_be_switched(page: Any) -> None:
    paper = lambda: page.evaluate("getComputedStyle(document.body).backgroundColor")  # noqa: E731
    light = paper()
    page.locator("#theme").click()
    dark = paper()
    assert sum(int(part) for part in dark[4:-1].split(",")) < 150 < sum(int(part) for part in light[4:-1].split(","))
    page.locator("#theme").click()
    assert paper() == light
    assert page.heard == []


def test_a_phone_in_the_dark(browser: Any, file: Path) -> None:
    phone = opened(
        browser, file, viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True, is_mobile=True
    )
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    assert phone.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 18, 22)"
    for plot in phone.locator(".plot").all():
        box = plot.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    assert phone.heard == []


def test_without_decompression_the_still_picture_stays(browser: Any, file: Path) -> None:
    old = browser.new_context().new_page()
    old.add_init_script("delete window.DecompressionStream")
    old.goto(file.resolve().as_uri())
    old.wait_for_selector("html.still", state="attached")
    assert old.locator("#picture svg[role=img]").is_visible()
    assert old.locator("#circle svg").is_visible()
