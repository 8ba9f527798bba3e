"""The page of a sweep against constructed rows: what it says is what they say, and nothing else; nothing trains."""

import csv
import io
import json
import math
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from grokscope.catalog import find_experiment
from grokscope.errors import BadInput
from grokscope.report.diagram import diagram_html, png_of_diagram, svg_of_diagram, write_diagram
from grokscope.report.diagram_data import CELL_FIELDS, ROW_FIELDS, Findings
from grokscope.report.diagram_words import savings, sentence, status
from grokscope.spec import build
from grokscope.sweeps.axes import Axis
from grokscope.sweeps.folder import SweepFolder
from grokscope.sweeps.grid import Batch, Member, Sweep
from grokscope.sweeps.refine import filled, wanted
from grokscope.sweeps.results import DIVERGED, FAILED, Row, summarise

DECAY = ("optimizer.weight_decay", (0.01, 0.1, 1.0, 10.0), "log")
SHARE = ("task.train_fraction", (0.2, 0.4, 0.6, 0.8), "linear")
EVIL = "<script>alert('x')</script>\u2028\"&,=1+1\n</style>"


def one_row(cell, seed, label, run="b00000", member=0, note="", t_train=20, t_test=600, steps=1500):
    """A member as it would end with this label."""
    if label == FAILED:
        return Row.of_failure(cell, seed, run, member, note)
    trained = t_train if label in ("memorization", "grokking", "comprehension") else None
    tested = {"grokking": t_test, "comprehension": t_train + 10}.get(label)
    regime = {"memorization": "ungrokking", "grokking": "grokking", "comprehension": "grokking"}.get(label)
    delay = None if tested is None else tested - trained
    ratio = None if tested is None else tested / trained
    accuracy = {"grokking": 1.0, "comprehension": 0.9995, "memorization": 0.25, DIVERGED: math.nan}.get(label, 0.04)
    fitted = 1.0 if trained else math.nan if label == DIVERGED else 0.5
    loss = math.inf if label == DIVERGED else 0.125
    events = (regime, trained, tested, delay, ratio, tested is None, steps)
    return Row(cell, seed, label, *events, fitted, accuracy, loss, run, member, note)


