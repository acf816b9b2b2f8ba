import threading
from pathlib import Path

from mlflow_gate.turns import Turns


def in_turn(turns: Turns, model: str) -> threading.Thread:
    def take() -> None:
        with turns.of(model):
            pass

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    thread.join(0.3)
    return thread


def test_one_change_of_a_model_after_the_other_in_all_processes(tmp_path: Path) -> None:
    one, other = Turns(tmp_path / "turns"), Turns(tmp_path / "turns")
    with one.of("churn"):
        waiting = [in_turn(each, name) for each in (one, other) for name in ("churn", "Churn")]
        assert all(thread.is_alive() for thread in waiting)
        assert not in_turn(other, "fraud").is_alive()
        with one.of("churn"):  # a change that is a part of another one
            pass
        assert waiting[-1].is_alive()
    for thread in waiting:
        thread.join(5)
        assert not thread.is_alive()


def test_a_process_takes_its_own_turns_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    turns = Turns(tmp_path / "file" / "turns")
    with turns.of("churn"):
        thread = in_turn(turns, "churn")
        assert thread.is_alive()
    thread.join(5)
    assert not thread.is_alive()
