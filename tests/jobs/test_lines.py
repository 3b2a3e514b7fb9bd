"""Order lines of each style, through the run's folder and back."""

from __future__ import annotations

import numpy as np
import pytest

from demand.errors import StorageError
from jobs.lines import FILE, order_lines, write_order_lines
from jobs.run_folder import RunFolder


def test_when_lines_are_written_then_each_style_has_its_own_again(tmp_path):
    run = RunFolder(tmp_path)
    write_order_lines(run, np.array(["A", "B"]), np.array([3, 0]))
    assert order_lines(run) == {"A": 3, "B": 0}


def test_when_the_source_has_no_lines_then_none_are_told(tmp_path):
    run = RunFolder(tmp_path)
    write_order_lines(run, np.array(["A"]), None)
    assert order_lines(run) is None
    assert not list(tmp_path.iterdir())


def test_when_the_file_is_damaged_then_it_is_one_clear_error(tmp_path):
    (tmp_path / FILE).write_bytes(b"PAR1 not")
    with pytest.raises(StorageError, match=r"lines\.parquet"):
        order_lines(RunFolder(tmp_path))
