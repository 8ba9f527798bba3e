"""Truths for training/start.py: first weights from another run are that run's last, to the bit, or one clear line."""

import shutil

import pytest
import torch

import grokscope
from grokscope.errors import BadInput
from grokscope.experiment import Experiment
from grokscope.models import MLP
from grokscope.optim import AdamW
from grokscope.seeds import Seeds
from grokscope.store import Store
from grokscope.tasks import ModularArithmetic
from grokscope.training.members import Lane
from grokscope.training.start import origin


def tiny(**changes) -> Experiment:
    """A perceptron on a + b mod 7, mini-batches, twenty steps."""
    base = Experiment(
        name="tiny",
        task=ModularArithmetic(modulus=7, train_fraction=0.6),
        model=MLP(hidden=8),
        optimizer=AdamW(lr=1e-2, weight_decay=1.0),
        batch_size=16,
        budget=20,
    )
    return base.with_overrides(changes)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    store = tmp_path_factory.mktemp("runs")
    return grokscope.run(tiny(), 2, store=store, engine="looped", progress=False), store


def _other(store, name):
    return next(folder.name for folder in Store(store) if folder.name != name)


def _weights(run, member=0):
    return [p.detach() for p in run.network(member).parameters()]


def _same(ours, theirs):
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("member", [0, 1])
def test_the_first_weights_are_the_sources_last_to_the_bit(source, member):
    run, _ = source
    start = f"{run.path}#{member}" if member else str(run.path)
    each = tiny(start=start).members(overrides=[{"seed": 5}, {"seed": 6, "task.train_fraction": 0.6}])
    lane = Lane(list(enumerate(each)))
    for s in range(2):
        snapshot = lane.snapshot(s, lane.theta_SP[s], 0)
        assert _same(list(snapshot.network.parameters()), _weights(run, member))
        assert _same(list(snapshot.initial().values()), _weights(run, member))
    assert not torch.equal(lane.splits[0].rows["train"], lane.splits[1].rows["train"])  # seeds stay their own


def test_the_first_look_sees_what_the_sources_last_look_saw(source):
    run, store = source
    went_on = grokscope.run(tiny(start=run.name), store=store, engine="looped", progress=False)
    for key in ("train/loss", "test/loss", "test/accuracy"):
        assert went_on.trace.series(key, 0)[1][0] == run.trace.series(key, 0)[1][-1]
    assert went_on.experiment.start == f"{run.path.resolve()}#0"
    assert went_on.record.meta["start"] == [origin(str(run.path)).to_dict()]


def test_members_may_start_from_members(source):
    run, store = source
    each = [{"seed": 0, "start": run.name}, {"seed": 1, "start": f"{run.name}#1"}, {"seed": 2}]
    mixed = grokscope.run(tiny(budget=1), each, store=store, engine="stacked", progress=False)
    for member in (0, 1):
        first, last = mixed.trace.series("train/loss", member)[1][0], run.trace.series("train/loss", member)[1][-1]
        assert first == pytest.approx(last, rel=1e-5)
    assert mixed.trace.series("train/loss", 2)[1][0] > 1.5
    assert [one and one["member"] for one in mixed.record.meta["start"]] == [0, 1, None]


def test_an_interrupted_run_resumes_to_the_bits_of_a_whole_one(source, monkeypatch, tmp_path):
    run, _ = source
    setting = tiny(start=str(run.path), seed=3)
    whole = grokscope.run(setting, store=tmp_path, engine="looped", progress=False)
    step = Lane.step

    def until_7(lane):
        if lane.steps == 7:
            raise KeyboardInterrupt
        return step(lane)

    with monkeypatch.context() as patched:
        patched.setattr(Lane, "step", until_7)
        with pytest.raises(KeyboardInterrupt):
            grokscope.run(setting, store=tmp_path, engine="looped", checkpoint_seconds=0.0, progress=False)
    assert not Store(tmp_path).find(_other(tmp_path, whole.name)).ended()
    again = grokscope.resume(_other(tmp_path, whole.name), store=tmp_path, progress=False)
    assert again.trace.digest() == whole.trace.digest()
    assert _same(_weights(again), _weights(whole))


def test_an_empty_start_leaves_data_and_hash_as_they_were(source):
    run, _ = source
    assert "start" not in tiny().to_dict()
    assert tiny().hash() == tiny(start="").hash() != tiny(start=str(run.path)).hash()
    assert tiny(start=str(run.path)).to_dict()["start"] == str(run.path)
    assert tiny(start=str(run.path)).with_overrides({"start": ""}) == tiny()
    assert Experiment.model_validate(tiny(start="x").to_dict()).start == "x"


def _line(request):
    with pytest.raises(BadInput) as caught:
        request()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_start_that_cannot_be_is_one_line(source, tmp_path):
    run, store = source
    go = lambda **changes: grokscope.run(tiny(**changes), store=store, progress=False)  # noqa: E731
    assert "start: no run 'nothing'" in _line(lambda: go(start="nothing"))
    assert "grokscope ls runs" in _line(lambda: Lane([(0, tiny(start=str(tmp_path / "gone")))]))
    assert "members 0 to 1, got #2" in _line(lambda: go(start=f"{run.name}#2"))
    line = _line(lambda: go(start=run.name, **{"model.hidden": 9}))
    assert "[14, 8]" in line
    assert "[14, 9]" in line
    assert "same model" in line
    other = _line(lambda: go(start=run.name, **{"model.inputs": "embedding", "model.width": 7}))
    assert "W_E is absent" in other
    assert len(list(Store(store))) == len([f for f in Store(store) if f.ended()]), "a refused run left a folder"


def test_a_run_whose_start_has_gone_can_be_read_but_not_resumed(source, tmp_path):
    run, _ = source
    copy = tmp_path / run.name
    shutil.copytree(run.path, copy)
    done = grokscope.run(tiny(start=str(copy)), store=tmp_path, engine="looped", progress=False)
    with done.folder.writer() as writer:
        writer.rewind([0], -1)
    shutil.rmtree(copy)
    assert grokscope.load(done.name, store=tmp_path).experiment.start == f"{copy}#0"
    assert "no run in" in _line(lambda: grokscope.resume(done.name, store=tmp_path, progress=False))
    grokscope.run(tiny(seed=9), store=tmp_path, engine="looped", progress=False).path.rename(copy)
    assert "are others now" in _line(lambda: grokscope.resume(done.name, store=tmp_path, progress=False))


@pytest.mark.parametrize("split", ["ordered", "unordered"])
def test_a_smaller_training_set_of_one_seed_lies_within_a_larger_one(split):
    before: set[int] = set()
    for fraction in (0.05, 0.2, 0.5, 0.9):
        rows = set(
            ModularArithmetic(modulus=13, train_fraction=fraction, split=split).divide(Seeds(4)).rows["train"].tolist()
        )
        assert before < rows
        before = rows
