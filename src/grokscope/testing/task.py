"""The contract of a task."""

import torch

from grokscope.seeds import Seeds
from grokscope.tasks import Split, Task
from grokscope.testing.base import check_spec, equal, hold, within


def check_task(task: Task) -> None:
    """A table of questions with true answers, and a split that only its streams decide.

    Raises:
        AssertionError: the first promise that does not hold.
    """
    check_spec(task)
    table = task.table
    operands, answers = table.operands_NK, table.answers_N
    count = len(answers)
    hold(operands.dtype == answers.dtype == torch.int64, task, "operands and answers must be int64")
    hold(operands.dim() == 2 and operands.shape[0] == count, task, f"operands must be (N, K), got {operands.shape}")
    hold(within(operands, task.elements), task, f"operands must be 0 … {task.elements - 1}")
    hold(within(answers, task.classes), task, f"answers must be 0 … {task.classes - 1}")
    hold(len(operands.unique(dim=0)) == count, task, "a question appears twice in the table")
    hold(task.chance == 1.0 / task.classes, task, "chance must be 1 / classes")
    hold(bool(task.symbol), task, "symbol must name the operation")
    _check_split(task, count)
    _check_random_labels(task)


def _check_split(task: Task, count: int) -> None:
    ordered = task.with_overrides({"split": "ordered"})
    split, other = ordered.divide(Seeds(0)), ordered.divide(Seeds(1))
    for name, rows in split.rows.items():
        hold(bool((rows.diff() > 0).all()), task, "rows of a split must rise")
        hold(len(rows) > 0 and within(rows, count), task, f"rows of {name} must be 1 or more of 0 … {count - 1}")
    train, test = split.rows["train"], split.rows["test"]
    hold(not torch.isin(train, test).any(), task, "a row is in train and in test")
    if task.covered:
        hold(torch.equal(torch.cat([train, test]).sort().values, torch.arange(count)), task, "train + test miss a row")
    wanted = task.train_rows
    hold(len(train) == wanted, task, f"train must have train_rows = {wanted} rows, got {len(train)}")
    hold(_same_split(split, ordered.divide(Seeds(0))), task, "one seed gives two splits")
    if 0 < wanted < count:
        hold(not torch.equal(train, other.rows["train"]), task, "two seeds give one split")
    held = ordered.divide(Seeds(1, {"split": 0, "noise": 0}))
    hold(_same_split(split, held), task, "the split depends on a stream other than 'split'")
    if task.table.operands_NK.shape[1] == 2:
        _check_unordered(task, wanted)


def _check_unordered(task: Task, wanted: int) -> None:
    split = task.with_overrides({"split": "unordered"}).divide(Seeds(0))
    pairs = task.table.operands_NK
    sides = [{tuple(sorted(pair)) for pair in pairs[split.rows[name]].tolist()} for name in ("train", "test")]
    hold(not sides[0] & sides[1], task, "an unordered split has (a, b) in train and (b, a) in test")
    hold(abs(split.size("train") - wanted) <= 1, task, f"an unordered train split must have {wanted} ± 1 rows")


def _check_random_labels(task: Task) -> None:
    true = task.with_overrides({"labels": "true"}).divide(Seeds(0))
    random = task.with_overrides({"labels": "random"})
    split = random.divide(Seeds(0))
    hold(torch.equal(true.answers_N, task.table.answers_N), task, "true labels must be the table's answers")
    hold(torch.equal(random.table.operands_NK, task.table.operands_NK), task, "random labels change the questions")
    hold(torch.equal(split.rows["train"], true.rows["train"]), task, "random labels change the split")
    hold(within(split.answers_N, task.classes), task, "random labels must be answers too")
    hold(_same_split(split, random.divide(Seeds(0))), task, "one seed gives two sets of random labels")
    if len(split.answers_N) >= 30:  # else a seed may draw the true answers by chance
        hold(not torch.equal(split.answers_N, true.answers_N), task, "random labels are the true ones")


def _same_split(a: Split, b: Split) -> bool:
    return torch.equal(a.answers_N, b.answers_N) and equal(a.rows, b.rows)
