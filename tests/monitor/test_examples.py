"""The examples run as scripts, and end with advice and a page."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
CASES = {"watch_my_loop": "torch", "watch_my_hf_run": "transformers", "watch_my_lightning_run": "lightning"}


@pytest.mark.parametrize("name", CASES)
def test_an_example_ends_with_advice_and_a_page(name, tmp_path):
    if not find_spec(CASES[name]):
        pytest.skip(f"{CASES[name]} is not installed")
    alone = os.environ | {"OMP_NUM_THREADS": "1"}  # two threads a test would wait for each other
    call = [sys.executable, str(EXAMPLES / f"{name}.py")]
    done = subprocess.run(call, cwd=tmp_path, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "page: runs/" in done.stdout
    assert any(word in done.stdout for word in ("cannot tell yet", "keep training", "generalised", "blocked"))
    assert list(tmp_path.glob("runs/*.html"))
    assert list(tmp_path.glob("runs/*/trace.jsonl"))
