"""A sweep's page in headless Chromium: choose cells and quantities, take the files, on a phone and in the dark."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.flow.test_diagram_page import DECAY, EVIL, SHARE, csv_of, large, made, member_table, mixed, one_row, refined

from grokscope.report.diagram import diagram_html, write_diagram
from grokscope.report.diagram_data import CELL_FIELDS
from grokscope.sweeps.folder import SweepFolder
from grokscope.sweeps.results import summarise

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
def folder(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    return mixed(tmp_path_factory.mktemp("store"))


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


@pytest.fixture
def page(browser: Any, folder: SweepFolder, tmp_path: Path) -> Iterator[Any]:
    found = opened(browser, write_diagram(folder, tmp_path / "page.html"), accept_downloads=True)
    yield found
    assert found.heard == []
    found.context.close()


def cell(page: Any, index: int) -> Any:
    return page.locator(f'#cells [data-cell="{index}"]')


def taken(page: Any, which: str) -> str:
    """A file that the page gives."""
    with page.expect_download() as waiting:
        page.locator(f'[data-export="{which}"]').click()
    return Path(waiting.value.path()).read_bytes().decode("utf-8")


def test_a_click_opens_the_members(page: Any) -> None:
    cell(page, 6).click()  # weight decay 0.1, train share 0.6: one grokked, one did not
    side = page.locator("#cell")
    assert side.locator("h3").inner_text() == "weight decay 0.1, train share 0.6"
    items = side.locator("li")
    assert [item.locator(".label").inner_text() for item in items.all()] == ["grokking", "memorization"]
    assert "617, delay 597" in items.nth(0).inner_text()
    assert "> 1,500" in items.nth(1).inner_text()
    assert "grokscope show sums-" in items.nth(0).inner_text()
    assert page.locator("#slices h2").all_inner_texts() == ["Along train share", "Along weight decay"]
    cell(page, 0).click()
    assert EVIL.split("\n")[0].replace("\u2028", "") in side.inner_text().replace("\u2028", "").replace("\n", "")
    assert "failed, no finding" in side.inner_text()


def test_the_keyboard_reaches_every_cell(page: Any) -> None:
    start = page.locator('#cells [tabindex="0"]')
    assert start.count() == 1
    start.focus()
    for key in ("Home", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused.startswith("weight decay 0.1, train share 0.4: memorization; ")
    assert page.locator("#tip").is_visible()
    page.keyboard.press("Enter")
    assert page.locator("#cell h3").inner_text() == "weight decay 0.1, train share 0.4"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("End")
    assert "weight decay 1, train share 0.8" in page.evaluate("document.activeElement.getAttribute('aria-label')")


def test_the_map_shows_another_quantity(page: Any, folder: SweepFolder) -> None:
    values = page.locator("#cells .value")
    cells = summarise(folder.sweep(), folder.rows()).values()
    assert set(page.locator("#cells .direct").all_text_contents()) == {"memorization", "grokking", "confusion"}
    assert values.count() == 0
    page.locator('[data-quantity="delay"]').click()
    assert page.locator('[aria-pressed="true"]').inner_text() == "delay"
    assert sorted(values.all_text_contents()) == sorted(f"{c.delay:g}" for c in cells if c.delay is not None)
    page.locator('[data-quantity="train_accuracy"]').click()
    shown = [c.train_accuracy for c in cells if c.label not in ("diverged", "failed")]
    assert sorted(values.all_text_contents()) == sorted("100 %" if a == 1 else f"{100 * a:.1f} %" for a in shown)
    cell(page, 7).hover()
    assert page.locator("#tip").inner_text().endswith("n = 2")


def test_marks_lie_where_they_should(page: Any, folder: SweepFolder) -> None:
    pieces = lambda mark: (page.locator(f"#cells .{mark}").get_attribute("d") or "").count("M")  # noqa: E731
    cells = summarise(folder.sweep(), folder.rows())
    assert pieces("diverged") == 1
    assert pieces("failed") == 2 * sum(c.failed > 0 for c in cells.values())  # two strokes each
    spoilt = ("diverged", "failed")
    late = [c for c in cells.values() if c.label not in spoilt and 2 * c.censored > c.n - c.failed]
    assert pieces("censored") == len(late) == 8
    strips = page.locator("#cells .strip")
    assert sum((s.get_attribute("d") or "").count("M") for s in strips.all()) == 2


def test_left_out_cells_are_marked_and_have_no_number(browser: Any, tmp_path: Path) -> None:
    folder, _, known = refined(tmp_path)
    page = opened(browser, write_diagram(folder, tmp_path / "page.html"))
    left_out = 289 - len(known)
    assert (page.locator("#cells .taken").get_attribute("d") or "").count("M") == left_out
    assert page.locator('#cells [data-state="left out"]').count() == left_out
    words = page.locator('#cells [data-state="left out"]').first.get_attribute("aria-label")
    assert "left out by refinement, not run" in words
    assert (page.locator("#cells .border").get_attribute("d") or "").count("M") == 17
    page.locator('[data-quantity="t_train"]').click()
    assert page.locator("#cells .value").count() == len(known)
    assert page.heard == []


def test_the_files_equal_the_rows(page: Any, folder: SweepFolder) -> None:
    head, *lines = csv_of(taken(page, "members"))
    true = member_table(folder)
    assert len(lines) == len(true) == 32
    for line, row in zip(lines, true, strict=True):
        seen = dict(zip(head, line, strict=True))
        assert seen.keys() == row.keys()
        for key, value in row.items():
            assert seen[key] == value or float(seen[key]) == float(value), key
    head, *lines = csv_of(taken(page, "cells"))
    assert head == [DECAY[0], SHARE[0], *CELL_FIELDS]
    found = summarise(folder.sweep(), folder.rows())
    assert [line[head.index("label")] for line in lines] == [found[c].label for c in folder.sweep().cells()]
    delays = [line[head.index("delay")] for line in lines]
    assert [float(d) if d else None for d in delays] == [found[c].delay for c in folder.sweep().cells()]
    drawn = taken(page, "svg")
    assert drawn.startswith("<svg")
    assert "var(--" not in drawn
    assert drawn.count("data-cell=") == 16


def test_more_axes_have_sliders(browser: Any, tmp_path: Path) -> None:
    axes = [DECAY, SHARE, ("optimizer.kind", ("adamw", "sgd"), "category"), ("optimizer.lr", (0.001, 0.01, 0.1), "log")]
    cells = [(i, j, k, n) for i in range(4) for j in range(4) for k in range(2) for n in range(3)]
    rows = [one_row(c, 0, "grokking" if c[2] else "memorization", t_test=400 + 100 * c[3]) for c in cells]
    page = opened(browser, write_diagram(made(tmp_path, axes, rows, members=1), tmp_path / "page.html"))
    assert page.locator("#cell h3").inner_text() == "weight decay 0.01, train share 0.2, optimizer sgd, lr 0.1"
    page.locator('[data-quantity="delay"]').click()
    assert set(page.locator("#cells .value").all_text_contents()) == {"580"}
    page.locator('[data-other="optimizer.lr"]').press("ArrowLeft")
    assert set(page.locator("#cells .value").all_text_contents()) == {"480"}
    page.locator('[data-other="optimizer.kind"]').select_option(label="adamw")
    assert page.locator("#cells .value").count() == 0
    page.locator('[data-axis="row"]').select_option(label="optimizer")
    assert page.locator("#cells [data-cell]").count() == 8
    assert page.locator("#map-heading").inner_text() == "Optimizer against train share"
    assert page.locator("#cells .value").count() == 4
    assert page.heard == []


def test_one_axis_is_a_strip_and_a_curve(browser: Any, tmp_path: Path) -> None:
    rows = [one_row((i,), s, "grokking" if i else "memorization") for i in range(4) for s in range(2)]
    page = opened(browser, write_diagram(made(tmp_path, [DECAY], rows), tmp_path / "page.html"))
    assert page.locator("#cells [data-cell]").count() == 4
    assert page.locator("#slices figure").count() == 1
    assert page.locator("#slices circle.t_test").count() == 8
    assert page.locator("#slices circle.t_test.censored").count() == 2
    assert page.heard == []


def test_a_served_page_links_to_the_runs(browser: Any, folder: SweepFolder, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(diagram_html(folder, live=True, base="/lab"), encoding="utf-8")
    page = opened(browser, tmp_path / "page.html")
    assert page.locator("#cell li a").first.get_attribute("href") == f"/lab/run/{folder.name}/runs/b00000#member"


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_phone(browser: Any, folder: SweepFolder, tmp_path: Path, colours: str) -> None:
    file = write_diagram(folder, tmp_path / "page.html")
    shape = {"width": 390, "height": 844}
    phone = opened(browser, file, viewport=shape, color_scheme=colours, has_touch=True, is_mobile=True)
    for quantity in ("label", "delay", "regime"):
        phone.locator(f'[data-quantity="{quantity}"]').tap()
        assert phone.evaluate("document.documentElement.scrollWidth") == 390
    paper = {"dark": "rgb(17, 18, 22)", "light": "rgb(252, 252, 250)"}[colours]
    assert phone.evaluate("getComputedStyle(document.body).backgroundColor") == paper
    assert phone.locator("#cells svg").bounding_box()["width"] <= 358
    cell(phone, 5).tap()
    assert phone.locator("#cell h3").inner_text() == "weight decay 0.1, train share 0.4"
    assert phone.heard == []


def test_sweeps_without_an_end_and_large_ones_draw_too(browser: Any, tmp_path: Path) -> None:
    cells = [(i, j) for i in range(4) for j in range(4)]
    empty = made(tmp_path, [DECAY, SHARE], [], planned=cells, status="interrupted")
    page = opened(browser, write_diagram(empty, tmp_path / "empty.html"))
    assert page.locator('#cells [data-state="waiting"]').count() == 16
    page.locator('[data-quantity="t_test"]').click()
    assert page.heard == []
    page = opened(browser, write_diagram(large(tmp_path), tmp_path / "large.html"))
    assert page.locator("#cells [data-cell]").count() == 1600
    assert set(page.locator("#cells .direct").all_text_contents()) == {"memorization", "grokking"}
    assert page.heard == []


def test_without_scripts_the_picture_and_the_table_remain(browser: Any, folder: SweepFolder, tmp_path: Path) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(write_diagram(folder, tmp_path / "page.html").resolve().as_uri())
    assert page.locator("#cells svg[role=img]").is_visible()
    assert page.locator("#table tbody tr").count() == 16
    assert page.locator("noscript p").is_visible()
