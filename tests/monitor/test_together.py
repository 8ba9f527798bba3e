"""Two processes that train one model: what they see is added up, and the first one writes."""

import gc
import json
import socket
import weakref

import numpy as np
import torch
import torch.distributed.nn  # before there is a process group: its functions keep the default one, threads and all
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from grokscope.monitor import Monitor
from tests.monitor.loops import PAIRS, SUMS, TRAIN, batch, made


def worker(rank, folder, port):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    told = trained(rank, folder)
    with open(f"{folder}/{rank}.json", "w") as out:
        json.dump(told, out)
    # gloo's threads are joined when the last reference goes; a process that ends while they run may abort
    gc.collect()
    distributed.barrier()
    group = weakref.ref(distributed.group.WORLD)
    distributed.destroy_process_group()
    assert group() is None


def trained(rank, folder):
    """What one of the processes saw; nothing of its model is left when it returns."""
    model, _ = made(dropout=0.0)
    model.norm.momentum = 0.0  # running means are each process's own until the next forward
    model = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.5)
    mine = TRAIN[:50] if rank == 0 else TRAIN[50:]  # probes of different size
    settings = {"validation": lambda: (0.5 + rank, 0.25), "folder": f"{folder}/run", "max_overhead": 1e4}
    monitor = Monitor(model, optimizer, batch(mine), **settings)
    stops = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(model(PAIRS[mine]), SUMS[mine])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        monitor.step(loss)
        stops.append(monitor.should_stop(patience=3))
    monitor.close()
    inner = model.module.eval()
    with torch.no_grad():
        z = inner(PAIRS[TRAIN])
    truth = [
        torch.nn.functional.cross_entropy(z, SUMS[TRAIN]).item(),
        (z.argmax(1) == SUMS[TRAIN]).float().mean().item(),
        z.double().norm(dim=1).mean().item(),
    ]
    keys = ["train/loss", "train/accuracy", "logits/scale", "test/loss"]
    seen = {key: monitor.trace.series(key, 0)[1][-1] for key in keys}
    steps = monitor.trace.series("train/loss", 0)[0].tolist()
    told = {"truth": truth, "seen": seen, "steps": steps, "stops": stops, "keys": monitor.trace.keys()}
    return told | {"skipped": monitor.trace.skipped}


def test_two_processes_look_together(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(worker, (str(tmp_path), port), nprocs=2)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    for told in (first, second):
        assert told["skipped"] == {}
        np.testing.assert_allclose(list(told["seen"].values()), [*first["truth"], 0.5], rtol=1e-5)
    assert first["steps"] == second["steps"]
    assert first["steps"][-1] == 12
    assert first["stops"] == second["stops"]
    assert any(first["stops"])
    assert "norm/weights" in first["keys"]
    rows = [json.loads(line) for line in (tmp_path / "run" / "trace.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == first["steps"]
