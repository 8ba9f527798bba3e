"""The page and the figures: what they say, for runs of every kind, and that they load nothing."""

import html
import json
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from grokscope.errors import BadInput
from grokscope.experiment import Experiment
from grokscope.record import Record
from grokscope.report import look, png_of_run, svg_of_run, write_page
from grokscope.report.curves import axis_offset, edges, median, representative
from grokscope.report.page import render
from grokscope.report.panels import delay
from grokscope.report.spectrum import circularity
from grokscope.tasks import ModularArithmetic, PermutationGroup
from grokscope.trace import Trace
from tests.flow.sample import sample

EMPTY = Record("empty-000000", Experiment(name="empty"), [Experiment(name="empty")], Trace(), {"status": "running"}, {})


def diverged() -> Record:
    record = sample(2)
    for step in (2001, 2002):
        record.trace.add(
            1, step, {"train/loss": np.nan, "test/loss": np.inf, "train/accuracy": 0.0, "test/accuracy": 0.0}
        )
    note = {"step": 2002, "reason": "diverged", "note": "training loss became nan"}
    return Record(record.name, record.experiment, record.members, record.trace, record.meta, {**record.ended, 1: note})


def unfinished() -> Record:
    """Interrupted: no member has ended, one was never looked at, nothing in hindsight."""
    record = sample(3, until=120, fourier=False, meta={"status": "interrupted"})
    members = record.experiment.members(4)
    return Record(record.name, record.experiment, members, record.trace, record.meta, {})


RUNS: dict[str, Any] = {
    "grokked": lambda: sample(3),
    "one member": lambda: sample(1),
    "many": lambda: sample(64),
    "no Fourier structure": lambda: sample(
        2, fourier=False, experiment=Experiment(name="s4", task=PermutationGroup(degree=4))
    ),
    "never generalised": lambda: sample(2, generalises=False),
    "never memorised": lambda: sample(2, generalises=False, memorises=False),
    "diverged": diverged,
    "unfinished": unfinished,
    "one look": lambda: sample(1, until=1),
    "nothing seen": lambda: EMPTY,
    "bare meta": lambda: Record("bare-0", sample().experiment, sample().members, sample().trace, {}, {}),
}


