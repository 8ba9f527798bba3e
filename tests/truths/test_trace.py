"""Truths for trace.py: what goes in comes out, and a prefix knows no more than was known."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grokscope.trace import Quantity, Trace

rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 50), st.sampled_from(["a/x", "a/y"]), st.floats()), max_size=30
)


def _filled(entries: list[tuple[int, int, str, float]]) -> Trace:
    trace = Trace()
    for member, step, key, value in entries:
        trace.add(member, step, {key: value})
    return trace


@given(rows)
def test_series_give_back_the_last_value_written_in_order_of_steps(entries: list[tuple[int, int, str, float]]) -> None:
    trace = _filled(entries)
    last = {(member, step, key): value for member, step, key, value in entries}
    for key in ("a/x", "a/y"):
        for member in range(4):
            steps, values = trace.series(key, member)
            want = sorted((s, v) for (m, s, k), v in last.items() if (m, k) == (member, key))
            np.testing.assert_array_equal(steps, [s for s, _ in want])
            np.testing.assert_array_equal(values, [v for _, v in want])


@given(rows, st.randoms())
def test_the_order_of_writing_does_not_matter(entries: list[tuple[int, int, str, float]], random: object) -> None:
    unique = list({entry[:3]: entry for entry in entries}.values())
    shuffled = unique.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert _filled(unique).digest() == _filled(shuffled).digest()


@given(rows, st.integers(0, 50))
def test_a_prefix_holds_every_look_up_to_its_step_and_none_after(
    entries: list[tuple[int, int, str, float]], cut: int
) -> None:
    early = [entry for entry in entries if entry[1] <= cut]
    assert _filled(entries).prefix(cut).digest() == _filled(early).digest()
    assert _filled(entries).prefix(cut).members() == _filled(early).members()


def test_a_prefix_drops_hindsight_also_where_a_family_of_keys_declares_it() -> None:
    def quantity(key: str, hindsight: bool) -> Quantity:
        return Quantity(key, "1", (0.0, 1.0), "a number", hindsight)

    declared = [quantity("plain/a", False), quantity("late/a", True), quantity("family/*", True)]
    trace = Trace(quantities={q.key: q for q in declared})
    trace.add(0, 1, {"plain/a": 1.0, "late/a": 1.0, "family/b": 1.0, "family/c": np.ones(2)})
    known = trace.prefix(10)
    assert known.keys() == ["plain/a"]
    assert known.array_keys() == []
    assert set(known.quantities) == {"plain/a"}
    assert trace.keys() == ["family/b", "late/a", "plain/a"]  # the positive control: they are there


def test_writing_to_a_prefix_leaves_the_trace_alone() -> None:
    trace = _filled([(0, 1, "a/x", 1.0)])
    before = trace.digest()
    trace.prefix(5).add(0, 1, {"a/x": 2.0})
    assert trace.digest() == before


def test_a_digest_sees_every_bit() -> None:
    base = [(0, 1, "a/x", 0.1), (1, 2, "a/y", 0.2)]
    nudged = [(0, 1, "a/x", np.nextafter(0.1, 1)), (1, 2, "a/y", 0.2)]
    digests = {_filled(e).digest() for e in (base, nudged, base[:1], [(1, 1, "a/x", 0.1), base[1]])}
    digests |= {_filled([(0, 2, "a/x", 0.1), base[1]]).digest(), _filled([(0, 1, "a/z", 0.1), base[1]]).digest()}
    assert len(digests) == 6


def test_a_digest_sees_the_bits_type_and_shape_of_an_array() -> None:
    def digest(array: np.ndarray) -> str:
        trace = Trace()
        trace.add(0, 0, {"a/x": array})
        return trace.digest()

    arrays = [np.zeros(4), np.array([0, 0, 0, 5e-324]), np.zeros((2, 2)), np.zeros(4, dtype=np.int64), -np.zeros(4)]
    assert len({digest(array) for array in arrays}) == len(arrays)
    square = np.arange(4.0).reshape(2, 2)
    assert digest(square.T) == digest(square.T.copy())  # memory layout is no content


def test_a_table_has_nan_where_a_member_was_not_looked_at() -> None:
    trace = _filled([(0, 1, "a/x", 1.0), (0, 3, "a/x", 3.0), (2, 2, "a/x", 2.0)])
    steps, values = trace.table("a/x")
    np.testing.assert_array_equal(steps, [1, 2, 3])
    np.testing.assert_array_equal(values, [[1, np.nan], [np.nan, 2], [3, np.nan]])
    assert trace.table("none")[1].shape == (0, 2)


def test_last_and_final_step_are_of_one_member() -> None:
    trace = _filled([(0, 1, "a/x", 1.0), (0, 9, "a/x", 9.0), (1, 4, "a/y", 4.0)])
    assert trace.last(0) == {"a/x": 9.0}
    assert trace.last(1) == {"a/y": 4.0}
    assert [trace.final_step(m) for m in (0, 1, 2)] == [9, 4, -1]
    assert trace.members() == [0, 1]
