"""Strict in tests: warnings are errors, one thread, the same examples each time."""

import pytest
import torch
from hypothesis import settings

settings.register_profile("grokscope", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("grokscope")
torch.set_num_threads(1)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", "error")
