"""The live page's server: what it answers, and that it hides nothing, breaks on nothing and writes nothing."""

import asyncio
import http.client
import json
import math
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from grokscope import cli
from grokscope.curves import read_curves
from grokscope.experiment import Experiment
from grokscope.measures import Fit
from grokscope.record import Record
from grokscope.server import answers, charts
from grokscope.server.app import make_app
from grokscope.server.index import Index, Query, median_step
from grokscope.server.listen import listening
from grokscope.server.reading import ReadFolder, StoredTrace
from grokscope.store import RunFolder, Store
from grokscope.sweeps.axes import Axis
from grokscope.sweeps.folder import SweepFolder, close_batch
from grokscope.sweeps.grid import Sweep
from grokscope.tasks import ModularArithmetic

STEPS = [0, 1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, 300, 500, 800]
CHANCE = 1 / 11


def experiment(name="tiny", **changes):
    chosen = Experiment(name=name, task=ModularArithmetic(modulus=11), measures=(Fit(),), budget=800)
    return chosen.with_overrides(changes) if changes else chosen


def rows(train_at, test_at, steps=STEPS):
    """What a member that memorises and generalises at these steps (None: never) is seen to do."""
    for step in steps:
        train = float(train_at is not None and step >= train_at)
        test = float(test_at is not None and step >= test_at)
        yield (
            step,
            {
                "train/accuracy": train,
                "test/accuracy": max(test, CHANCE),
                "train/loss": 2.4 - 2.3 * train,
                "test/loss": 2.4 - 2.3 * test + step / 1e4,
            },
        )


def write(folder, members, steps=STEPS, end=True):
    with folder.writer() as writer:
        writer.describe(q for q in Fit.quantities)
        for member, (train_at, test_at) in enumerate(members):
            for step, values in rows(train_at, test_at, steps):
                writer.add(member, step, values)
            writer.add(member, steps[-1], {"fourier/circle": np.arange(6.0).reshape(3, 2) + member})
            if end:
                writer.end(member, steps[-1], "budget", "", None)


def put(root, name, members=((5, 120), (8, None), (5, 300)), chosen=None, **meta):
    chosen = chosen or experiment()
    about = {"experiment": chosen.name, "status": "finished", "members": len(members), "chance": CHANCE}
    about |= {"created": "2026-01-01T00:00:00+00:00", "seconds": {"wall": 1.5}} | meta
    folder = Store(root).put(name, chosen.to_dict(), [{"seed": i} for i in range(len(members))], about)
    write(folder, members)
    return folder


def client(root, **kwargs):
    return TestClient(make_app(root, results=Path(root) / "results", **kwargs), base_url="http://localhost:8765")


def tree(root):
    return {str(p): (p.lstat().st_mtime_ns, p.lstat().st_size) for p in sorted(Path(root).rglob("*"))}


@pytest.fixture
def store(tmp_path):
    root = tmp_path / "store"
    put(root, "a", seconds={"wall": 3.0})
    put(root, "b", [(None, None)], chosen=experiment("other"), created="2026-01-02T00:00:00+00:00")
    put(root, "c", [(5, 5)], created="2026-01-03T00:00:00+00:00")
    return root


# The list.


def test_a_row_says_what_the_run_itself_says(store):
    row = client(store).get("/api/runs?q=a&experiment=tiny&label=memorization").json()["runs"][0]
    found = Record.read(RunFolder(store / "a")).summary()
    labels = [member["label"] for member in found["members"]]
    assert row["run"] == "a"
    assert row["labels"] == {label: labels.count(label) for label in labels}
    assert sum(row["labels"].values()) == 3
    assert row["t_train"] == np.median([m["t_train"] for m in found["members"]]) == 5
    assert row["t_test"] == 300  # 120, 300 and later than any
    assert row["steps"] == found["steps"] == 3 * 800
    assert row["test_accuracy"] == np.median([m["final"]["test/accuracy"] for m in found["members"]]) == 1
    assert (row["members"], row["seconds"], row["status"], row["sweep"]) == (3, 3.0, "finished", None)


