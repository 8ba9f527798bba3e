"""Logs written by the clients themselves come back value by value and step by step."""

import json
import math
import struct
import sys
import zlib

import numpy as np
import pytest

import grokscope
from grokscope.errors import BadInput
from grokscope.readers import read_log

pytestmark = pytest.mark.filterwarnings("ignore")  # the clients' own

STEPS = [0, 10, 20, 30]
TRAIN = [4.7, 1.0 / 3.0, 1e-7, math.nan]
TEST = [0.01, 0.5, math.inf, 1.0]


def series(run, key):
    steps, values = run.trace.series(key, 0)
    return steps.tolist(), values.tolist()


def same(found, steps, values):
    assert found[0] == steps
    np.testing.assert_array_equal(found[1], values)


def float32(values):
    return [struct.unpack("<f", struct.pack("<f", v))[0] for v in values]


@pytest.mark.parametrize("new_style", [False, True])
def test_tensorboard_scalars_of_both_styles(tmp_path, new_style):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path / "runs") as writer:
        for step, train, test in zip(STEPS, TRAIN, TEST, strict=True):
            writer.add_scalar("loss/train", train, step, new_style=new_style)
            writer.add_scalar("val/acc", min(test, 1.0), step, new_style=new_style)
            writer.add_text("note", "a text is no scalar", step)
            writer.add_histogram("weights", np.arange(100), step)
    (run,) = read_log(tmp_path / "runs")
    assert (run.format, run.name, run.unit) == ("tensorboard", "runs", "step")
    assert run.columns == {"train/loss": "loss/train", "test/accuracy": "val/acc", "step": "step"}
    same(series(run, "train/loss"), STEPS, float32(TRAIN))
    same(series(run, "test/accuracy"), STEPS, float32([0.01, 0.5, 1.0, 1.0]))
    (file,) = (tmp_path / "runs").iterdir()
    assert read_log(file)[0].name == file.name
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    assert "torn" in " ".join(read_log(file)[0].notes)


