import itertools
import math

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from grokscope.papers import drawing, series
from grokscope.trace import Trace


@pytest.fixture
def axes():
    figure = Figure(figsize=(4, 3), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots()


def boxes(axes):
    axes.figure.canvas.draw()
    return [Text.get_window_extent(text) for text in axes.texts]  # without the line that leads to it


def overlap(boxes):
    return any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("count", [1, 2, 7, 119, 120, 121, 5000])
@pytest.mark.parametrize("down", [False, True])
def test_thinning_keeps_the_ends_and_no_more_than_asked_for(count, down):
    kept = series.kept(count, 120, down=down)
    assert kept[0] == 0
    assert kept[-1] == count - 1
    assert len(kept) == min(count, 120)
    assert (np.diff(kept) > 0).all()


def test_nothing_thinned_is_nothing():
    assert len(series.kept(0, 120)) == 0
    assert series.pairs((np.array([], dtype=np.int64), np.array([])), 120) == []


def test_a_curve_is_what_was_seen_where_it_is_finite():
    trace = Trace()
    for step, value in ((0, 1.0), (10, math.nan), (20, 0.123456)):
        trace.add(0, step, {"test/loss": value})
    seen = series.curve(trace, "test/loss")
    assert series.pairs(seen) == [[0.0, 1.0], [20.0, 0.1235]]
    assert series.pairs(seen, form=".3f") == [[0.0, 1.0], [20.0, 0.123]]
    assert series.last(seen) == 0.123456
    assert series.last(series.curve(trace, "no/such")) is None


def test_the_value_at_a_step_by_each_rule():
    curve = (np.array([0, 10, 20]), np.array([0.0, 1.0, 4.0]))
    assert series.at(curve, 15) == 2.5
    assert series.at(curve, 15, "before") == 1.0
    assert series.at(curve, 15, "after") == 4.0
    for rule in ("linear", "before", "after"):
        assert series.at(curve, 10, rule) == 1.0
        assert series.at(curve, None, rule) is None
    assert series.at(curve, 21) is None
    assert series.at(curve, 21, "after") is None
    assert series.at(curve, 21, "before") == 4.0


def test_arithmetic_with_what_did_not_happen():
    assert series.over(6, 3) == 2
    assert series.over(6, 0) is None
    assert series.over(None, 3) is None
    assert series.minus(6, 4) == 2
    assert series.minus(6, None) is None


def test_the_median_of_lines_is_the_middle_line_and_ends_with_half_of_them():
    curves = [[[0, 0], [10, 10]], [[0, 1], [20, 21]], [[0, 2], [5, 7], [20, 22]]]
    middle = drawing.median(curves)
    assert middle[:, 0].tolist() == [0, 5, 10, 20]
    np.testing.assert_allclose(middle[:3, 1], [1, 6, 11])
    assert drawing.median([*curves, [[0, 9], [2, 9]], [[0, 9], [2, 9]]])[-1, 0] == 10
    assert drawing.median([[], [[1, None]]]).shape == (0, 2)


def test_apart_moves_nothing_that_has_room():
    assert drawing.apart([0.9, 0.1, 0.5], 0.2) == pytest.approx([0.9, 0.1, 0.5])


@pytest.mark.parametrize("seed", range(5))
def test_apart_keeps_the_gap_the_order_and_the_range(seed):
    wanted = np.random.default_rng(seed).uniform(size=6).tolist()
    found = drawing.apart(wanted, 0.15, 0.0, 1.0)
    assert np.argsort(found).tolist() == np.argsort(wanted).tolist()
    assert np.diff(sorted(found)).min() >= 0.15 - 1e-12
    assert min(found) >= -1e-12
    assert max(found) <= 1 + 1e-12


def test_apart_pushes_two_equal_words_the_same_way_from_their_place():
    assert drawing.apart([0.5, 0.5], 0.2) == pytest.approx([0.4, 0.6])
    assert drawing.apart([1.0, 1.0, 1.0], 0.2, 0.0, 1.0) == pytest.approx([0.6, 0.8, 1.0])


def test_labels_at_equal_ends_do_not_overlap(axes):
    ends = [(drawing.lines(axes, [[[1, 0], [100, 0.99 + i / 1000]]] * 3, "k"), f"arm {i}", "k") for i in range(5)]
    axes.set(xscale="log", ylim=(0, 1.05))
    drawing.label_ends(axes, [*ends, ([], "nothing", "k")])
    found = boxes(axes)
    assert len(found) == 5
    assert not overlap(found)
    assert min(box.x0 for box in found) > axes.get_window_extent().x1


@pytest.mark.parametrize("corner", ["upper left", "upper right", "lower left", "lower right"])
def test_words_in_a_corner_lie_inside_and_do_not_overlap(axes, corner):
    drawing.label_corner(axes, [("first", "k"), ("second", "k"), ("third", "k")], corner)
    found = boxes(axes)
    assert not overlap(found)
    assert found[0].y0 > found[1].y0 > found[2].y0
    frame = axes.get_window_extent()
    assert all(frame.contains(*box.p0) and frame.contains(*box.p1) for box in found)


def test_single_seeds_are_faint_and_their_median_is_strong(axes):
    drawing.lines(axes, [[[0, 0], [1, 1]], [[0, 1], [1, 2]], [[0, 5], [1, None]]], "k", ls=":", marker="o")
    *seeds, middle = axes.lines
    assert [line.get_alpha() for line in seeds] == [drawing.FAINT] * 3
    assert [line.get_marker() for line in axes.lines] == ["None"] * 3 + ["o"]
    assert middle.get_alpha() is None
    assert middle.get_ydata().tolist() == [1, 1.5]


def test_one_seed_can_be_the_strong_one(axes):
    found = drawing.lines(axes, [[[0, 0], [1, 1]], [[0, 1], [1, 2]]], "k", strong=1)
    assert found.tolist() == [[0, 1], [1, 2]]
    assert [line.get_alpha() for line in axes.lines] == [drawing.FAINT, None]


def test_an_event_is_marked_at_its_median_where_half_of_the_seeds_have_it(axes):
    drawing.mark(axes, [10, None, 20, 40])
    assert axes.lines[0].get_xdata()[0] == 20
    drawing.mark(axes, [10, None, None])
    drawing.mark(axes, [])
    assert len(axes.lines) == 1


def test_dots_leave_out_what_did_not_happen(axes):
    drawing.dots(axes, 1.0, [1.0, None, 3.0, 8.0], "k")
    single, bar = axes.lines
    assert single.get_ydata().tolist() == [1.0, 3.0, 8.0]
    assert bar.get_ydata().tolist() == [3.0, 3.0]
    drawing.dots(axes, 2.0, [None], "k")


def test_steps_start_at_zero_on_the_logarithmic_axis(axes):
    drawing.over_steps(axes, "loss (nats)", "a + b", left=0)
    assert axes.get_xscale() == "symlog"
    assert axes.get_xlim()[0] == 0
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "loss (nats)")


def test_a_word_beside_a_line_stands_at_the_height_asked_for(axes):
    drawing.label_line(axes, [[0, 0.0], [1, 0.5], [2, 1.0]], "test", "k", height=0.6, side="left")
    assert axes.texts[0].xy == (1.0, 0.5)
    drawing.label_line(axes, [], "nothing", "k", height=0.5)
    assert len(axes.texts) == 1
