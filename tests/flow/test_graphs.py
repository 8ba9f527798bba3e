"""A recorded step: inputs are copied to where the recording reads them, outputs are where it writes them."""

import torch
from torch.testing import assert_close

from grokscope.training.graphs import Recorded
from grokscope.training.members import Lane
from tests.flow.small import small


class Tape:
    """A recorder that needs no GPU: a replay runs the call again and writes into the first outputs."""

    def __init__(self):
        self.recorded = self.replayed = 0

    def __call__(self, call):
        self.recorded += 1
        losses, grads = call()
        outputs = (losses.detach().clone(), tuple(g.clone() for g in grads))

        def replay():
            self.replayed += 1
            losses, grads = call()
            outputs[0].copy_(losses.detach())
            for mine, grad in zip(outputs[1], grads, strict=True):
                mine.copy_(grad)

        return replay, outputs


def _recorded(lane, tape):
    lane._compute = Recorded(lane._differentiate, tape)
    return lane


def test_a_recorded_lane_takes_the_same_steps_and_records_once_for_each_shape_of_batch():
    members = list(enumerate(small().members(3)))  # 60 rows in batches of 16: the last of an epoch has 12
    tape = Tape()
    recorded, plain = _recorded(Lane(members), tape), Lane(members)
    for _ in range(9):
        assert_close(recorded.step(), plain.step(), rtol=0, atol=0)
    assert torch.equal(recorded.theta_SP, plain.theta_SP)
    assert tape.recorded == 2
    assert tape.replayed == 9


def test_when_a_member_leaves_what_was_recorded_is_forgotten():
    lane = _recorded(Lane(list(enumerate(small().members(3)))), Tape())
    lane.step()
    lane.drop([1])
    assert not isinstance(lane._compute, Recorded)  # this device has nothing to record on
    assert lane.step().shape == (2,)