def made(store, axes, rows, planned=None, members=2, name="sums", rounds=1, **meta):
    """A sweep in a store with these rows; ``planned`` cells without a row have not ended."""
    experiment = find_experiment("modular-addition-mlp").with_overrides({"budget": 1500})
    fields = [Axis(field=field, values=values, scale=scale) for field, values, scale in axes]
    sweep = build(Sweep, {"experiment": experiment, "axes": fields, "members": members})
    meta = {"status": "finished", "command": "grokscope sweep sums", "seconds": 75.0, "engine": "here"} | meta
    folder = SweepFolder.create(store, name, sweep, **meta)
    cells = list(dict.fromkeys(planned if planned is not None else [row.cell for row in rows]))
    cut = -(-len(cells) // rounds) or 1
    for part in range(0, len(cells), cut):
        lanes = [[Member(c, sweep.values(c) | {"seed": s}) for s in range(members)] for c in cells[part : part + cut]]
        folder.plan_round([Batch(sweep.experiment, lanes)])
    for number, run in enumerate(folder.planned()):
        mine = [row for row in rows if row.cell in cells[number * cut : (number + 1) * cut]]
        at = folder.folder(run).path
        if mine:
            at.mkdir(parents=True)
            data = [row.to_dict() | {"run": run, "member": i} for i, row in enumerate(mine)]
            (at / "rows.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


def mixed(store, **more):
    """4 x 4 cells of two members: three labels, a cell that disagrees, one that diverged, one that failed."""
    rows = []
    for i in range(4):
        for j in range(4):
            label = "confusion" if i == 3 else "grokking" if j > 1 else "memorization"
            names = [label, label]
            if (i, j) == (1, 2):
                names = ["grokking", "memorization"]
            elif (i, j) == (3, 0):
                names = [DIVERGED, DIVERGED]
            elif (i, j) == (0, 0):
                names = [FAILED, FAILED]
            elif (i, j) == (0, 3):
                names = ["grokking", FAILED]
            for s, n in enumerate(names):
                note = EVIL if n in (FAILED, DIVERGED) else ""
                rows.append(one_row((i, j), s, n, note=note, t_test=500 + 97 * i + 10 * j + 5 * s))
    return made(store, [DECAY, SHARE], rows, **more)


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


class Page(HTMLParser):
    """Tags, and the cells of the table."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.addresses = Counter(), [], []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        self.addresses += [v for k, v in attributes if k in ("src", "href", "action")]
        if tag == "table" and ("class", "cells") in attributes:
            self.inside = True
        elif self.inside and tag == "tr":
            self.rows.append([])
        elif self.inside and tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "table"

    def handle_data(self, data):
        if self.inside and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def test_every_number_of_the_page_is_in_the_rows(tmp_path):
    folder = mixed(tmp_path)
    page = data_of(diagram_html(folder))
    rows = sorted(folder.rows(), key=lambda row: (row.cell, row.seed))
    assert len(page["rows"]) == len(rows) == 32
    for seen, row in zip(page["rows"], rows, strict=True):
        for name, value in zip(ROW_FIELDS, seen, strict=True):
            true = row.to_dict()[name]
            assert value == (None if isinstance(true, float) and not math.isfinite(true) else true), name
    cells = summarise(folder.sweep(), rows)
    for cell, seen in zip(folder.sweep().cells(), page["cells"], strict=True):
        told, true = dict(zip(CELL_FIELDS, seen, strict=True)), cells[cell]
        assert told["state"] == "measured"
        for name in ("label", "disagreement", "regime", "t_train", "t_test", "delay", "n", "censored", "failed"):
            assert told[name] == getattr(true, name), (cell, name)
    assert page["axes"][0]["values"] == list(DECAY[1])
    assert page["steps"] == [20, 1500]


def test_the_sentence_counts_the_cells(tmp_path):
    folder = mixed(tmp_path)
    # Grokking: rows 0 to 2 of columns 2 and 3; the tie in (1, 2) goes to the first seed. Delays are medians.
    said = sentence(Findings(folder))
    delays = [c.delay for c in summarise(folder.sweep(), folder.rows()).values() if c.label == "grokking" and c.delay]
    assert (min(delays), max(delays)) == (502.5, 706.5)
    assert said == (
        "Grokking in 6 of 16 cells, 502.5 to 706.5 steps after memorising; "
        "memorization in 5, confusion in 3, no finding in 1, diverged in 1."
    )
    text = diagram_html(folder)
    assert "in 2 of 16 they disagree" in text
    assert "Grokking lies within weight decay 0.01 to 1 and train share 0.6 to 0.8." in text
    good = [row for row in folder.rows() if row.label not in (FAILED, DIVERGED)]
    late = sum(row.t_test is None for row in good)
    assert f"{late} of {len(good)} members are censored: not generalised by their end, at most 1,500 steps." in text
    assert "2 of 32 members diverged" in text
    assert "3 of 32 members failed" in text


def test_the_table_holds_every_cell(tmp_path):
    folder = mixed(tmp_path)
    head, *rows = Page(diagram_html(folder)).rows
    assert head[:3] == ["weight decay", "train share", "label"]
    assert len(rows) == 16
    by_cell = {tuple(row[:2]): row[2:] for row in rows}
    assert by_cell["0.1", "0.8"] == [
        *("grokking", "–", "grokking", "20", "629.5", "609.5", "100.00 %", "100.00 %", "2", "0", "0")
    ]
    assert by_cell["0.1", "0.6"][:2] == ["grokking", "50 %"]
    assert by_cell["0.1", "0.2"][4:6] == ["open", "open"]  # censored: later than any step
    assert by_cell["0.01", "0.2"][:1] + by_cell["0.01", "0.2"][-1:] == ["failed", "2"]
    assert by_cell["10", "0.2"][0] == "diverged"


def test_names_and_notes_stay_text(tmp_path):
    plain, evil = (mixed(tmp_path, name=name, command=f"grokscope {name}") for name in ("sums", "<b onclick=x>&'"))
    evil.write_meta(command=EVIL, versions={EVIL: EVIL}, machine={"cpu": EVIL})
    text = diagram_html(evil, live=True, base=EVIL)
    seen, quiet = Page(text), Page(diagram_html(plain, live=True))
    assert seen.tags["script"] == quiet.tags["script"] == 2
    assert seen.tags["b"] == quiet.tags["b"] == 0
    assert "alert(" not in "".join(re.findall(r"<(?!script).*?>", text))
    page = data_of(text)
    assert page["sweep"] == evil.name
    assert {row[ROW_FIELDS.index("note")] for row in page["rows"]} == {"", EVIL}
    assert not any(address.startswith(("javascript:", "//", "data:")) for address in seen.addresses)


def test_a_category_may_be_called_anything(tmp_path):
    axes = [("task.operation", ("add", EVIL), "category"), SHARE]
    rows = [one_row((i, j), 0, "memorization") for i in range(2) for j in range(4)]
    folder = made(tmp_path, axes, rows, members=1)
    page = data_of(diagram_html(folder))
    assert page["axes"][0]["names"] == ["add", EVIL]
    assert page["axes"][0]["scale"] == "category"
    assert Page(diagram_html(folder, live=True)).tags["script"] == 2


def test_nothing_is_fetched(tmp_path):
    seen = Page(diagram_html(mixed(tmp_path)))
    outside = [a for a in seen.addresses if a.startswith("http")]
    assert outside
    assert all(a.startswith("https://arxiv.org/abs/") for a in outside)
    assert seen.tags["link"] == seen.tags["img"] == seen.tags["iframe"] == 0


def refined(store, size=17):
    """A sweep as refinement leaves it: a straight border, found with a part of the cells."""
    truth = {(i, j): "grokking" if j > size // 2 else "memorization" for i in range(size) for j in range(size)}
    known = {}
    while missing := wanted((size, size), (True, True), known):
        known |= {cell: truth[cell] for cell in missing}
    axes = [(f, tuple(0.1 + 0.04 * i for i in range(size)), "linear") for f in ("optimizer.weight_decay", SHARE[0])]
    rows = [one_row(cell, s, label) for cell, label in known.items() for s in range(2)]
    return made(store, axes, rows, refine=True), truth, known


def test_what_was_left_out_is_never_passed_off_as_measured(tmp_path):
    folder, truth, known = refined(tmp_path)
    page = data_of(diagram_html(folder))
    told = (dict(zip(CELL_FIELDS, c, strict=True)) for c in page["cells"])
    cells = dict(zip(folder.sweep().cells(), told, strict=True))
    assert {cell for cell, c in cells.items() if c["state"] == "measured"} == set(known)
    left_out = {cell: c for cell, c in cells.items() if c["state"] == "left out"}
    assert 0 < len(left_out) == 289 - len(known)
    for cell, c in left_out.items():
        assert c["label"] == truth[cell] == filled((17, 17), (True, True), known)[cell]
        assert {c[name] for name in ("t_train", "t_test", "delay", "test_accuracy", "regime", "disagreement")} == {None}
        assert c["n"] == c["planned"] == 0
    said = savings(Findings(folder))
    assert f"{len(known)} of 289 cells, {2 * len(known)} of 578 members of the full grid were trained." in said
    assert f"{len(left_out)} cells ({100 * len(left_out) / 289:.1f} %) were left out" in said
    groks = sum(label == "grokking" for label in known.values())
    assert sentence(Findings(folder)).startswith(f"Grokking in {groks} of {len(known)} trained cells, 580 steps")
    assert "left out, not run (grokking, from its neighbours)" in diagram_html(folder)


def test_cells_that_are_still_to_come_have_no_label(tmp_path):
    cells = [(i, j) for i in range(4) for j in range(4)]
    rows = [one_row(cell, 0, "memorization") for cell in cells[:4]]
    folder = made(tmp_path, [DECAY, SHARE], rows, planned=cells, rounds=4, status="interrupted", refine=True)
    page = data_of(diagram_html(folder))
    states = [cell[0] for cell in page["cells"]]
    assert states == ["measured"] * 4 + ["waiting"] * 12
    assert {cell[1] for cell in page["cells"][4:]} == {None}
    assert status(Findings(folder)) == "This sweep was interrupted: 4 of 32 members have ended."
    text = diagram_html(folder)
    assert f"grokscope sweep --resume {folder.name}" in text
    assert "no member has ended yet" in text
    early = made(tmp_path, [DECAY, SHARE], rows, planned=cells[:4], status="interrupted", refine=True)
    assert [cell[0] for cell in data_of(diagram_html(early))["cells"]] == ["measured"] * 4 + ["unplanned"] * 12


def test_a_sweep_without_a_finding_says_so(tmp_path):
    cells = [(i, j) for i in range(4) for j in range(4)]
    folder = made(tmp_path, [DECAY, SHARE], [], planned=cells, status="interrupted")
    text = diagram_html(folder)
    assert "Nothing has ended yet: 0 of 32 members." in text
    assert data_of(text)["rows"] == []
    assert data_of(text)["steps"] is None
    for draw in (png_of_diagram, svg_of_diagram):
        with pytest.raises(BadInput, match="nothing to draw"):
            draw(folder, tmp_path / "no.png")
    bare = made(tmp_path, [DECAY, SHARE], [], status="interrupted")
    assert "Nothing is planned yet." in diagram_html(bare)


def test_one_axis_and_three(tmp_path):
    one = made(tmp_path, [DECAY], [one_row((i,), s, "grokking") for i in range(4) for s in range(2)])
    text = diagram_html(one)
    assert len(data_of(text)["cells"]) == 4
    assert ">Weight decay</h2>" in text
    axes = [DECAY, SHARE, ("optimizer.kind", ("adamw", "sgd", None), "category")]
    rows = [
        one_row((i, j, k), s, "grokking" if k == 1 else "memorization", t_test=300 + 100 * i)
        for i in range(4)
        for j in range(4)
        for k in range(3)
        for s in range(2)
    ]
    three = made(tmp_path, axes, rows)
    page = data_of(diagram_html(three))
    assert len(page["cells"]) == 48
    assert page["axes"][2]["names"] == ["adamw", "sgd", "none"]
    assert page["opening"] == [3, 0, 1]  # the longest delay
    assert [row[0] for row in page["rows"]] == sorted(list(row.cell) for row in three.rows())
    assert "Grokking in 16 of 48 cells" in sentence(Findings(three))


def test_a_served_page_knows_where_its_runs_are(tmp_path):
    folder = mixed(tmp_path)
    page = data_of(diagram_html(folder, live=True, base="/lab/"))
    assert (page["live"], page["base"]) == (True, "/lab")
    assert data_of(diagram_html(folder))["live"] is False


def test_stills(tmp_path):
    folder, _, _ = refined(tmp_path)
    one = made(tmp_path, [DECAY], [one_row((i,), 0, "grokking") for i in range(4)], members=1)
    for number, made_of in enumerate((folder, one, mixed(tmp_path))):
        picture = png_of_diagram(made_of, tmp_path / "deep" / f"{number}.png", dpi=60)
        assert int.from_bytes(picture.read_bytes()[16:20], "big") == 480  # the width in a PNG's header
        drawn = svg_of_diagram(made_of, tmp_path / f"{number}.svg").read_text()
        assert ">grokking</text>" in drawn
    with pytest.raises(BadInput, match="cannot write"):
        png_of_diagram(folder, tmp_path / "0.svg" / "x.png")


def test_a_page_is_a_file_and_the_same_each_time(tmp_path):
    folder = mixed(tmp_path)
    path = write_diagram(folder, tmp_path / "new" / "page.html")
    assert path.read_text(encoding="utf-8") == diagram_html(folder)
    with pytest.raises(BadInput, match="cannot write the page"):
        write_diagram(folder, path / "x.html")


def large(store, size=40, members=3):
    """As many cells as a diagram usually has, and more."""
    axes = [(f, tuple(round(0.1 + 0.02 * i, 6) for i in range(size)), "linear") for f in (DECAY[0], SHARE[0])]
    rows = [
        one_row((i, j), s, "grokking" if i + j + s > size else "memorization", t_test=400 + 7 * i + s)
        for i in range(size)
        for j in range(size)
        for s in range(members)
    ]
    return made(store, axes, rows, members=members)


def test_a_large_sweep_stays_small(tmp_path):
    text = diagram_html(large(tmp_path))
    assert len(data_of(text)["rows"]) == 4800
    assert len(text.encode()) < 3_000_000


def csv_of(text):
    """The rows of a CSV file."""
    return list(csv.reader(io.StringIO(text, newline="")))


def written(value):
    """How a value of a row stands in a CSV file: nothing for what is not known."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.17g}" if isinstance(value, float) else str(value)


def member_table(folder: SweepFolder) -> list[dict[str, str]]:
    """What the CSV of members must hold."""
    rows = sorted(folder.rows(), key=lambda row: (row.cell, row.seed))
    return [
        {k: written(v) for k, v in (folder.sweep().values(row.cell) | row.to_dict()).items() if k != "cell"}
        for row in rows
    ]


def test_the_table_of_members_agrees_with_pandas(tmp_path: Path) -> None:
    from grokscope.sweeps.diagram import Diagram

    folder = mixed(tmp_path)
    frame = Diagram(folder).to_pandas()
    assert len(frame) == len(member_table(folder)) == len(data_of(diagram_html(folder))["rows"])
    assert frame["label"].value_counts().to_dict() == Counter(row["label"] for row in member_table(folder))