def test_the_median_counts_none_as_later_than_any():
    assert median_step([]) is None
    assert median_step([3, None, 9]) == 9
    assert median_step([3, None]) is None
    assert median_step([None, 9, None]) is None


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["c", "b", "a"]),
        ("?desc=0", ["a", "b", "c"]),
        ("?sort=name&desc=0", ["a", "b", "c"]),
        ("?sort=t_test&desc=0", ["c", "a", "b"]),  # who never generalised stands last, up and down
        ("?sort=t_test&desc=1", ["a", "c", "b"]),
        ("?sort=test_accuracy&desc=1", ["a", "c", "b"]),
        ("?experiment=tiny", ["c", "a"]),
        ("?label=confusion", ["b"]),
        ("?status=finished&q=OTHER", ["b"]),
        ("?status=running", []),
        ("?offset=1&limit=1", ["b"]),
    ],
)
def test_runs_are_chosen_sorted_and_paged(store, query, names):
    found = client(store).get(f"/api/runs{query}").json()
    assert [row["run"] for row in found["runs"]] == names
    assert found["total"] == (3 if "offset" in query else len(names))
    assert found["experiments"] == [
        {"name": "other", "runs": 1, "members": 1},
        {"name": "tiny", "runs": 2, "members": 4},
    ]


def test_a_band_of_very_many_runs_is_of_the_newest_and_says_so(store, monkeypatch):
    monkeypatch.setattr(answers, "BAND_RUNS", 1)
    found = client(store).get("/api/band?experiment=tiny&key=test/accuracy").json()
    assert (set(found["n"]), found["left_out"]) == ({1}, 1)  # the one member of c, which is newer than a


def test_an_empty_store_is_an_empty_list(tmp_path):
    assert client(tmp_path).get("/api/runs").json() == {"total": 0, "runs": [], "experiments": []}
    assert client(tmp_path).get("/api/sweeps").json() == []


def newer(path):
    with sqlite3.connect(path / "trace.sqlite") as db:
        db.execute("PRAGMA user_version=99")
    db.close()


