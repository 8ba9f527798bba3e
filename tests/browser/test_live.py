"""The live page in headless Chromium, over a store of its own: found, compared, followed, on every screen."""

import csv
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from tests.flow.sample import sample
from tests.flow.small import small, small_mlp

import grokscope
from grokscope.store import RunFolder, Store
from grokscope.sweeps.diagram import sweep

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="the server is not installed")
pytest.importorskip("sse_starlette", reason="the server is not installed")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no Chromium at /usr/bin/chromium"),
]


def put(store: Path, members: int = 3, until: int = 2000, **meta: Any) -> RunFolder:
    """The invented run that groks, in a store, with its rows up to a step."""
    record = sample(members)
    about = {**record.meta, "experiment": "sample", "members": members, "created": "2020-01-01T00:00:00+00:00", **meta}
    folder = Store(store).create("sample", record.experiment.to_dict(), record.overrides, about)
    with folder.writer() as writer:
        write(writer, record, 0, until)
        for m in range(members):
            if until == 2000:
                writer.end(m, until, "budget", "", None)
    return folder


def write(writer: Any, record: Any, after: int, until: int) -> None:
    trace = record.trace
    for m in range(len(record.members)):
        for key in trace.keys():
            for step, value in zip(*(side.tolist() for side in trace.series(key, m)), strict=True):
                if after <= step <= until:
                    writer.add(m, step, {key: value})
        for key in trace.array_keys():
            for step, value in trace.arrays(key, m):
                if after <= step <= until:
                    writer.add(m, step, {key: value})
    writer.commit()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("live") / "store"
    grokscope.run(small(), members=2, store=root, progress=False)
    grokscope.run(small_mlp(), members=2, store=root, progress=False)
    put(root)
    axes = ["optimizer.weight_decay=0.1,3", "optimizer.lr=log(0.001,0.1,3)"]
    sweep(small_mlp(budget=20), axes, members=2, store=root, engine="here", progress=False)
    return root


@pytest.fixture(scope="module")
def address(store: Path) -> Iterator[str]:
    """The real server, on a free port, in a thread."""
    from grokscope.server.app import make_app
    from grokscope.server.listen import listening

    with listening("127.0.0.1", 0) as door:
        config = uvicorn.Config(make_app(store, every=0.1), log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as p:
        found = p.chromium.launch(executable_path=str(CHROMIUM), args=list(ARGUMENTS))
        yield found
        found.close()


@pytest.fixture(scope="module")
def desk(browser: Any) -> Any:
    """One window for all tests of a desktop: plotly is fetched once."""
    return browser.new_context(viewport={"width": 1180, "height": 900}, accept_downloads=True)


def opened(context: Any, url: str) -> Any:
    """A page, drawn; what it says, what it breaks and what it asks of others is collected in ``page.heard``."""
    page = context.new_page()
    heard: list[str] = []
    host = urlparse(url).netloc
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda r: None if urlparse(r.url).netloc in (host, "") else heard.append(r.url))
    page.add_init_script(
        "addEventListener('securitypolicyviolation', (e) => console.log('CSP ' + e.violatedDirective))"
    )
    page.goto(url)
    page.wait_for_selector("html.drawn", state="attached", timeout=20_000)
    page.heard = heard
    return page


def until(page: Any, expression: str) -> None:
    """Ask until it is so; Playwright's own wait evaluates text in the page, which the page's policy forbids."""
    for _ in range(400):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"never so: {expression}")


def names(store: Path, start: str) -> list[str]:
    return [folder.name for folder in Store(store) if folder.name.startswith(start)]


def sweep_name(store: Path) -> str:
    return next(path.parent.name for path in store.glob("*/sweep.yaml"))


def test_search_filters_and_order_are_kept_in_the_address(desk: Any, address: str) -> None:
    page = opened(desk, address)
    rows = page.locator(".runs tbody tr[data-run]")
    assert rows.count() >= 4
    until(page, "document.querySelectorAll('#experiments li svg polyline').length === 2")
    assert page.locator("#sweeps li").count() == 1
    search = page.locator("input[name=q]")
    search.fill("sample")
    until(page, "document.querySelectorAll('.runs tbody tr[data-run]').length === 1")
    assert parse_qs(urlparse(page.url).query) == {"q": ["sample"]}
    assert search.evaluate("(e) => e === document.activeElement")
    search.fill("no such run")
    page.wait_for_selector(".nothing")
    page.locator("button[type=reset]").click()
    page.wait_for_selector("tr[data-run]")
    page.select_option("select[name=label]", "grokking")
    until(page, "document.querySelectorAll('.runs tbody tr[data-run]').length === 1")
    page.reload()
    page.wait_for_selector("html.drawn", state="attached")
    assert rows.count() == 1
    assert page.locator("select[name=label]").input_value() == "grokking"
    page.select_option("select[name=label]", "")
    page.locator("th[data-sort=test_accuracy] button").press("Enter")
    page.wait_for_selector("th[data-sort=test_accuracy][aria-sort=descending]")
    assert rows.first.get_attribute("data-run").startswith("sample")
    assert page.heard == []
    page.close()


