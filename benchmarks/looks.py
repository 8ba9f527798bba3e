"""What a look costs, in forward passes and in training steps: the source of the measures' declared ``cost``.

    python benchmarks/looks.py [THREADS]

On the demo's network; medians of a few calls, one machine, nothing else running.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch

from grokscope.catalog import DEMO
from grokscope.measures import Fit, FourierSparsity, KeyFrequencies, Norms, Snapshot
from grokscope.training.members import Lane


def milliseconds(call: Callable[[], object], times: int = 7) -> float:
    """Median time of a call."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(taken)


def main() -> None:
    """One line per measure."""
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    lane = Lane([(0, DEMO)])
    for _ in range(3):
        lane.step()

    def look() -> Snapshot:
        return lane.snapshot(0, lane.theta_SP[0], lane.steps)

    final = lane.snapshot(0, lane.theta_SP[0], lane.steps)

    def hindsight() -> object:
        snapshot = look()
        snapshot.final = final
        return KeyFrequencies()(snapshot)

    step, passing = milliseconds(lane.step), milliseconds(lambda: look().logits_NRV)
    batch = len(lane.encoding.tokens_NL) / lane.train_rows
    print(f"a training step {step:.1f} ms; a pass over the table {passing:.1f} ms")
    print(f"a step is {step / passing * batch:.2f} forward passes over its batch, taken as 2.5 by the clock")
    for measure in (Fit(), Norms(), FourierSparsity()):
        extra = milliseconds(lambda m=measure: (s := look(), s.logits_NRV, m(s))) - passing
        print(f"{measure.kind:<18} {extra / passing:5.2f} passes beyond the shared one, declared {measure.cost}")
    print(f"{'key-frequencies':<18} {milliseconds(hindsight) / passing:5.2f} passes, declared {KeyFrequencies.cost}")


if __name__ == "__main__":
    main()