DAMAGE = {
    "torn": lambda p: (p / "trace.sqlite").write_bytes((p / "trace.sqlite").read_bytes()[:5000]),
    "garbage": lambda p: (p / "trace.sqlite").write_bytes(b"\0\xff" * 3000),
    "empty": lambda p: (p / "trace.sqlite").write_bytes(b""),
    "no recipe": lambda p: (p / "experiment.yaml").unlink(),
    "no yaml": lambda p: (p / "experiment.yaml").write_text("experiment: [1, {"),
    "binary yaml": lambda p: (p / "experiment.yaml").write_bytes(b"\xff\xfe\x00"),
    "newer": newer,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run_is_listed_as_unreadable_and_breaks_nothing(store, damage):
    DAMAGE[damage](store / "b")
    asking = client(store)
    rows_ = {row["run"]: row for row in asking.get("/api/runs?sort=t_test").json()["runs"]}
    assert set(rows_) == {"a", "b", "c"}
    assert rows_["b"]["status"].startswith("unreadable: ")
    assert "\n" not in rows_["b"]["status"]
    assert rows_["a"]["status"] == "finished"
    for address in ("/api/run/b", "/api/series/b?key=test/loss", "/api/compare?run=a&run=b"):
        answer = asking.get(address)
        assert answer.status_code == 422, address
        assert answer.json()["status"] == 422
        assert "b" in answer.json()["error"]
    assert asking.get("/api/band?experiment=other&key=test/loss").json()["n"] == []


@pytest.mark.parametrize("meta", ["", "[]", '{"members": "x", "seconds": 3, "created": 7, "status": null}'])
def test_a_damaged_meta_is_no_reason_not_to_show_the_run(store, meta):
    (store / "a" / "meta.json").write_text(meta)
    row = next(r for r in client(store).get("/api/runs").json()["runs"] if r["run"] == "a")
    assert row["status"] == "crashed"
    assert row["t_test"] == 300


def test_a_run_before_its_first_look_is_no_damaged_one(store):
    (store / "c" / "trace.sqlite").unlink()
    row = client(store).get("/api/runs").json()["runs"][0]
    assert (row["run"], row["status"], row["labels"], row["t_test"]) == ("c", "finished", {}, None)


# A run.


def test_a_run_is_answered_in_full(store):
    found = client(store).get("/api/run/a").json()
    record = Record.read(RunFolder(store / "a"))
    assert found["summary"] == json.loads(json.dumps(record.summary()))
    assert found["sentence"] == record.sentence()
    assert found["experiment"] == json.loads(json.dumps(record.experiment.to_dict()))
    assert [p["t_test"] for p in found["phases"]] == [120, None, 300]
    assert [(s["name"], s["start"]) for s in found["phases"][1]["segments"]] == [("memorization", 0), ("plateau", 8)]
    keys = {key["key"]: key for key in found["keys"]}
    assert keys["test/accuracy"] == {
        "key": "test/accuracy",
        "unit": next(q.unit for q in Fit.quantities if q.key == "test/accuracy"),
        "about": next(q.about for q in Fit.quantities if q.key == "test/accuracy"),
        "array": False,
        "hindsight": False,
        "low": 0.0,
        "high": 1.0,
    }
    assert keys["fourier/circle"]["array"]
    assert keys["test/loss"]["high"] is None  # infinity
    assert {k for k in keys if k.startswith("curve/")} == set(read_curves(record.trace, record.members).keys())


def test_series_arrays_and_derived_curves(store):
    asking = client(store)
    found = asking.get("/api/series/a?key=test/loss&key=nothing&member=0&member=2&member=9").json()
    assert set(found) == {"test/loss"}
    assert set(found["test/loss"]) == {"0", "2"}
    assert found["test/loss"]["0"]["step"] == STEPS
    assert found["test/loss"]["0"]["value"] == pytest.approx([v["test/loss"] for _, v in rows(5, 120)], abs=1e-5)
    assert asking.get("/api/arrays/a?key=fourier/circle&member=1").json() == {"steps": [800], "shape": [3, 2]}
    assert asking.get("/api/array/a?key=fourier/circle&member=1&step=800").json() == {
        "shape": [3, 2],
        "data": [1, 2, 3, 4, 5, 6],
    }
    assert asking.get("/api/arrays/a?key=nothing").json() == {"steps": [], "shape": []}
    assert asking.get("/api/array/a?key=fourier/circle&member=1&step=7").status_code == 404
    record = Record.read(RunFolder(store / "a"))
    derived = read_curves(record.trace, record.members)
    key = derived.keys()[0]
    member = next(m for m in range(3) if len(derived.series(key, m)[0]))
    assert asking.get("/api/series/a", params={"key": key}).json()[key][str(member)]["step"] == (
        derived.series(key, member)[0].tolist()
    )


def test_nan_and_infinity_are_null(tmp_path):
    folder = put(tmp_path, "a", [(5, None)])
    with folder.writer() as writer:
        writer.add(0, 900, {"test/loss": math.nan})
        writer.add(0, 901, {"test/loss": math.inf})
        writer.add(0, 902, {"test/loss": 7.0})
    values = client(tmp_path).get("/api/series/a?key=test/loss").json()["test/loss"]["0"]["value"]
    assert values[-3:] == [None, None, 7]


def test_a_stored_trace_answers_as_a_trace_in_memory(store):
    whole, stored = RunFolder(store / "a").trace(), ReadFolder(store / "a").trace()
    assert isinstance(stored, StoredTrace)
    assert (stored.keys(), stored.array_keys(), stored.members()) == (whole.keys(), whole.array_keys(), whole.members())
    assert stored.quantities == whole.quantities
    for member in (*whole.members(), 9):
        assert stored.last(member) == whole.last(member)
        assert stored.final_step(member) == whole.final_step(member)
        for key in (*whole.keys(), "nothing"):
            for ours, theirs in zip(stored.series(key, member), whole.series(key, member), strict=True):
                np.testing.assert_array_equal(ours, theirs)
                assert ours.dtype == theirs.dtype
    assert stored.digest() == whole.digest()
    assert stored.prefix(30).digest() == whole.prefix(30).digest()
    np.testing.assert_array_equal(stored.table("test/loss")[1], whole.table("test/loss")[1])


# Thinning.

SERIES = {"seed": st.integers(0, 2**32 - 1), "length": st.integers(1, 400), "points": st.integers(10, 60)}


def any_series(seed, length):
    """Steps with gaps, and values of a few sizes, in some series with stretches that are not finite."""
    random = np.random.default_rng(seed)
    values = np.round(random.normal(size=length) * 10.0 ** random.integers(-2, 3), 2)
    for _ in range(random.integers(0, 4)):
        start = random.integers(0, length)
        values[start : start + random.integers(1, 9)] = random.choice([math.nan, math.inf, -math.inf])
    return np.cumsum(random.integers(1, 9, size=length)) - random.integers(0, 2), values


def buckets_of(steps, values, points):
    """The buckets as :func:`charts.thin` makes them, naively: by comparing every step with every border."""
    if len(steps) <= points:
        return []
    count = max(1, (max(points, charts.FEWEST) - 2) // (2 if np.isfinite(values).all() else 4))
    edges = charts.cuts(int(steps[0]), int(steps[-1]), count)
    assert edges[0] == steps[0]
    assert edges[-1] == steps[-1] + 1
    found = [[i for i, s in enumerate(steps) if a <= s < b] for a, b in zip(edges[:-1], edges[1:], strict=True)]
    assert sum(map(len, found)) == len(steps)
    return [bucket for bucket in found if bucket]


@given(**SERIES)
def test_thinning_keeps_every_lowest_highest_and_nan(seed, length, points):
    steps, values = any_series(seed, length)
    kept_steps, kept = charts.thin(steps, values, points)
    assert len(kept) <= max(points, charts.FEWEST)
    assert (np.diff(kept_steps) > 0).all()
    by_step = dict(zip(steps.tolist(), values.tolist(), strict=True))
    np.testing.assert_array_equal(kept, [by_step[s] for s in kept_steps.tolist()])
    assert kept_steps[0] == steps[0]
    assert kept_steps[-1] == steps[-1]
    for bucket in buckets_of(steps, values, points):
        own, shown = values[bucket], kept[np.isin(kept_steps, steps[bucket])]
        finite = own[np.isfinite(own)]
        if len(finite):
            assert shown[np.isfinite(shown)].min() == finite.min()
            assert shown[np.isfinite(shown)].max() == finite.max()
        bad = steps[bucket][~np.isfinite(own)]
        if len(bad):
            assert {bad[0], bad[-1]} <= set(kept_steps[~np.isfinite(kept)].tolist())


@given(**SERIES)
def test_thinning_in_the_database_is_thinning_in_memory(seed, length, points):
    steps, values = any_series(seed, length)
    db = sqlite3.connect(":memory:")
    db.execute(
        "CREATE TABLE scalar(member, step INTEGER, key, value REAL, PRIMARY KEY(member, key, step)) WITHOUT ROWID"
    )
    stored = [(s, None if math.isnan(v) else v) for s, v in zip(steps.tolist(), values.tolist(), strict=True)]
    db.executemany("INSERT INTO scalar VALUES (0, ?, 1, ?)", stored)
    db.executemany("INSERT INTO scalar VALUES (1, ?, 1, 1e9)", [(s,) for s in steps.tolist()])  # not ours
    ours, theirs = charts.thin_stored(db, 1, 0, points), charts.thin(steps, values, points)
    db.close()
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])