def test_ticked_runs_are_compared(desk: Any, address: str, store: Path) -> None:
    page = opened(desk, address)
    for name in (*names(store, "sample")[:1], *names(store, "small")[:1]):
        page.locator(f"tr[data-run='{name}'] input").check()
    page.locator(".chosen a").click()
    page.wait_for_selector("html.drawn[data-page=compare]", state="attached")
    asked = parse_qs(urlparse(page.url).query)["run"]
    assert len(asked) == 2
    assert page.locator("#figures .js-plotly-plot").count() == 2
    fields = page.locator(".difference tbody th code").all_inner_texts()
    assert "task.modulus" in fields
    page.locator("input[value=t_test]").check()
    until(page, "document.querySelector('#figures .plot').layout.xaxis.ticktext.includes('1×')")
    assert "align=t_test" in page.url
    page.locator(".picker summary").click()
    page.locator(".picker input[type=search]").fill("weights")
    page.locator(".picker input[value='norm/weights']").check()
    page.wait_for_selector("#q-norm-weights .js-plotly-plot")
    again = page.url
    page.locator(".chips button").first.click()
    until(page, "document.querySelectorAll('.chips')[0].children.length === 1")
    page.goto(again)
    page.wait_for_selector("#q-norm-weights .js-plotly-plot")
    assert page.locator(".chips").first.locator("li").count() == 2
    assert page.heard == []
    page.close()


def test_a_run_says_first_what_happened_and_gives_its_numbers(
    desk: Any, address: str, store: Path, tmp_path: Path
) -> None:
    page = opened(desk, f"{address}/run/{names(store, 'sample')[0]}")
    assert "generalised at step" in page.locator("h1 mark").inner_text()
    assert page.locator("#picture .ribbon .segment").count() == 4
    assert page.locator("#circle circle").count() == 24  # 23 elements and the ring
    assert page.locator("#forecast").is_hidden()
    assert page.locator(".members tbody tr").count() == 3
    before = page.evaluate("document.querySelector('#picture .plot').layout.xaxis.range[1]")
    page.locator("#scale").click()
    assert page.evaluate("document.querySelector('#picture .plot').layout.xaxis.range[1]") == 2000 > before
    buttons = [b for b in page.locator(".csv").all() if b.is_visible()]
    assert len(buttons) == 5
    for button in buttons:
        with page.expect_download() as waiting:
            button.click()
        target = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(target)
        rows = list(csv.reader(target.read_text(encoding="utf-8").splitlines()))
        assert len(rows) > 100
        assert {len(row) for row in rows} == {len(rows[0])}
    page.locator("#quantities summary").click()
    page.locator("#quantities input[type=search]").fill("gini")
    page.locator("#quantities input[value='fourier/gini_embedding']").check()
    page.wait_for_selector("#q-fourier-gini-embedding .js-plotly-plot")
    assert "key=fourier%2Fgini_embedding" in page.url
    travels_in_time(page)
    ink = "document.querySelector('#picture .plot').data.at(-1).line.color"
    assert page.evaluate(ink) == "#15171c"
    page.locator("#theme").click()
    assert page.evaluate(ink) == "#f5f6f6"
    page.locator("#theme").click()
    assert page.heard == []
    page.close()


def travels_in_time(page: Any) -> None:
    """The slider by keyboard, and another member's circle."""
    slider, out = page.locator("#circle input"), page.locator("#circle output")
    last, place = out.inner_text(), page.locator("#circle circle").nth(5).get_attribute("cx")
    slider.focus()
    for _ in range(8):
        slider.press("ArrowLeft")
    assert out.inner_text() != last
    assert page.locator("#circle circle").nth(5).get_attribute("cx") != place
    assert slider.get_attribute("aria-valuetext").startswith("step ")
    page.select_option(".pick-member select", "0")
    until(page, "document.querySelector('#circle .note').textContent.includes('Seed 0')")