def test_tensorboard_keeps_every_point_and_tells_runs_apart(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    for name in ("a", "b"):
        with SummaryWriter(tmp_path / name) as writer:
            for step in range(3000):  # above the 1000 that TensorBoard itself keeps
                writer.add_scalar("train_loss", step / 7, step)
    runs = read_log(tmp_path)
    assert [run.name.split("/")[-1] for run in runs] == ["a", "b"]
    assert len(series(runs[0], "train/loss")[0]) == 3000


def test_tensorboard_resumed_run_and_keras_folders(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    for steps, add in (((0, 10, 20, 30), 0.0), ((20, 30, 40), 100.0)):
        with SummaryWriter(tmp_path / "resumed") as writer:
            for step in steps:
                writer.add_scalar("train_loss", step + add, step)
    (run,) = read_log(tmp_path / "resumed")
    assert series(run, "train/loss") == ([0, 10, 20, 30, 40], [0.0, 10.0, 120.0, 130.0, 140.0])
    assert "resumed at step 20" in " ".join(run.notes)
    for side in ("train", "validation"):
        with SummaryWriter(tmp_path / "keras" / side) as writer:
            writer.add_scalar("epoch_loss", len(side), 0)
            writer.add_scalar("epoch_loss", 1, 1)
    (run,) = read_log(tmp_path / "keras")
    assert series(run, "train/loss")[1] == [5.0, 1.0]
    assert series(run, "test/loss")[1] == [10.0, 1.0]


def test_lightning_csv_logger(tmp_path):
    from lightning.pytorch.loggers import CSVLogger

    logger = CSVLogger(tmp_path, name="logs")
    logger.log_hyperparams({"learning_rate": 1e-3, "model": {"weight_decay": 1.0}, "shape": (1, 2)})
    for epoch, step in enumerate(STEPS):
        logger.log_metrics({"train_loss_step": -1.0, "epoch": epoch}, step)
        logger.log_metrics({"val_acc": epoch / 4, "epoch": epoch}, step + 5)
        logger.log_metrics({"train_loss_epoch": TRAIN[epoch], "epoch": epoch}, step + 5)
    logger.save()
    (run,) = read_log(tmp_path)
    assert run.format == "lightning"
    assert run.name.endswith("logs/version_0")
    same(series(run, "train/loss"), [5, 15, 25, 35], TRAIN)
    assert series(run, "test/accuracy")[1] == [0.0, 0.25, 0.5, 0.75]
    assert run.settings["lr"] == 1e-3
    assert run.settings["weight_decay"] == 1.0
    assert any("train_loss_step stays under its own name" in note for note in run.notes)
    assert "train_loss_step" in run.trace.keys()
    by_epoch = read_log(tmp_path / "logs" / "version_0" / "metrics.csv", unit="epoch")[0]
    assert by_epoch.unit == "epoch"
    same(series(by_epoch, "train/loss"), [0, 1, 2, 3], TRAIN)


def test_huggingface_trainer_state(tmp_path):
    from transformers.trainer_callback import TrainerState

    def state(until):
        history = []
        for i in range(until):
            both = {"epoch": i / 2, "step": 10 * i}
            history.append({"loss": TRAIN[i], "grad_norm": 0.5, "learning_rate": 1e-3, **both})
            history.append({"eval_loss": float(i), "eval_accuracy": i / 4, "eval_runtime": 1.0, **both})
        history.append({"train_loss": 0.7, "train_runtime": 9.0, "epoch": 2.0, "step": 10 * until})
        return TrainerState(log_history=history, max_steps=400, train_batch_size=32, num_train_epochs=20)

    for until in (2, 4):
        folder = tmp_path / "out" / f"checkpoint-{until * 10}"
        folder.mkdir(parents=True)
        state(until).save_to_json(folder / "trainer_state.json")
    (run,) = read_log(tmp_path / "out")
    assert (run.name, run.format) == ("out", "huggingface")
    same(series(run, "train/loss"), STEPS, TRAIN)
    assert series(run, "test/accuracy") == (STEPS, [0.0, 0.25, 0.5, 0.75])
    assert series(run, "norm/gradient")[1] == [0.5] * 4
    assert series(run, "optimizer/lr")[1] == [1e-3] * 4
    assert run.settings == {"batch_size": 32, "max_steps": 400, "epochs": 20}
    assert any("checkpoint-40" in note for note in run.notes)
    (alone,) = read_log(tmp_path / "out" / "checkpoint-20" / "trainer_state.json")
    assert series(alone, "train/loss")[0] == [0, 10]
    assert read_log(tmp_path / "out" / "checkpoint-20")[0].name == "checkpoint-20"


def test_wandb_offline(tmp_path, monkeypatch):
    for name in ("DIR", "CACHE_DIR", "CONFIG_DIR", "DATA_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    import wandb

    settings = wandb.Settings(x_disable_stats=True, console="off", mode="offline")
    config = {"lr": 0.001, "optimizer": {"name": "AdamW", "weight_decay": 1.0}}
    with wandb.init(project="p", name="a run", config=config, settings=settings) as run:
        for i, step in enumerate(STEPS):
            run.log({"train": {"loss": TRAIN[i]}, "val_acc": i / 4, "trainer/global_step": step, "text": "x" * 20_000})
    wandb.teardown()
    (found,) = read_log(tmp_path / "wandb")
    assert found.format == "wandb"
    assert found.columns == {"train/loss": "train/loss", "test/accuracy": "val_acc", "step": "trainer/global_step"}
    same(series(found, "train/loss"), STEPS, TRAIN)
    assert series(found, "test/accuracy") == (STEPS, [0.0, 0.25, 0.5, 0.75])
    assert found.settings.items() >= {"lr": 0.001, "optimizer": "AdamW", "weight_decay": 1.0}.items()
    (file,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    whole = file.read_bytes()
    assert len(whole) > 2 * 32768, "records cross the borders of blocks"
    file.write_bytes(whole[: len(whole) // 2])
    torn = read_log(file)[0]
    assert 0 < len(series(torn, "train/loss")[0]) < 4
    assert "ends within a record" in " ".join(torn.notes)


def record(**fields):
    """A record as wandb's log has it, on its own in a block."""
    from wandb.proto.wandb_internal_pb2 import Record

    data = Record(**fields).SerializeToString()
    return struct.pack("<IHB", zlib.crc32(data, zlib.crc32(b"\1")), len(data), 1) + data


def test_wandb_settings_from_the_command_line_and_from_files_beside_the_run(tmp_path):
    from wandb.proto.wandb_internal_pb2 import EnvironmentRecord, HistoryItem, HistoryRecord

    folder = tmp_path / "offline-run-20260101_000000-abc"
    (folder / "files").mkdir(parents=True)
    rows = [record(history=HistoryRecord(item=[HistoryItem(key="val_acc", value_json=f"{i / 4}")])) for i in range(3)]
    told = record(environment=EnvironmentRecord(args=["--lr", "0.5", "--weight-decay=2", "--batch_size", "32"]))
    log, config, metadata = folder / "run-abc.wandb", folder / "files/config.yaml", folder / "files/wandb-metadata.json"
    log.write_bytes(b":W&B\xe1\xbe\0" + told + b"".join(rows))
    assert read_log(log)[0].settings == {"lr": 0.5, "weight_decay": 2, "batch_size": 32}
    metadata.write_text(json.dumps({"args": ["--optimizer", "sgd", "--lr", "7"], "program": "train.py"}))
    assert read_log(log)[0].settings == {"lr": 0.5, "weight_decay": 2, "batch_size": 32, "optimizer": "sgd"}
    config.write_text("wandb_version: 1\n_wandb:\n  value: {}\nlr:\n  desc: null\n  value: 0.001\n")
    (run,) = read_log(tmp_path)
    assert run.settings == {"lr": 0.001, "weight_decay": 2, "batch_size": 32, "optimizer": "sgd"}
    for bad in ("{", "[1]", '{"args": {"lr": 1}}', '{"args": [["--lr"], null]}', "[" * 100_000):
        metadata.write_text(bad)
        assert read_log(log)[0].settings["lr"] == 0.001


def test_mlflow_file_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())
    for name in ("first", "second"):
        run = client.create_run("0", run_name=name)
        client.log_param(run.info.run_id, "lr", 0.001)
        for i, step in enumerate(STEPS):
            client.log_metric(run.info.run_id, "train/loss", TRAIN[i], step=step, timestamp=i)
            client.log_metric(run.info.run_id, "val accuracy", i / 4, step=step, timestamp=i)
        client.set_terminated(run.info.run_id)
    gone = client.create_run("0", run_name="gone")
    client.delete_run(gone.info.run_id)
    runs = read_log(tmp_path / "mlruns")
    assert sorted(run.name for run in runs) == ["mlruns first", "mlruns second"]
    for run in runs:
        assert run.format == "mlflow"
        assert run.settings["lr"] == 0.001
        same(series(run, "train/loss"), STEPS, TRAIN)
        assert series(run, "test/accuracy")[1] == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("package", "content"), [("tensorboard", b"\x18" + b"\0" * 30 + b"brain.Event:2"), ("wandb", b":W&B\xe1\xbe\0")]
)
def test_a_missing_package_is_one_line(tmp_path, monkeypatch, package, content):
    for name in [n for n in sys.modules if n.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(BadInput, match=rf"needs the package {package}: pip install 'grokscope\[trackers\]'"):
        read_log(tmp_path / "log")


def test_the_package_has_it_by_name():
    assert grokscope.read_log is read_log
    assert "read_log" in grokscope.__all__


def test_reading_text_imports_no_tracker(tmp_path):
    import subprocess

    (tmp_path / "a.jsonl").write_text(json.dumps({"step": 1, "loss": 0.5}) + "\n")
    code = (
        "import sys, grokscope; grokscope.read_log(sys.argv[1]); "
        "print({'tensorboard', 'wandb', 'mlflow', 'lightning', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.jsonl")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
