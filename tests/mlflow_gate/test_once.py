import os
import time
from pathlib import Path

from mlflow_gate.once import KEPT, Once


def test_a_grant_that_one_process_used_is_used_for_the_others(tmp_path: Path) -> None:
    one, other = Once(tmp_path / "used"), Once(tmp_path / "used")
    assert not one.was_used("a")
    one.use("a")
    assert one.was_used("a")
    assert other.was_used("a")
    assert not other.was_used("b")


def test_what_no_longer_holds_is_forgotten(tmp_path: Path) -> None:
    once = Once(tmp_path)
    once.use("old")
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - KEPT - 1,) * 2)
    once.use("new")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_process_remembers_what_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    once = Once(tmp_path / "file" / "used")
    once.use("a")
    assert once.was_used("a")
