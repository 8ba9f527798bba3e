"""Truths for sweep/axes.py and sweep/grid.py: what --over means, and who shares a lane with whom."""

import pytest

from grokscope.catalog import SMALL_MLP
from grokscope.errors import BadInput
from grokscope.sweeps.axes import Axis, parse_axis
from grokscope.sweeps.diagram import make_sweep


@pytest.mark.parametrize(
    ("text", "values", "scale"),
    [
        ("optimizer.weight_decay=log(0.01,10,4)", (0.01, 0.1, 1.0, 10.0), "log"),
        ("task.train_fraction=lin(.2,.8,4)", (0.2, 0.4, 0.6, 0.8), "linear"),
        ("task.train_fraction = lin( 0.2 , 0.2 , 1 )", (0.2,), "linear"),
        ("model.hidden=log(8,64,4)", (8, 16, 32, 64), "log"),
        ("model.hidden=lin(8,10,9)", (8, 9, 10), "linear"),  # whole numbers, each once
        ("model.hidden=8,16,32,64", (8, 16, 32, 64), "log"),
        ("model.hidden=[8, 12, 16]", (8, 12, 16), "linear"),
        ("task.modulus=23,17", (23, 17), "category"),
        ("model.activation=relu,gelu", ("relu", "gelu"), "category"),
        ("model.bias=true,false", (True, False), "category"),
        ("optimizer.lr=0.01", (0.01,), "category"),
        ("optimizer.lr=1e-3,1e-2,1e-1", (0.001, 0.01, 0.1), "log"),
        ("batch_size=log(16,64,3)", (16.0, 32.0, 64.0), "log"),  # empty by default, so whole numbers are not known
    ],
)
def test_an_axis_is_what_was_written(text, values, scale):
    axis = parse_axis(text, SMALL_MLP)
    assert axis.values == pytest.approx(values) if isinstance(values[0], float) else axis.values == values
    assert axis.scale == scale
    assert len(axis) == len(values)


WRONG = {
    "no such field": ("optimizer.weight_decai=log(1,2,3)", "'optimizer.weight_decai'; did you mean 'weight_decay'"),
    "no number": ("model.activation=lin(0,1,3)", "model.activation is no number but 'relu': give its values"),
    "yes or no": ("model.bias=lin(0,1,2)", "model.bias is no number but True"),
    "empty range": ("optimizer.lr=lin(1,0.5,3)", "the range is empty; low < high and n >= 1, got lin(1,0.5,3)"),
    "no values": ("optimizer.lr=lin(0,1,0)", "the range is empty"),
    "log of nothing": ("optimizer.weight_decay=log(0,1,4)", "a log axis needs low > 0, got 0"),
    "log of less": ("optimizer.weight_decay=log(-1,1,4)", "a log axis needs low > 0, got -1"),
    "two parts": ("optimizer.lr=log(1,2)", "log(low,high,n) takes two numbers and a count, got log(1,2)"),
    "four parts": ("optimizer.lr=log(1,2,3,4)", "takes two numbers and a count"),
    "words": ("optimizer.lr=lin(a,b,3)", "takes two numbers and a count"),
    "infinite": ("optimizer.lr=lin(0,inf,3)", "the ends must be finite"),
    "no equals": ("optimizer.lr", "--over takes FIELD=log(low,high,n)"),
    "nothing": ("optimizer.lr=", "--over takes FIELD=log(low,high,n)"),
    "seeds": ("seed=0,1,2", "seed is no axis: seeds are the members of a cell; use --members N"),
    "not allowed": ("task.train_fraction=lin(0.5,1.5,3)", "task.train_fraction"),
    "twice": ("optimizer.lr=0.1,0.1", "a value stands twice"),
    "nested": ("optimizer.lr=[[1]]", "values must be numbers, words or true/false"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_axes_are_one_line(name):
    text, message = WRONG[name]
    with pytest.raises(BadInput) as told:
        parse_axis(text, SMALL_MLP)
    assert message in str(told.value)
    assert "\n" not in str(told.value)


def test_axes_need_fields_of_their_own_and_there_must_be_one():
    with pytest.raises(BadInput, match="at least one axis"):
        make_sweep(SMALL_MLP, [])
    with pytest.raises(BadInput, match="each axis needs a field of its own"):
        make_sweep(SMALL_MLP, ["optimizer.lr=0.1,0.2", "optimizer.lr=lin(1,2,3)"])
    with pytest.raises(BadInput, match="members"):
        make_sweep(SMALL_MLP, ["optimizer.lr=0.1,0.2"], 0)


def _sweep(*over, members=2):
    return make_sweep(SMALL_MLP, over, members, {"task.modulus": 11, "model.hidden": 8})


def test_cells_are_the_product_and_members_have_the_same_seeds_everywhere():
    sweep = _sweep("optimizer.weight_decay=log(0.1,1,3)", "optimizer.lr=0.01,0.02")
    assert sweep.shape == (3, 2)
    assert list(sweep.cells()) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    (shape,) = sweep.plans(sweep.cells())
    assert [m.cell for m in shape.members] == [cell for cell in sweep.cells() for _ in range(2)]
    assert [m.overrides["seed"] for m in shape.members] == [0, 1] * 6
    assert shape.members[-1].overrides == {"optimizer.weight_decay": 1.0, "optimizer.lr": 0.02, "seed": 1}
    assert sweep.at((2, 1)).optimizer.lr == 0.02


def test_what_changes_tensor_shapes_has_batches_of_its_own():
    sweep = _sweep("model.hidden=8,16", "task.train_fraction=0.3,0.6", "optimizer.lr=0.01,0.02")
    shapes = sweep.plans(sweep.cells())
    assert [(s.experiment.model.hidden, s.train_rows) for s in shapes] == [(8, 36), (8, 72), (16, 36), (16, 72)]
    assert all(len(s.members) == 4 for s in shapes)
    for shape in shapes:
        for member in shape.members:  # the overrides are those that members of one run may differ in
            (one,) = shape.experiment.members(overrides=[dict(member.overrides)])
            assert one == sweep.at(member.cell).with_overrides({"seed": member.overrides["seed"]})


@pytest.mark.parametrize(("width", "at_most", "lanes"), [(1, 3, 12), (4, 4, 3), (5, 5, 3), (64, 64, 1)])
def test_lanes_hold_everybody_once_and_are_even(width, at_most, lanes):
    sweep = _sweep("optimizer.weight_decay=log(0.1,1,3)", "optimizer.lr=0.01,0.02")
    (shape,) = sweep.plans(sweep.cells())
    batches = shape.batches(width, at_most)
    cut = [lane for batch in batches for lane in batch.lanes]
    assert [m for lane in cut for m in lane] == shape.members
    assert len(cut) == lanes
    assert max(map(len, cut)) - min(map(len, cut)) <= 1
    assert max(map(len, cut)) <= width
    assert all(len(batch.members) <= max(width, at_most) for batch in batches)


def test_values_that_do_not_go_together_are_told_before_anything_is_run():
    sweep = _sweep("task.operation=add,div", "task.modulus=11,12")
    with pytest.raises(BadInput, match="prime"):
        sweep.plans(sweep.cells())


def test_an_axis_without_values_or_with_one_twice_is_none():
    with pytest.raises(ValueError, match="at least one value"):
        Axis(field="optimizer.lr", values=(), scale="linear")
