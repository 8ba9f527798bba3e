"""All columns of a run in the order of their steps, and what that took, in a few notes."""

from dataclasses import dataclass, field

import numpy as np

from grokscope.readers.files import listed, plain
from grokscope.readers.names import meaning
from grokscope.readers.repair import Mended, mend
from grokscope.readers.sheet import Sheet
from grokscope.readers.steps import Clock


@dataclass
class Ordered:
    """The columns that hold numbers at steps."""

    mended: dict[str, Mended] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    """Columns, by their own names, that hold none, and why."""
    notes: list[str] = field(default_factory=list)


def ordered(sheet: Sheet, clock: Clock) -> Ordered:
    """Put every column in the order of its steps; a resume that one curve shows holds for all columns of a row."""
    found = Ordered()
    texts: dict[str, int] = {}
    counted: list[str] = []
    for name, column in sheet.columns.items():
        if name == clock.column:
            continue
        if not column.values:
            found.unread[name] = "holds no numbers" if column.texts else "is blank"
            continue
        rows, values = column.numbers()
        at, has = clock.of(rows)
        if not has.any():
            found.unread[name] = "stands in rows without a step"
            continue
        if column.texts:
            texts[name] = column.texts
        rows, values, at = rows[has], values[has], at[has]
        if clock.own and len(at) > 2 and (at == at[0]).all():
            counted.append(name)
            at = np.arange(len(at), dtype=np.int64)
        found.mended[name] = mend(rows, at, values)
    if not clock.own:  # otherwise each curve has a clock of its own
        _abandon(sheet, clock, found)
    if texts:
        found.notes.append(f"cells that are no number left out ({_counts(texts)})")
    if counted:
        found.notes.append(f"logged without steps, so their values are counted from 0: {listed(counted, 4)}")
    _tell(found)
    return found


def _abandon(sheet: Sheet, clock: Clock, found: Ordered) -> None:
    """Drop from the other columns too what was logged on a branch that the run left by resuming."""
    resumes = sorted({at for name, m in found.mended.items() if meaning(name) is not None for at in m.resumed})
    for name, mended in found.mended.items() if resumes else ():
        if mended.resumed:
            continue
        rows, values = sheet.columns[name].numbers()
        at, has = clock.of(rows)
        stale = np.zeros(len(rows), dtype=bool)
        for row, step in resumes:
            stale |= (rows < row) & (at >= step)
        keep = has & ~stale
        if (has & stale).any() and keep.any():
            fresh = mend(rows[keep], at[keep], values[keep])
            fresh.replaced = mended.replaced + int((has & stale).sum())
            found.mended[name] = fresh


def _tell(found: Ordered) -> None:
    """What was mended, over all columns, in one note each."""
    late = {name: m.sorted for name, m in found.mended.items() if m.sorted}
    again = {name: m.repeated for name, m in found.mended.items() if m.repeated}
    resumed = sorted({step for m in found.mended.values() for _, step in m.resumed})
    if late:
        found.notes.append(f"out-of-order rows sorted by step ({_counts(late)})")
    if again:
        found.notes.append(f"repeated steps: the last line of each is kept ({_counts(again)})")
    if resumed:
        places = ", ".join(map(str, resumed[:5])) + (" …" if len(resumed) > 5 else "")
        left = {name: m.replaced for name, m in found.mended.items() if m.replaced}
        dropped = f"; points dropped: {_counts(left)}" if left else ""
        found.notes.append(
            f"the run was resumed at step {places}: the later lines replace the earlier ones from there{dropped}"
        )


def _counts(counts: dict[str, int]) -> str:
    return listed([f"{plain(name, 30)} {count}" for name, count in counts.items()], 4)
