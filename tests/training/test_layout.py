"""Dealing a step out over devices and micro-batches."""

import pytest

from decaystudy.errors import UserError
from decaystudy.training.layout import Layout, plan_layout


def test_the_largest_micro_batch_that_divides():
    assert plan_layout(256, 32, 8, None) == Layout(8, 1, 32)
    assert plan_layout(256, 32, 1, None) == Layout(1, 8, 32)
    assert plan_layout(8, 8, 2, None) == Layout(2, 1, 4)
    assert plan_layout(12, 5, 1, None) == Layout(1, 3, 4)
    assert plan_layout(7, 4, 1, None) == Layout(1, 7, 1)
    assert plan_layout(8, 8, 1, 4) == Layout(1, 4, 2)


def test_refusals():
    with pytest.raises(UserError, match="over 3 devices: make it a multiple, such as 6 or 9, or use 1 or 2 devices"):
        plan_layout(8, 8, 3, None)
    with pytest.raises(UserError, match="accumulate_grad_batches 3"):
        plan_layout(8, 8, 1, 3)
