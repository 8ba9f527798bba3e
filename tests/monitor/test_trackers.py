"""Other people's trackers mirror the trace, and a failing one hurts nobody."""

import json
import warnings
from pathlib import Path

import pytest

from grokscope.integrations.trackers import MlflowSink, TensorBoardSink, TrackioSink, WandbSink
from grokscope.readers import read_log
from tests.monitor.loops import made, update, watched


def run(**settings):
    model, optimizer = made()
    monitor = watched(model, optimizer, **settings)
    for _ in range(5):
        update(model, optimizer, monitor)
    monitor.close()
    return monitor


def same(found, monitor, single=False):
    """A log that a tracker wrote holds the monitor's curves, value by value."""
    assert {"train/loss", "train/accuracy", "test/loss", "test/accuracy", "norm/weights"} <= set(found.columns)
    for key in ("train/loss", "test/accuracy", "norm/weights"):
        steps, values = monitor.trace.series(key, 0)
        read, seen = found.trace.series(key, 0)
        assert read.tolist() == steps.tolist()
        assert seen.tolist() == (values.astype("f4").astype("f8") if single else values).tolist()


class Breaks:
    def __init__(self):
        self.calls = 0

    def write(self, step, values):
        self.calls += 1
        raise ConnectionError("gone")

    def close(self):
        raise AssertionError("it was left aside")


class Keeps:
    def __init__(self):
        self.rows, self.closed = [], False

    def write(self, step, values):
        self.rows.append((step, values))

    def close(self):
        self.closed = True


def test_a_sink_mirrors_the_trace():
    sink = Keeps()
    monitor = run(sinks=[sink])
    assert sink.closed
    assert [step for step, _ in sink.rows] == monitor.trace.series("train/loss", 0)[0].tolist()
    assert sink.rows[-1][1]["train/loss"] == monitor.trace.series("train/loss", 0)[1][-1]
    assert json.dumps(sink.rows)  # scalars alone


def test_a_sink_that_raises_warns_once_and_the_others_go_on():
    breaks, keeps = Breaks(), Keeps()
    with pytest.warns(UserWarning, match="sink Breaks gets nothing more. ConnectionError: gone") as caught:
        monitor = run(sinks=[breaks, keeps])
    assert len(caught) == 1
    assert breaks.calls == 1
    assert len(keeps.rows) > 3
    assert monitor.trace.skipped == {"sink Breaks": "ConnectionError: gone"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_ends_the_file_and_not_the_training(tmp_path):
    (tmp_path / "trace.jsonl").symlink_to("/dev/full")
    with pytest.warns(UserWarning, match="sink Lines gets nothing more. OSError: .*No space left") as caught:
        monitor = run(folder=tmp_path)
    assert len(caught) == 1
    assert monitor.at == 5
    assert len(monitor.trace.series("train/loss", 0)[0]) > 3


def test_a_folder_that_cannot_be_made_ends_the_file_and_not_the_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="sink Lines gets nothing more"):
        assert run(folder=tmp_path / "file" / "run").at == 5


def test_tensorboard_shows_the_trace(tmp_path):
    pytest.importorskip("tensorboard")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        monitor = run(sinks=[TensorBoardSink(tmp_path)])
        seen = EventAccumulator(str(tmp_path)).Reload().Scalars("train/loss")
    assert [point.step for point in seen] == monitor.trace.series("train/loss", 0)[0].tolist()
    assert seen[-1].value == pytest.approx(monitor.trace.series("train/loss", 0)[1][-1])
    same(read_log(tmp_path)[0], monitor, single=True)


def test_mlflow_has_the_trace(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.set_tracking_uri(tmp_path.as_uri())
        mlflow.set_experiment("monitor")
        with mlflow.start_run() as active:
            monitor = run(sinks=[MlflowSink()])
        seen = mlflow.MlflowClient().get_metric_history(active.info.run_id, "train/loss")
    assert [point.step for point in seen] == monitor.trace.series("train/loss", 0)[0].tolist()
    same(read_log(tmp_path)[0], monitor)


def test_mlflow_keeps_the_trace_in_a_database(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    pytest.importorskip("alembic")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
        mlflow.set_experiment("monitor")
        with mlflow.start_run(run_name="one"):
            mlflow.log_params({"lr": 0.01, "opt.weight_decay": 1.0})
            monitor = run(sinks=[MlflowSink()])
    (found,) = read_log(tmp_path / "mlflow.db")
    assert found.settings == {"lr": 0.01, "weight_decay": 1.0}
    same(found, monitor)


def test_wandb_is_given_rows_with_a_step_of_their_own():
    class Run:
        rows, metrics = [], []

        def define_metric(self, name, step_metric=None):
            self.metrics.append((name, step_metric))

        def log(self, row):
            self.rows.append(row)

    fake = Run()
    monitor = run(sinks=[WandbSink(fake)])
    assert fake.metrics == [("grokscope/step", None), ("grokscope/*", "grokscope/step")]
    assert [row["grokscope/step"] for row in fake.rows] == monitor.trace.series("train/loss", 0)[0].tolist()


def test_wandb_without_a_run_says_so():
    pytest.importorskip("wandb")
    with pytest.raises(ValueError, match=r"no current run of wandb; call wandb\.init first"):
        WandbSink()


def test_wandb_keeps_the_trace_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    for name in ("DIR", "CACHE_DIR", "CONFIG_DIR", "DATA_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = wandb.Settings(x_disable_stats=True, console="off", mode="offline")
        with wandb.init(project="monitor", settings=options):
            monitor = run(sinks=[WandbSink()])
        wandb.teardown()
        (found,) = read_log(tmp_path / "wandb")
    assert found.columns["step"] == "grokscope/step"
    same(found, monitor)


def test_trackio_is_given_rows():
    rows = []
    sink = TrackioSink.__new__(TrackioSink)
    sink.log = lambda values, step=None: rows.append((step, values))
    monitor = run(sinks=[sink])
    assert [step for step, _ in rows] == monitor.trace.series("train/loss", 0)[0].tolist()


def test_trackio_keeps_the_trace(tmp_path, monkeypatch):
    """Where trackio is installed; its folder is fixed when it is imported."""
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    trackio = pytest.importorskip("trackio")
    from trackio.utils import TRACKIO_DIR

    told = {"learning_rate": 0.01, "optimizer": {"weight_decay": 1.0}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trackio.init(project=tmp_path.name, name="one", config=told, embed=False)
        sink = TrackioSink()
        sink.write(0, {"odd": float("nan")})
        monitor = run(sinks=[sink])
        trackio.finish()
    (found,) = read_log(next(Path(TRACKIO_DIR).glob("*.db")))
    assert (found.format, found.settings) == ("trackio", {"lr": 0.01, "weight_decay": 1.0})
    assert str(found.trace.series("odd", 0)[1][0]) == "nan"
    same(found, monitor)
