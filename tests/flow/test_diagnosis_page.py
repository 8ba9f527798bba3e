"""Several runs on one page: one picture of all, names as text, and the same numbers in its CSV."""

import base64
import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest

from grokscope.diagnosis import diagnose
from grokscope.forecast import Setting
from grokscope.report.diagnosis_overlay import LINE, _apart, overlay, sentence, short
from grokscope.report.diagnosis_page import Read, render, write_diagnosis
from grokscope.trace import Trace

CHROMIUM = Path("/usr/bin/chromium")


def run(t_test, *, last=1000, accuracy=True, unit="step", name=""):
    """A training that memorises at step 30 and generalises at ``t_test``, or never."""
    trace = Trace()
    for step in range(0, last + 1, 10):
        late = t_test is not None and step >= t_test
        known = {"train/loss": 3 / (1 + step), "train/accuracy": min(1.0, step / 30), "test/loss": 0.01 if late else 4}
        trace.add(0, step, known | ({"test/accuracy": 1.0 if late else 0.02} if accuracy else {}))
    return Read(diagnose(trace, Setting(unit=unit, chance=0.02)), name or f"run {t_test}", "csv")


def drawn(*runs):
    return overlay([(one.name, "seg-plateau", one.diagnosis) for one in runs])


def test_lines_are_the_held_out_curves():
    runs = [run(300), run(700), run(None)]
    found = drawn(*runs)
    assert (found.kind, found.unit, found.left_out) == ("accuracy", "step", ())
    for line, one in zip(found.lines, runs, strict=True):
        steps, values = one.diagnosis.trace.series("test/accuracy", 0)
        assert line.steps.tolist() == steps.tolist()
        assert line.values.tolist() == values.tolist()
    assert sentence(found.lines) == "two of three runs generalised, between step 300 and 700."
    assert sentence(found.lines[2:] * 2) == "none of two runs has generalised."
    assert sentence(found.lines[:1] * 2) == "all two runs generalised, at step 300."


def test_a_ring_and_a_disc_for_each_run_that_has_the_event():
    def discs(*runs):
        return len(re.findall(r'<use [^>]*style="fill: var\(--seg-plateau\)', drawn(*runs).svg))

    assert discs(run(None), run(None)) == 0
    assert discs(run(300), run(None)) == 1
    assert discs(run(300), run(700)) == 2


def test_loss_where_more_runs_have_it_and_the_unit_that_more_count():
    found = drawn(run(300, accuracy=False), run(700, accuracy=False), run(500))
    assert (found.kind, len(found.lines)) == ("loss", 3)
    odd = run(500, unit="epoch", name="odd")
    assert drawn(run(300), run(700), odd).left_out == ("odd",)
    assert drawn(run(300), odd) is None
    assert drawn(run(300)) is None


def test_the_page_begins_with_what_happened_and_its_picture():
    page = render([run(300), run(700)])
    assert page.index("All two runs generalised, between step 300 and 700.") < page.index("<svg") < page.index("<table")
    link = re.search(r'download="runs.csv" href="data:text/csv;base64,([^"]*)"', page)
    rows = list(csv.reader(io.StringIO(base64.b64decode(link[1]).decode())))
    assert rows[0] == ["run", "step", "test/accuracy"]
    assert rows[1] == ["run 300", "0", "0.02"]
    assert len(rows) == 1 + 2 * 101
    assert 'class="together"' not in render([run(300)])


NAMES = ("<b>&amp;</b>", "$\\frac{1}$ ^{_{", '"><script>alert(1)</script>', "😀 \u0627\u0644", "x" * 200)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text(name, recwarn):
    found = drawn(run(300, name=name), run(None))
    for svg in (found.svg, found.narrow):
        assert "<b>" not in svg
        assert "<script" not in svg
        assert "var(--seg-plateau)" in svg
        assert "#0e0" not in svg, "no stand-in for a colour is left"
        assert max(map(len, re.findall(r">([^<]*)</text>", svg))) < 40
    assert not recwarn.list


def test_more_runs_than_names_fit():
    found = drawn(*(run(100 + 10 * i, name=f"seed {i}") for i in range(13)))
    assert len(found.lines) == 13
    assert not found.named
    assert "seed" not in re.sub(r'aria-label="[^"]*"', "", found.svg)


def test_short_names_keep_what_tells_runs_apart():
    assert short(["out/a/seed 1", "out/a/seed 2"]) == ["1", "2"]
    assert short(["a.csv", "a.csv"]) == ["a.csv", "a.csv"]
    assert short(["", "x"]) == ["", "x"]
    assert [len(name) for name in short(["y" * 99, "z"], 13)] == [13, 1]


def test_names_do_not_touch():
    rng = np.random.default_rng(0)
    for n in (1, 3, 12):
        heights = sorted(rng.uniform(0, 300, n), reverse=True)
        for found in (_apart(heights, 0, 300), _apart([0.0] * n, 0, 300), _apart([300.0] * n, 0, 300)):
            assert all(a - b >= LINE - 1e-9 for a, b in zip(found[:-1], found[1:], strict=True))
            assert found[-1] >= 0
            assert found[0] <= 300
    assert _apart([200.0, 100.0], 0, 300) == [200.0, 100.0]


def test_of_many_runs_the_first_are_drawn_one_by_one(monkeypatch):
    monkeypatch.setattr("grokscope.report.diagnosis_page.MOST_FIGURES", 2)
    page = render([run(300), run(400), run(500)])
    assert page.count("<article") == 3
    assert page.count("<svg") == 2 * 3, "wide and narrow: of all together, and of two"
    assert "Only the first 2 runs are drawn one by one." in page


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no Chromium at /usr/bin/chromium")
def test_in_a_browser(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    file = write_diagnosis([run(300, name="<b>bold</b>" + "x" * 90), run(700), run(None)], tmp_path / "page.html")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        for width, shown in ((1100, ".wide"), (390, ".narrow")):
            page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
            heard = []
            page.on("console", lambda message, heard=heard: heard.append(message.text))
            page.goto(file.resolve().as_uri())
            assert page.locator("svg:visible").count() == 4
            assert page.locator(f"{shown} svg:visible").count() == 4
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator("b").count() == 0
            assert heard == []
        browser.close()
