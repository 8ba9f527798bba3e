"""Every convention of naming, and which of several names is taken."""

import json

import numpy as np
import pytest

from grokscope.errors import BadInput
from grokscope.readers import CURVES, EXTRAS, read_log
from grokscope.readers.names import meaning, step_rank

SPELLED = {
    "train/loss": [
        *("loss", "train_loss", "train/loss", "training_loss", "loss/train", "trainLoss", "Train Loss", "TRAIN-LOSS"),
        *("train_loss_epoch", "train_loss_step", "avg_train_loss", "epoch_loss", "train.loss", "train_ce", "train_nll"),
    ],
    "train/accuracy": [
        *(
            "accuracy",
            "acc",
            "train_acc",
            "train/accuracy",
            "Train Accuracy",
            "acc/train",
            "train_acc1",
            "training acc",
        ),
        *("full_train_acc", "train_acc (%)", "mean_token_accuracy"),
    ],
    "test/loss": [
        "val_loss",
        "valid_loss",
        "validation/loss",
        "eval_loss",
        "test_loss",
        "dev_loss",
        "loss/val",
        "eval/loss",
    ],
    "test/accuracy": [
        "val_acc",
        "valid acc",
        "validation_accuracy",
        "eval_accuracy",
        "test.acc",
        "dev-acc",
        "acc_test",
    ],
    "norm/weights": ["weight_norm", "param_norm", "l2", "paramnorm", "train/weight_norm", "norm/weights"],
    "norm/gradient": ["grad_norm", "train/grad_norm", "gradient norm", "grad_2.0_norm_total"],
    "optimizer/lr": ["lr", "learning_rate", "lr-AdamW", "lr-SGD/pg1", "train/learning_rate", "Learning Rate"],
}


@pytest.mark.parametrize(("key", "name"), [(key, name) for key, names in SPELLED.items() for name in names])
def test_a_name_is_read_as_its_key(key, name):
    assert meaning(name).key == key


@pytest.mark.parametrize(
    "name",
    [
        "error",
        "glossary",
        "lossy",
        "valuation",
        "trainer",
        "precision",
        "loss_scale",
        "grad",
        "",
        "损失",
        "_runtime",
        "best",
    ],
)
def test_other_names_are_left_alone(name):
    assert meaning(name) is None


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        *((n, "step") for n in ("step", "Step", "global_step", "_step", "trainer/global_step", "iteration", "iter")),
        *((n, "epoch") for n in ("epoch", "Epoch", "train/epoch")),
    ],
)
def test_counters(name, unit):
    assert step_rank(name)[0] == unit


def rows(path, *records, name="log.jsonl"):
    (path / name).write_text("".join(json.dumps(r) + "\n" for r in records))
    return path / name


def column(path, name, values, **more):
    return read_log(rows(path, *({"step": i, "loss": 1.0, name: v, **more} for i, v in enumerate(values))))[0]


@pytest.mark.parametrize(
    ("names", "key", "chosen"),
    [
        (["test_loss", "val_loss", "eval_loss"], "test/loss", "val_loss"),
        (["dev_acc", "test_acc", "eval_acc"], "test/accuracy", "eval_acc"),
        (["val_loss", "test/loss"], "test/loss", "test/loss"),
        (["train_loss_step", "train_loss_epoch"], "train/loss", "train_loss_epoch"),
        (["loss", "train_loss"], "train/loss", "train_loss"),
        (["val_ppl", "val_loss"], "test/loss", "val_loss"),
        (["val_error", "val_acc"], "test/accuracy", "val_acc"),
    ],
)
def test_of_several_names_one_is_taken_and_the_others_are_named(tmp_path, names, key, chosen):
    (run,) = read_log(
        rows(tmp_path, *({"step": i} | {n: 0.1 * j + 0.2 for j, n in enumerate(names)} for i in range(3)))
    )
    assert run.columns[key] == chosen
    (note,) = [note for note in run.notes if note.startswith(f"{key} is {chosen}")]
    for other in set(names) - {chosen}:
        assert other in note
        assert other in run.trace.keys()


def test_a_single_value_gives_way_to_a_curve(tmp_path):
    log = [{"step": i, "loss": 1.0 - i / 10} for i in range(5)]
    (run,) = read_log(rows(tmp_path, *log, {"step": 5, "train_loss": 0.7}))
    assert run.columns["train/loss"] == "loss"