def page_data(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


@pytest.mark.parametrize("kind", RUNS)
def test_every_kind_of_run_has_a_page(kind: str) -> None:
    record = RUNS[kind]()
    text = render(record)
    assert html.escape(record.sentence()) in text
    for row in range(len(record.members)):
        assert f'<tr data-member="{row}">' in text
    for panel in page_data(text)["panels"]:  # none is an empty box
        assert panel.get("rows") or panel.get("power") or panel.get("table")
        assert all(row["lines"] for row in panel.get("rows", []))
        assert panel["heading"]
        assert panel["note"]
    assert "nan" not in re.sub(r"<script.*?</script>", "", text, flags=re.S).lower().replace("nanda", "").replace(
        "training loss became nan", ""
    )


@pytest.mark.parametrize("kind", RUNS)
def test_every_kind_of_run_has_figures(kind: str, tmp_path: Path) -> None:
    record = RUNS[kind]()
    assert html.escape(record.sentence()) in html.unescape(svg_of_run(record)) or record.sentence() in svg_of_run(
        record
    )
    if kind == "nothing seen":
        with pytest.raises(BadInput, match="nothing to draw"):
            png_of_run(record, tmp_path / "f.png")
    else:
        assert png_of_run(record, tmp_path / "deep" / "f.png", dpi=40).read_bytes().startswith(b"\x89PNG")


def test_nothing_is_loaded_from_elsewhere() -> None:
    text = render(sample())
    outside = re.sub(r'<script type="text/plain".*?</script>', "", text, flags=re.S)
    assert not re.search(r"\bsrc\s*=", outside.replace(".src", ""))
    assert not re.search(r"@import|url\((?!#)|<link|<iframe", outside)
    links = re.findall(r'href="([^"]+)"', outside)
    assert all(link.startswith(("https://arxiv.org/abs/", "#")) for link in links)
    assert "default-src 'none'" in text
    assert len(text.encode()) < 2.6e6


def test_hostile_names_are_text() -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    record = sample(2, meta={"command": evil, "machine": {"cpu": evil}, "plan": {"engine": evil, "why": evil}})
    record.trace.skipped[evil] = evil
    record.trace.add(0, 5, {evil: 1.0})
    ended = {0: {"step": 5, "reason": evil, "note": evil}}
    text = render(Record(evil, record.experiment, record.members, record.trace, record.meta, ended))
    assert "<script>alert" not in text
    assert "<img" not in text
    assert html.escape(evil) in text or "&lt;img src=x" in text
    assert "<img" not in svg_of_run(Record(evil, record.experiment, record.members, record.trace, {}, {}))


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for write in (write_page, png_of_run):
        with pytest.raises(BadInput) as error:
            write(sample(1), tmp_path / "file" / "page.html")
        assert "\n" not in str(error.value)
        assert "cannot write" in str(error.value)
    assert write_page(sample(1), tmp_path / "new" / "page.html").is_file()


def test_figures_leave_matplotlib_alone(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    with mpl.rc_context({"lines.linewidth": 9.0}):
        svg_of_run(sample(1))
        png_of_run(sample(1), tmp_path / "f.png", dpi=40)
        assert mpl.rcParams["lines.linewidth"] == 9.0
    assert dict(mpl.rcParams) == before


def test_two_pages_of_one_run_are_the_same() -> None:
    assert render(sample()) == render(sample())


def test_the_median_counts_what_was_seen() -> None:
    trace = Trace()
    for m, last in enumerate((100, 100, 10)):
        for step in (0, 10, 100):
            if step <= last:
                trace.add(m, step, {"a": float(m)})
    left_out = median(trace, "a", [0, 1, 2], log=False, settled=frozenset())
    kept = median(trace, "a", [0, 1, 2], log=False, settled=frozenset({2}))
    assert left_out is not None
    assert kept is not None
    assert left_out.values.tolist() == [1.0, 1.0, 0.5]
    assert kept.values.tolist() == [1.0, 1.0, 1.0]
    assert left_out.n.tolist() == kept.n.tolist() == [3, 3, 2]


def test_between_looks_a_member_is_interpolated_in_log_step() -> None:
    trace = Trace()
    trace.add(0, 0, {"a": 0.0})
    trace.add(0, 99, {"a": 2.0})
    trace.add(1, 9, {"a": 1.0})  # half way from log 1 to log 100
    found = median(trace, "a", [0, 1], log=False, settled=frozenset())
    assert found is not None
    assert found.values.tolist() == pytest.approx([0.0, 1.0, 2.0])


def test_the_delay_is_as_long_as_it_says_and_open_when_censored() -> None:
    closed, waiting = delay(sample(3)), delay(sample(3, generalises=False))
    assert closed is not None
    assert waiting is not None
    assert closed["text"] == f"delay {closed['to'] - closed['from']:,.0f} steps"
    assert waiting["open"]
    assert waiting["to"] == 2000
    assert "> " in waiting["text"]
    assert delay(sample(3, generalises=False, memorises=False)) is None


def test_censored_members_are_shown_open() -> None:
    text = html.unescape(render(sample(2, generalises=False)))
    assert text.count('<td class="number">> 2,000</td>') == 2


def test_the_representative_is_the_median_member() -> None:
    record = sample(5)
    chosen = representative(record.phases, record.ended)
    assert chosen is not None
    assert chosen.member == 2
    assert representative([], {}) is None


def test_the_axis_starts_at_a_tenth_of_memorising() -> None:
    assert axis_offset(sample(1).phases) == 10  # memorised at 134
    assert axis_offset([]) == 1


def test_cells_of_the_heat_map_meet_between_looks() -> None:
    assert edges([0, 9, 99]) == pytest.approx([0, 10**0.5 - 1, 1000**0.5 - 1, 99])


def test_a_circle_is_a_circle_in_either_sense() -> None:
    angle = 2 * np.pi * 3 * np.arange(7) / 7
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert circularity(ring, 3) == pytest.approx(1)
    assert circularity(ring * [1, -1], 3) == pytest.approx(1)
    assert circularity(ring, 2) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("blindness", ["normal", "protanopia", "deuteranopia"])
def test_neighbouring_segments_differ_for_the_colour_blind(blindness: str) -> None:
    """Machado et al. 2009, severity 1, in linear RGB; distance in CIELAB, where 2.3 is just noticeable."""
    matrix = {
        "normal": np.eye(3),
        "protanopia": [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        "deuteranopia": [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
    }[blindness]
    for order in (
        ("memorization", "circuit formation", "cleanup", "generalised"),
        ("memorization", "plateau", "transition", "generalised"),
    ):
        labs = [lab(np.array(matrix) @ linear(look.SEGMENTS[name].light)) for name in order]
        distances = [float(np.linalg.norm(a - b)) for a, b in zip(labs, labs[1:], strict=False)]
        assert min(distances) > 20, dict(zip(order, distances, strict=False))


def linear(colour: str) -> np.ndarray:
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.clip(matrix @ rgb / np.array([0.9505, 1.0, 1.089]), 1e-6, None))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_numbers_are_written_as_people_read_them() -> None:
    assert look.percent(0.99996) == "99.99 %"  # never rounded up to all
    assert look.percent(1.0) == "100.00 %"
    assert look.percent(float("nan")) == "–"
    assert look.number(3.14e-6) == "3.1·10⁻⁶"
    assert look.number(0.0) == "0"
    assert look.seconds(61) == "1 min 01 s"
    assert look.step(None) == "–"


def test_other_fields_that_differ_have_a_column() -> None:
    record = sample(2)
    members = record.experiment.members(overrides=[{"seed": 0}, {"seed": 1, "optimizer.lr": 0.5}])
    text = render(Record(record.name, record.experiment, members, record.trace, record.meta, record.ended))
    assert '<th scope="col" class="number">lr</th>' in text
    assert '<td class="number">0.5</td>' in text


def test_even_moduli_draw_too() -> None:
    assert render(sample(1, experiment=Experiment(name="even", task=ModularArithmetic(modulus=24))))
