"""A small network memorises a + b mod 31, sits on a plateau, and then understands. Ten seconds on a laptop."""

import grokscope
from grokscope.models import MLP
from grokscope.optim import AdamW
from grokscope.tasks import ModularArithmetic

experiment = grokscope.Experiment(
    name="first-grok",
    task=ModularArithmetic(operation="add", modulus=31, train_fraction=0.6),
    model=MLP(hidden=128, activation="relu"),
    optimizer=AdamW(lr=1e-2, weight_decay=1.0),
    budget=4000,
    stop_after_grok=True,
)

if __name__ == "__main__":
    run = grokscope.run(experiment, members=2)
    print(run.record.sentence())

    for phases in run.phases():
        events = phases.events
        print(f"member {phases.member}: {phases.label}, memorised at {events.t_train}, generalised at {events.t_test}")
        for segment in phases.segments:
            print(f"    {segment.start:>5} – {segment.end:<5} {segment.name}")

    table = run.to_pandas()
    print(table[["member", "step", "train/accuracy", "test/accuracy", "fourier/gini_embedding"]].tail(2))
    print("page:", run.report("runs/first_grok.html"))