def test_one_spike_and_one_nan_among_many_are_seen():
    steps, values = np.arange(100_000), np.ones(100_000)
    values[70_123], values[90_001] = 50.0, math.nan
    kept_steps, kept = charts.thin(steps, values, 200)
    assert len(kept) <= 200
    assert kept[kept_steps == 70_123] == [50.0]
    assert np.isnan(kept[kept_steps == 90_001])


# Bands and comparisons.


def line(steps, values, t_test=None):
    return charts.Line(np.array(steps), np.array(values, dtype=np.float64), t_test)


def test_a_band_is_mean_and_deviation_and_n_falls_where_members_end():
    found = charts.band([line([0, 10, 100], [1, 2, 3]), line([0, 10], [3, 6])], "step", 5, log=False)
    at = dict(zip(found["x"], zip(found["mean"], found["low"], found["high"], found["n"], strict=True), strict=True))
    assert at[0] == pytest.approx((2, 2 - math.sqrt(2), 2 + math.sqrt(2), 2), abs=1e-5)
    assert at[100] == (3, 3, 3, 1)
    assert [n for n in found["n"]] == sorted(found["n"], reverse=True)
    beyond = [row for x, row in at.items() if 10 < x < 100]
    assert beyond
    assert all(row == (2, 2, 2, 1) for row in beyond)  # the last look so far, and only of who still runs


def test_a_band_of_losses_is_of_logarithms_and_nan_does_not_count():
    found = charts.band([line([0, 1], [1, 4]), line([0, 1], [100, math.nan])], "step", 5, log=True)
    assert found["x"] == [0, 1]
    assert found["mean"] == [10, 4]
    spread = math.exp(math.log(100) / math.sqrt(2))
    assert found["low"] == pytest.approx([10 / spread, 4], rel=1e-4)
    assert found["high"] == pytest.approx([10 * spread, 4], rel=1e-4)
    assert found["n"] == [2, 1]


