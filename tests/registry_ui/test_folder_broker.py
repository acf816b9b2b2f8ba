"""The folder as a broker, through kombu itself: what was not written to the end is put aside, and all else arrives."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from registry_ui import celery as _celery
from registry_ui import folder_broker
from registry_ui.environment import Environment


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Connection]:
    assert _celery.TRANSPORT_ALIASES["filesystem"] == "registry_ui.folder_broker:Transport"
    folder_broker.Transport.global_state.clear()  # of other tests, with other folders
    options = Environment().broker_options("filesystem://", tmp_path)
    with Connection("filesystem://", transport_options=options) as link:
        assert isinstance(link.transport, folder_broker.Transport)
        yield link


def received(broker: Connection) -> list[Any]:
    found = []
    with broker.SimpleQueue("mail") as queue:
        while queue.qsize():
            try:
                message = queue.get(timeout=2)
            except queue.Empty:
                break
            found.append(message.payload)
            message.ack()
    return found


def send(broker: Connection, *bodies: object) -> list[Path]:
    """Returns the files, oldest first."""
    with broker.SimpleQueue("mail") as queue:
        for body in bodies:
            queue.put(body)
    return sorted(Path(broker.transport_options["data_folder_out"]).glob("*.msg"))


@pytest.mark.parametrize("rest", ["half", "", "{}", "null", '{"properties": {}}', "\udcff"])
def test_what_cannot_be_read_is_put_aside_once_and_the_others_arrive(
    broker: Connection, rest: str, caplog: pytest.LogCaptureFixture
) -> None:
    spoilt = send(broker, {"n": 1}, {"n": 2}, {"n": 3})[0]
    text = spoilt.read_text()
    spoilt.write_bytes((text[: len(text) // 2] if rest == "half" else rest).encode(errors="surrogateescape"))
    assert received(broker) == [{"n": 2}, {"n": 3}]
    assert received(broker) == []
    aside = spoilt.parent / "unreadable" / spoilt.name
    assert aside.exists()
    assert "broker.unreadable" in caplog.text
    assert [path.name for path in spoilt.parent.iterdir()] == ["unreadable"]


def test_a_message_that_is_being_written_is_not_read_before_it_is_whole(broker: Connection) -> None:
    path = send(broker, {"n": 1})[0]
    part = path.rename(path.with_name(f"{path.name}.part"))
    assert received(broker) == []
    part.rename(path)
    assert received(broker) == [{"n": 1}]


def test_bindings_that_were_cut_off_are_made_anew(broker: Connection) -> None:
    assert len(send(broker, {"n": 1})) == 1
    assert received(broker) == [{"n": 1}]
    table = Path(broker.transport_options["control_folder"]) / "mail.exchange"
    table.write_text(table.read_text()[:5])
    send(broker, {"n": 2})
    assert received(broker) == [{"n": 2}]
    assert (table.parent / "unreadable" / "mail.exchange").exists()