def test_a_run_is_followed_while_it_is_written(desk: Any, address: str, store: Path) -> None:
    folder = put(store, until=300, status="running")
    record = sample(3)
    with folder.writer() as writer:
        page = opened(desk, f"{address}/run/{folder.name}")
        looks = opened(desk, address)
        looks.locator("input[name=q]").focus()
        assert page.locator("#status").inner_text().startswith("This run is going on")
        assert "mark" not in page.locator("h1").inner_html()
        page.evaluate("document.querySelector('#picture .plot').kept = 1; scrollTo(0, 400)")
        write(writer, record, 300, 2000)
        page.wait_for_selector("h1 mark", timeout=10_000)
        until(page, "document.querySelector('#picture .plot').data.at(-1).x.length > 50")
        assert page.evaluate("document.querySelector('#picture .plot').kept") == 1  # the same figure, not a new one
        assert page.evaluate("scrollY") == 400
        assert "generalised at step" in page.locator("#said").text_content()
        row = looks.locator(f"tr[data-run='{folder.name}']")
        row.locator(".is-label", has_text="grokking").wait_for(timeout=10_000)
        assert looks.locator("input[name=q]").evaluate("(e) => e === document.activeElement")
        for m in range(3):
            writer.end(m, 2000, "budget", "", None)
    folder.write_meta(status="finished")
    page.wait_for_selector("#status", state="hidden", timeout=10_000)
    row.locator(".state.finished").wait_for(timeout=10_000)
    assert page.heard == []
    assert looks.heard == []
    page.close()
    looks.close()


def test_a_cell_of_a_sweep_opens_its_members(desk: Any, address: str, store: Path) -> None:
    page = opened(desk, f"{address}/sweep/{sweep_name(store)}")
    assert page.locator("h1").inner_text().startswith("All 12 members have ended")
    cells = page.locator(".diagram button")
    assert cells.count() == 6
    colours = lambda: cells.evaluate_all("(all) => all.map((e) => e.style.background)")  # noqa: E731
    labels = colours()
    page.select_option("#shown", "test_accuracy")
    assert colours() != labels
    cells.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.cell") == "0,1"
    page.keyboard.press("Enter")
    assert page.locator("#cell-heading").inner_text() == "weight decay 0.1, learning rate 0.01"
    assert page.locator("#cell tbody tr").count() == 2
    assert "cell=0%2C1" in page.url
    page.locator("#cell tbody a").first.click()
    page.wait_for_selector("html.drawn[data-page=run]", state="attached")
    assert "/runs/b0" in page.url
    assert page.heard == []
    page.close()


def test_papers_without_a_verdict_say_so(desk: Any, address: str) -> None:
    page = opened(desk, f"{address}/papers")
    assert page.locator("#papers section").count() >= 2
    assert page.locator("#papers h2", has_text="Nanda et al. 2023").count() == 1
    for section in page.locator("#papers section").all():
        assert section.locator(".verdict").count() or "No verdict recorded yet" in section.inner_text()
    paper = "getComputedStyle(document.body).backgroundColor"
    page.locator("#theme").click()
    page.reload()
    assert page.evaluate(paper) == "rgb(17, 18, 22)"  # kept
    page.locator("#theme").click()
    assert page.evaluate(paper) == "rgb(252, 252, 250)"
    assert page.heard == []
    page.close()


def test_an_empty_store_says_how_to_begin(desk: Any, address: str) -> None:
    page = desk.new_page()
    empty = '{"total": 0, "runs": [], "experiments": []}'
    page.route("**/api/runs*", lambda route: route.fulfill(body=empty, content_type="application/json"))
    page.goto(address)
    page.wait_for_selector("#empty code")
    assert page.locator("#empty code").first.inner_text().startswith("grokscope run modular-addition")
    assert page.locator(".runs").is_hidden()
    page.close()


def test_a_missing_run_is_one_line(desk: Any, address: str) -> None:
    page = desk.new_page()
    page.goto(f"{address}/run/never-was")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "never-was" in page.locator("#trouble").inner_text()
    page.close()


def test_a_phone_in_the_dark(browser: Any, address: str, store: Path) -> None:
    phone = browser.new_context(
        viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True, is_mobile=True
    )
    one, other = names(store, "sample")[0], names(store, "small")[0]
    paths = ("", f"run/{one}", f"compare?run={one}&run={other}", f"sweep/{sweep_name(store)}?cell=0,0", "papers")
    for path in paths:
        page = opened(phone, f"{address}/{path}")
        assert page.evaluate("document.documentElement.scrollWidth") == 390, path
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 18, 22)", path
        for plot in page.locator(".plot").all():
            box = plot.bounding_box()
            assert box is None or (box["x"] >= 0 and box["x"] + box["width"] <= 390), path
        assert page.heard == [], path
        page.close()
    phone.close()
