"""One thread, and the same examples each time; pyproject.toml makes warnings errors."""

import torch
from hypothesis import settings

settings.register_profile("grokscope", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("grokscope")
torch.set_num_threads(1)