def test_members_that_do_the_same_at_their_own_pace_agree_when_aligned():
    slow = [0, 100, 1000, 2000]
    lines = [line(slow, [1, 2, 3, 4], 1000), line([s // 10 for s in slow], [1, 2, 3, 4], 100)]
    found = charts.band([*lines, line([0, 5], [9, 9])], "t_test", 20, log=False)
    assert set(found["n"]) == {2}  # who never generalised has no place
    np.testing.assert_allclose(found["low"], found["high"])
    assert (found["x"][0], found["x"][-1]) == (0, 2)
    apart = charts.band(lines, "step", 20, log=False)
    assert max(np.subtract(apart["high"], apart["low"])) > 0.5


def test_a_band_of_nothing_is_empty():
    empty = {"x": [], "mean": [], "low": [], "high": [], "n": [], "align": "t_test"}
    assert charts.band([], "t_test", 9, log=True) == empty
    assert charts.band([line([], [], 5), line([0, 1], [1, 1])], "t_test", 9, log=False) == empty


def test_bands_and_comparisons_over_the_web(store):
    asking = client(store)
    band = asking.get("/api/band?experiment=tiny&key=test/accuracy&points=50").json()
    assert band["left_out"] == 0
    assert (band["n"][0], band["n"][-1], band["x"][-1], band["align"]) == (4, 4, 800, "step")
    assert band["mean"][-1] == pytest.approx((3 + CHANCE) / 4, abs=1e-5)
    two = asking.get("/api/band?run=a&run=b&key=test/accuracy&align=t_test").json()
    assert set(two["n"]) <= {1, 2}
    found = asking.get("/api/compare?run=a&run=b&key=test/accuracy&align=t_test").json()
    assert [set(run["series"].get("test/accuracy", {})) for run in found["runs"]] == [{"0", "2"}, set()]
    assert found["runs"][0]["series"]["test/accuracy"]["0"]["x"][11] == 1
    assert found["difference"] == [{"field": "name", "values": ["tiny", "other"]}]
    assert asking.get("/api/compare?run=a&run=a").json()["difference"] == []


# Sweeps and papers.


def put_sweep(root, name="diagram-1"):
    axes = (Axis(field="optimizer.lr", values=(0.1, 0.2), scale="linear"),)
    sweep = Sweep(experiment=experiment(), axes=axes, members=2)
    folder = SweepFolder.create(root, "x", sweep, status="finished")
    folder.path.rename(root / name)
    folder = SweepFolder(root / name)
    shape = sweep.plans(sweep.cells())[0]
    folder.plan_round(shape.batches(2, 2))
    for run, cells in list(folder.planned().items())[:1]:
        put(folder.runs.root, run, [(5, 120), (5, None)])
        close_batch(folder.folder(run), run, cells)
    run = list(folder.planned())[1]
    put(folder.runs.root, run, [(5, 5), (5, 300)])
    return folder


def test_sweeps_and_their_runs(store):
    folder = put_sweep(store)
    asking = client(store)
    (row,) = asking.get("/api/sweeps").json()
    assert row == {"sweep": "diagram-1", "status": "finished", "cells": 2, "members": 4, "ended": 4} | {
        "created": folder.meta()["created"]
    }
    found = asking.get("/api/sweep/diagram-1").json()
    assert found["axes"] == [{"field": "optimizer.lr", "values": [0.1, 0.2], "scale": "linear"}]
    assert [r["t_test"] for r in found["rows"]] == [120, None, 5, 300]
    assert [(c["cell"], c["n"], c["label"]) for c in found["cells"]] == [
        ([0], 2, "grokking"),
        ([1], 2, "comprehension"),
    ]
    assert (found["ended"], found["members"], found["status"]) == (4, 4, "finished")
    listed = {r["run"]: r["sweep"] for r in asking.get("/api/runs").json()["runs"]}
    assert listed["diagram-1/runs/b00000"] == "diagram-1"
    assert asking.get("/api/run/diagram-1/runs/b00000").json()["run"] == "diagram-1/runs/b00000"
    assert asking.get("/api/series/diagram-1/runs/b00001?key=test/loss").json()["test/loss"]["1"]["step"] == STEPS
    assert asking.get("/api/sweep/nothing").status_code == 404
    (store / "diagram-1" / "sweep.yaml").write_text("axes: 3")
    assert asking.get("/api/sweep/diagram-1").status_code == 422
    (store / "diagram-1" / "rounds.json").write_text("{")
    assert asking.get("/api/sweeps").json()[0]["status"].startswith("unreadable: ")


def test_papers_have_their_verdicts_once_there_are_any(store):
    asking = client(store)
    found = {paper["paper"]: paper for paper in asking.get("/api/papers").json()}
    assert found["nanda2023progress"]["experiments"] == ["nanda2023progress"]
    assert found["nanda2023progress"]["short"] == "Nanda et al. 2023"
    assert found["nanda2023progress"]["claims"] == []
    folder = store / "results" / "nanda2023progress"
    folder.mkdir(parents=True)
    (folder / "quick.json").write_text('{"claims": [{"id": "a", "verdict": "partly"}]}')
    (folder / "bad.json").write_text("{")
    found = {paper["paper"]: paper for paper in asking.get("/api/papers").json()}
    assert found["nanda2023progress"]["claims"] == [{"preset": "quick", "id": "a", "verdict": "partly"}]


# Who may ask, how, and for what.


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("address", ["/", "/api/runs", "/api/run/a", "/events", "/nothing"])
def test_nothing_can_be_written(store, method, address):
    answer = client(store).request(method, address)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert answer.json()["status"] == 405


@pytest.mark.parametrize(
    ("address", "media"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/run/a", "text/html; charset=utf-8"),
        ("/compare", "text/html; charset=utf-8"),
        ("/sweep/diagram-1", "text/html; charset=utf-8"),
        ("/papers", "text/html; charset=utf-8"),
        ("/api/runs", "application/json"),
        ("/api/run/nothing", "application/json"),
        ("/nothing", "application/json"),
        ("/static/page.css", "text/css; charset=utf-8"),
        ("/static/plotly.min.js", "text/javascript; charset=utf-8"),
    ],
)
def test_every_answer_has_its_type_and_the_headers_of_safety(store, address, media):
    for answer in (client(store).get(address), client(store).head(address)):
        assert answer.headers["content-type"] == media
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == policy["font-src"] == "'self'"
        assert policy["img-src"] == "'self' data: blob:"
        assert policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.content == b""


def test_the_diagrams_own_page_allows_its_script_by_digest(store):
    put_sweep(store)
    answer = client(store).get("/diagram/diagram-1")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self' 'sha256-" in policy
    assert "'unsafe-eval'" not in policy
    assert "script-src 'self' 'unsafe-inline'" not in policy


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1:8765", "[::1]:8765", "[::1]", "LOCALHOST"])
def test_names_of_this_machine_are_answered(store, host):
    assert client(store).get("/api/runs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8765", "10.0.0.1", ""]
)
def test_other_names_are_not(store, host):
    answer = client(store).get("/api/runs", headers={"Host": host})
    assert answer.status_code == 421
    assert "runs" not in answer.json()


def test_the_address_that_is_listened_at_is_answered(store):
    assert client(store, host="box.lan").get("/api/runs", headers={"Host": "box.lan:1"}).status_code == 200
    anywhere = client(store, host="0.0.0.0")
    assert anywhere.get("/api/runs", headers={"Host": "10.0.0.1"}).status_code == 200
    assert anywhere.get("/api/runs", headers={"Host": "evil.example"}).status_code == 421


SECRET = "a secret outside the store"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    root = tmp_path_factory.mktemp("outside")
    put(root, "outside", chosen=experiment("hidden", about=SECRET))
    (root / "secret.txt").write_text(SECRET)
    put(root / "store", "a")
    (root / "store" / "out").symlink_to(root / "outside")
    put(root / "store", "half")
    for name in ("experiment.yaml", "meta.json", "trace.sqlite"):
        (root / "store" / "half" / name).unlink()
        (root / "store" / "half" / name).symlink_to(root / "outside" / name)
    (root / "store" / "in").symlink_to(root / "store" / "a")
    put_sweep(root / "store", "diagram-1")
    (root / "store" / "diagram-1" / "runs" / "b00009").symlink_to(root / "outside")
    return root, client(root / "store")


def test_links_out_of_the_store_are_not_followed(guarded):
    _, asking = guarded
    rows_ = {row["run"]: row["status"] for row in asking.get("/api/runs").json()["runs"]}
    assert "out" not in rows_
    assert "diagram-1/runs/b00009" not in rows_
    assert rows_["half"] == "unreadable: experiment.yaml is a link that leads out of the store"
    assert rows_["in"] == "finished"
    for name in ("out", "half", "diagram-1/runs/b00009"):
        answer = asking.get(f"/api/run/{name}")
        assert answer.status_code in (404, 422)
        assert SECRET not in answer.text
        assert "hidden" not in asking.get("/api/runs").text


ESCAPES = [
    "../outside",
    "a/../../outside",
    "a/..",
    "./a",
    "a/",
    "/a",
    "a//",
    "..",
    "a\0",
    "a/../a",
    "..\\outside",
    "~",
    "*",
]


def sent_as_it_is(app, path):
    """Status and text of an answer to a path that no client has tidied up."""
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": quote(path).encode(), "root_path": ""}
    scope |= {"query_string": b"key=test/loss&step=1", "headers": [(b"host", b"localhost")], "scheme": "http"}
    scope |= {"http_version": "1.1", "server": ("localhost", 80), "client": None}
    heard = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        heard.append(message)

    asyncio.run(app(scope, receive, send))
    return heard[0]["status"], b"".join(message.get("body", b"") for message in heard).decode()


@pytest.mark.parametrize("kind", ["run", "series", "arrays", "array", "sweep"])
def test_no_name_is_a_way_out(guarded, kind):
    root, asking = guarded
    for name in [*ESCAPES, str(root / "outside"), str(root / "secret.txt")]:
        for written in (name, quote(name, safe=""), quote(quote(name, safe=""), safe="")):
            status, text = sent_as_it_is(asking.app, f"/api/{kind}/{written}")
            assert status == 404
            assert json.loads(text)["status"] == 404
            assert SECRET not in text


@given(
    st.text(max_size=30) | st.lists(st.sampled_from(["..", ".", "/", "a", "%2e", "outside", "\\", "\0"])).map("".join)
)
def test_only_names_that_were_found_are_runs(guarded, name):
    root, asking = guarded
    index = asking.app.state.answers.index
    found = index.run(name)
    assert found is None or found.path.resolve().is_relative_to((root / "store").resolve())
    assert (found is not None) == (name in index.entries)
    assert asking.get("/static/" + quote(name, safe="")).status_code in (404, 405) or name in ("", ".", "..")


@pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "%2e%2e%2fapp.py", "%2fetc%2fpasswd", "app.py", ""])
def test_static_files_are_those_of_the_page(guarded, name):
    assert guarded[1].get(f"/static/{name}").status_code == 404