@pytest.mark.parametrize(
    ("name", "values", "key", "expected", "note"),
    [
        ("val_acc", [0.9, 50.0, 100.0], "test/accuracy", [0.009, 0.5, 1.0], "percent"),
        ("val_acc", ["0.5%", "0.9%", "0.8%"], "test/accuracy", [0.005, 0.009, 0.008], "percent"),
        ("val_acc_pct", [0.5, 0.25, 1.0], "test/accuracy", [0.005, 0.0025, 0.01], "percent"),
        ("val_error", [1.0, 0.25, 0.0], "test/accuracy", [0.0, 0.75, 1.0], "error rate"),
        ("val_err", [100.0, 25.0, 0.0], "test/accuracy", [0.0, 0.75, 1.0], "error rate in percent"),
        ("val_perplexity", [1.0, np.e, np.inf], "test/loss", [0.0, 1.0, np.inf], "perplexity"),
        ("val_acc", [0.1, np.nan, 1.0000001], "test/accuracy", [0.1, np.nan, 1.0000001], ""),
    ],
)
def test_values_become_shares_and_nats(tmp_path, name, values, key, expected, note):
    run = column(tmp_path, name, values)
    np.testing.assert_allclose(run.trace.series(key, 0)[1], expected, rtol=1e-15)
    assert any(note in n for n in run.notes) == bool(note)


def test_percent_holds_for_the_test_accuracy_that_has_not_risen(tmp_path):
    run = column(tmp_path, "val_acc", [0.9, 0.8, 0.9], train_acc=99.0)
    np.testing.assert_allclose(run.trace.series("test/accuracy", 0)[1], [0.009, 0.008, 0.009])


def test_what_is_no_accuracy_is_left_out_with_the_reason(tmp_path):
    run = column(tmp_path, "val_acc", [0.5, 1e6, 0.5], test_acc=0.5)
    assert run.columns["test/accuracy"] == "test_acc"
    assert "from 0.5 to 1e+06" in run.unread["val_acc"]
    with pytest.raises(BadInput, match="val_acc is no accuracy: it goes from -3 to -3"):
        read_log(rows(tmp_path, {"step": 1, "val_acc": -3.0}))


def test_columns_can_be_named(tmp_path):
    log = rows(tmp_path, *({"tick": 10 * i, "A": i / 10, "B": 1.0, "val_acc": 0.5} for i in range(4)))
    (run,) = read_log(log, columns={"test/accuracy": "A", "step": "tick", "train/loss": "b"})
    assert run.columns == {"test/accuracy": "A", "step": "tick", "train/loss": "B"}
    assert run.trace.series("test/accuracy", 0)[0].tolist() == [0, 10, 20, 30]
    assert "val_acc" in run.trace.keys()
    with pytest.raises(BadInput, match=r"--map test/accuracy=val_ac: .* did you mean 'val_acc'"):
        read_log(log, columns={"test/accuracy": "val_ac"})
    with pytest.raises(BadInput, match=r"--map test/acc=A: .* did you mean 'test/accuracy'"):
        read_log(log, columns={"test/acc": "A"})
    words = rows(tmp_path, {"step": 1, "loss": 1.0, "note": "x"})
    for key in ("test/accuracy", "step"):
        with pytest.raises(BadInput, match=f"--map {key}=note: that column holds no numbers"):
            read_log(words, columns={key: "note"})


def test_no_curve_is_one_line_with_the_columns(tmp_path):
    with pytest.raises(BadInput) as fault:
        read_log(rows(tmp_path, {"a": 1, "b": 2, "c": 3}))
    assert str(fault.value) == (
        f"no column of {tmp_path / 'log.jsonl'} looks like a loss or accuracy: it has a, b, c; "
        "say which with --map test/accuracy=COLUMN."
    )


def test_step_columns_by_preference_and_unit(tmp_path):
    log = rows(tmp_path, *({"_step": i, "global_step": 100 * i, "epoch": 2 * i, "loss": 1.0} for i in range(3)))
    (run,) = read_log(log)
    assert (run.columns["step"], run.unit) == ("global_step", "step")
    assert {"_step", "epoch"} <= set(run.trace.keys())
    (run,) = read_log(log, unit="epoch")
    assert (run.columns["step"], run.unit) == ("epoch", "epoch")
    assert run.trace.series("train/loss", 0)[0].tolist() == [0, 2, 4]
    with pytest.raises(BadInput, match="unit is step or epoch"):
        read_log(log, unit="hour")


def test_the_keys_of_the_table_are_the_keys_of_the_contract():
    assert set(SPELLED) == {*CURVES, *EXTRAS}