def test_static_files_are_asked_for_once(store):
    asking = client(store)
    first = asking.get("/static/plotly.min.js")
    assert len(first.content) > 1_000_000
    again = asking.get("/static/plotly.min.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain = asking.get("/static/plotly.min.js", headers={"Accept-Encoding": "identity"})
    assert plain.content == first.content
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize(
    "address",
    [
        "/api/runs?sort=size",
        "/api/runs?limit=x",
        "/api/runs?limit=-1",
        "/api/runs?offset=99999999999999999999",
        "/api/runs?desc=2",
        "/api/series/a",
        "/api/series/a?key=test/loss&points=1",
        "/api/series/a?key=test/loss&member=one",
        "/api/array/a?key=fourier/circle",
        "/api/arrays/a",
        "/api/band?key=test/loss",
        "/api/band?run=a",
        "/api/compare",
        "/api/series/a?" + "&".join(f"key={i}" for i in range(101)),
    ],
)
def test_a_wrong_parameter_is_answered_in_one_line(store, address):
    answer = client(store).get(address)
    assert answer.status_code == 400
    assert answer.json()["status"] == 400
    assert "\n" not in answer.json()["error"]


# A store that is being written, or may not be.


def ask_everything(root):
    asking = client(root)
    for address in ("/api/runs?sort=t_test", "/api/run/a", "/api/series/a?key=test/loss", "/api/sweeps"):
        assert asking.get(address).status_code == 200
    assert asking.get("/api/band?experiment=tiny&key=test/loss").json()["n"]
    assert asking.get("/api/arrays/a?key=fourier/circle").json()["steps"] == [800]


def test_reading_leaves_the_store_as_it_is_also_a_read_only_one(store):
    put_sweep(store)
    RunFolder(store / "a").write_meta(status="running")
    (store / "a" / ".lock").unlink()
    for path in store.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = tree(store)
    ask_everything(store)
    assert tree(store) == before
    for path in store.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize("writable", [True, False])
def test_a_killed_run_is_read_with_its_journal(store, monkeypatch, writable):
    with RunFolder(store / "a").writer() as writer:
        writer.add(0, 900, {"test/loss": 0.25})
        writer.commit()
        shutil.copytree(store / "a", store / "killed")  # as a power cut leaves it: the journal is not in the database
    (store / "killed" / "trace.sqlite-shm").unlink()
    assert (store / "killed" / "trace.sqlite-wal").stat().st_size > 0
    monkeypatch.setattr(os, "access", lambda *_: writable)
    before = tree(store / "killed")
    found = client(store).get("/api/series/killed?key=test/loss").json()["test/loss"]["0"]
    assert (found["step"][-1], found["value"][-1]) == (900, 0.25)
    assert writable or tree(store / "killed") == before


def test_a_run_is_read_while_it_is_written(store):
    folder, asking = RunFolder(store / "a"), client(store)

    def seen():
        row = next(r for r in asking.get("/api/runs").json()["runs"] if r["run"] == "a")
        return (
            row["status"],
            row["steps"],
            asking.get("/api/series/a?key=test/loss").json()["test/loss"]["0"]["step"][-1],
        )

    assert seen() == ("finished", 2400, 800)
    folder.write_meta(status="running")
    with folder.writer() as writer:
        writer.add(0, 900, dict(rows(5, 120, [900]))[900])
        assert seen() == ("running", 2400, 800)  # not committed
        writer.commit()
        assert seen() == ("running", 2500, 900)
        assert asking.get("/api/run/a").json()["summary"]["steps"] == 2500
    assert seen() == ("crashed", 2500, 900)  # its writer is gone and never said that it had finished
    shutil.rmtree(store / "a")
    assert asking.get("/api/run/a").status_code == 404
    assert asking.get("/api/runs").json()["total"] == 2


def test_new_changed_and_gone_runs_are_noticed(store):
    index = Index(store)
    index.refresh()
    before = index.stamps()
    put(store, "d")
    index.refresh()
    assert index.stamps().keys() - before.keys() == {"d"}
    with RunFolder(store / "d").writer() as writer:
        writer.add(0, 900, {"test/loss": 1.0})
    index.scan()
    assert {name for name, stamp in index.stamps().items() if before.get(name) != stamp} == {"d"}
    assert index.choose(Query(sort="name"))["runs"][0]["steps"] == 2500
    shutil.rmtree(store / "d")
    index.refresh()
    assert index.stamps().keys() == before.keys()


@pytest.fixture
def listening_server(store):
    door = listening("127.0.0.1", 0)
    app = make_app(store, every=0.05)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
    thread.start()
    yield store, door.getsockname()[1], app
    server.should_exit = True
    thread.join(20)
    door.close()
    assert not thread.is_alive()


def listen_to(port):
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    asking.request("GET", "/events")
    answer = asking.getresponse()
    assert answer.getheader("content-type").startswith("text/event-stream")
    assert answer.getheader("content-encoding") is None
    assert answer.readline().startswith(b": listening")
    return asking, answer


def next_event(answer):
    event = None
    while True:
        found = answer.readline().decode().strip()
        if found.startswith("event:"):
            event = found.removeprefix("event:").strip()
        elif found.startswith("data:"):
            return event, json.loads(found.removeprefix("data:"))


def test_every_open_page_is_told_when_a_run_grows_by_one_thread(listening_server):
    store, port, app = listening_server
    pages = [listen_to(port) for _ in range(3)]
    while len(app.state.watcher.listeners) < 3:
        time.sleep(0.01)
    with RunFolder(store / "b").writer() as writer:
        writer.add(0, 900, {"test/loss": 1.0})
        writer.commit()
        for _, answer in pages:
            assert next_event(answer) == ("runs", {"changed": ["b"]})
        assert sum(thread.name == "watcher" for thread in threading.enumerate()) == 1
    for asking, answer in pages:
        answer.close()
        asking.close()


# The command.


def command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["grokscope", "serve", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().err


def test_a_port_in_use_and_a_missing_store_are_one_line(store, monkeypatch, capsys):
    with listening("127.0.0.1", 0) as door:
        port = door.getsockname()[1]
        told = command(monkeypatch, capsys, "--store", store, "--port", port)
        assert told == (2, f"grokscope: port {port} is in use; take another with --port\n")
    code, said = command(monkeypatch, capsys, "--store", store / "nothing")
    assert code == 2
    assert said.startswith("grokscope: there is no store ")
    assert said.count("\n") == 1
    code, said = command(monkeypatch, capsys, "--store", store, "--host", "no.such.host.invalid")
    assert (code, said.count("\n")) == (2, 1)


def test_it_listens_at_this_machine_says_where_and_ends_with_ctrl_c(store):
    serving = subprocess.Popen(
        [sys.executable, "-m", "grokscope.cli", "serve", "--store", str(store), "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = json.loads(serving.stdout.readline())["url"]
    assert url.startswith("http://127.0.0.1:")
    port = int(url.rstrip("/").rsplit(":", 1)[1])
    asking, answer = listen_to(port)  # an open page does not keep it from ending
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        raw.sendall(b"GET /api/run/../../outside HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 404")
    serving.send_signal(signal.SIGINT)
    _, said = serving.communicate(timeout=30)
    answer.close()
    asking.close()
    assert serving.returncode == 0, said
    assert said == ""
