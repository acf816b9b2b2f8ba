"""The stand-alone verifier: Ed25519 by the vectors of RFC 8032, and what it says of exports of any kind."""

import ast
import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from approvals import ledger
from approvals.ledger import notes, quick, standalone
from approvals.models import Action, AuditEvent
from tests.approvals.ledger import tampering
from tests.approvals.ledger.ledger_history import OTHER_SEED, SEED, export

# RFC 8032, section 7.1: public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
        "655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
        "b00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28d"
        "c027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_the_vectors_of_the_rfc_hold(key: str, message: str, signature: str) -> None:
    raw = [bytes.fromhex(each) for each in (key, message, signature)]
    assert standalone.verify_signature(*raw)
    assert not standalone.verify_signature(raw[0], raw[1] + b"x", raw[2])
    for place in (0, 31, 32, 63):
        changed = bytearray(raw[2])
        changed[place] ^= 1
        assert not standalone.verify_signature(raw[0], raw[1], bytes(changed))
    for bad in (b"", raw[2][:63], raw[2] + b"\0", b"\xff" * 64):
        assert not standalone.verify_signature(raw[0], raw[1], bad)
    # S + L would be a second signature of the same; the RFC forbids it.
    s = int.from_bytes(raw[2][32:], "little") + standalone.L
    assert not standalone.verify_signature(raw[0], raw[1], raw[2][:32] + s.to_bytes(32, "little"))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
@bounds(max_examples=25, deadline=None)
def test_it_agrees_with_the_library_that_signs(seed: bytes, message: bytes) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert standalone.verify_signature(public, message, signature)
    assert not standalone.verify_signature(public, message + b".", signature)


# --- The same bytes everywhere

NASTY = "\x00\x01\x08\t\n\x0b\x0c\r\x1f \"\\/'<>&\x7f\x80\x9f\xa0\u2028\u2029\ufeff\ufffd\uffff\U0001f600\U0010ffffé"


def append(**fields: Any) -> AuditEvent:
    with transaction.atomic():
        return ledger.record(Action.GROUP_CREATED, actor=None, **fields)


@pytest.mark.django_db
def test_the_database_writes_the_very_bytes_that_are_hashed(tmp_path: Path) -> None:
    """Every column that holds text, with every character that is special to anybody."""
    nasty = NASTY if connection.vendor == "sqlite" else NASTY.replace("\x00", "")

    @given(
        st.lists(
            st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(nasty), max_size=60),
            min_size=4,
            max_size=4,
        )
    )
    @bounds(max_examples=150, deadline=None, database=None)
    def run(texts: list[str]) -> None:
        texts = [text if connection.vendor == "sqlite" else text.replace("\x00", "") for text in texts]
        acting, model, allowed, comment = texts
        append(
            acting=acting, model_name=model, allowed_by=[allowed], data={"comment": comment, comment: [1, None, True]}
        )

    run()
    append(acting=nasty, model_name=nasty, target_name=nasty[:60], allowed_by=[nasty, nasty], data={nasty: nasty})
    append(version_number=7, model_name="m")
    last = ledger.head().sequence
    expected = {
        event.sequence: (event.previous_hash + ledger.rows.canonical(ledger.as_record(event))).encode()
        for event in AuditEvent.objects.all()
    }
    written: list[bytes] = []
    for _, _, block in quick.blocks(1, last, quick.OURS):
        assert block is not None
        written += block.texts
    assert written == [expected[number] for number in range(1, last + 1)]
    assert ledger.verify() == ledger.Verdict(last)
    for ending in ("jsonl", "csv"):
        assert standalone.main([str(export(tmp_path, ending=ending)), "--complete"]) == 0


@pytest.mark.django_db
def test_a_time_without_microseconds_is_written_with_them() -> None:
    """SQLite leaves them out when they are zero."""
    append()
    event = AuditEvent.objects.get()
    tampering.rewrite(1, at=event.at.replace(microsecond=0))
    ((_, _, block),) = quick.blocks(1, 1, quick.OURS)
    assert block is not None
    assert block.ending(event.previous_hash) == ledger.head().hash


# --- The command


def run(*arguments: object) -> tuple[int, str]:
    command = [sys.executable, "-I", "-S", standalone.__file__, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def five(db: None) -> None:
    for number in range(5):
        append(acting=["=cmd()", "'quoted", "-1", "@x", "plain"][number], data={"n": number})


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_filtered_export_says_what_is_not_in_it(five: None, tmp_path: Path, ending: str) -> None:
    path = export(tmp_path, ending=ending, sequence__in=[2, 3, 5])
    code, said = run(path)
    assert code == 0
    assert "3 events, from 2 to 5" in said
    assert "Not in this export: 1 gap between them and events 1 to 1." in said
    code, said = run(path, "--complete")
    assert (code, "event 1 is missing" in said) == (1, True)
    # What is left out between two events is still named by the hash before the next one.
    assert run(path, "--head", f"4:{AuditEvent.objects.get(sequence=4).hash}")[0] == 0
    code, said = run(path, "--head", f"4:{'0' * 64}")
    assert (code, "event 4 has another hash" in said) == (1, True)


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_what_was_changed_in_an_export_is_found(five: None, tmp_path: Path, ending: str) -> None:
    path = export(tmp_path, ending=ending)
    whole = path.read_text(encoding="utf-8")
    assert run(path, "--complete")[0] == 0
    lines = whole.splitlines(keepends=True)
    third = 3 - (ending == "jsonl")  # a CSV has a line of names first
    cases = {
        "Event 3 was altered": [
            *lines[:third],
            lines[third].replace('"-1"', '"-2"').replace("'-1,", "'-2,"),
            *lines[third + 1 :],
        ],
        "Event 3 appears twice": [*lines[: third + 1], *lines[third:]],
        "Event 3 appears after event 4": [*lines[:third], lines[third + 1], lines[third], *lines[third + 2 :]],
    }
    for problem, altered in cases.items():
        path.write_text("".join(altered), encoding="utf-8")
        code, said = run(path)
        assert (code, problem in said) == (1, True), said


def test_files_that_are_no_export_end_with_code_2(tmp_path: Path) -> None:
    for name, text, problem in (
        ("a", "hello,world\n1,2\n", "the column sequence is missing"),
        ("b", "{nonsense\n", "line 1: this is no JSON"),
        ("c", '{"sequence": 1}\n', "this is no event"),
    ):
        (tmp_path / name).write_text(text)
        code, said = run(tmp_path / name)
        assert (code, problem in said) == (2, True), said
    assert run(tmp_path / "missing")[0] == 2
    (tmp_path / "empty").write_text("")
    assert run(tmp_path / "empty") == (0, "The export has no events.\n")
    assert run(tmp_path / "empty", "--head", "x")[0] == 2


def test_checkpoints_are_believed_with_a_fitting_key_alone(five: None, tmp_path: Path, settings: Any) -> None:
    settings.CHECKPOINT_KEY = SEED
    path, kept = export(tmp_path), tmp_path / "checkpoints.txt"
    good = notes.sign(1, ledger.head(), timezone.now())
    kept.write_text(good, encoding="utf-8")
    key = notes.own_key()
    code, said = run(path, "--checkpoint", kept, "--public-key", key)
    assert (code, "1 of 1 checkpoints and heads fit" in said) == (0, True)
    code, said = run(path, "--checkpoint", kept)
    assert (code, "No signature was verified" in said) == (0, True)
    code, said = run(path, "--checkpoint", kept, "--public-key", notes.public_key_of(OTHER_SEED))
    assert (code, "is not signed with any of the given keys" in said or "does not fit" in said) == (1, True)
    kept.write_text(good.replace("\n5\n", "\n4\n"), encoding="utf-8")
    code, said = run(path, "--checkpoint", kept, "--public-key", key)
    assert (code, "was altered: the signature of" in said) == (1, True)
    kept.write_text("nothing", encoding="utf-8")
    assert run(path, "--checkpoint", kept, "--public-key", key)[0] == 2
    name, key_id, _ = key.split("+", 2)
    wrong = f"{name}+{key_id}+{base64.b64encode(bytes([1]) + bytes(32)).decode()}"
    assert run(path, "--public-key", wrong)[0] == 2


def test_it_is_one_file_of_the_standard_library() -> None:
    tree = ast.parse(Path(standalone.__file__).read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names


@pytest.mark.django_db
def test_a_line_that_says_more_or_otherwise_than_countersign_writes_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    append(acting="Remy, Rosa", data={"comment": "+1"})
    append()
    alterations = {
        "jsonl": {
            ('"action":', '"action":"version.promoted","action":'): "action appears twice in it",
            ('"action":', '"aproved":true,"action":'): "no export has aproved",
            ('"action":', ' "action":'): "writes the same in another way",
            ('"actor_id":null', '"actor_id":1e0'): "writes the same in another way",
        },
        "csv": {
            ("sequence,at,", "sequence,sequence,at,"): "the column sequence is not as in an export",
            ("names\r\n", "names,approved\r\n"): "the column approved is not as in an export",
            ("sequence,at,", "at,sequence,"): "its columns stand in another order",
            ("\n1,", "\n01,"): "sequence is no number",
            ("\n1,", "\n1,x,"): "writes the same in another way",
            ("group.created", '"group.created"'): "writes the same in another way",
        },
    }
    for ending, cases in alterations.items():
        path = export(tmp_path, ending=ending)
        with path.open(encoding="utf-8", newline="") as file:
            written = file.read()
        assert standalone.main([str(path)]) == 0
        assert "Names of people are not verified" in capsys.readouterr().out
        for (old, new), said in cases.items():
            assert old in written, old
            path.write_bytes(written.replace(old, new, 1).encode())
            assert standalone.main([str(path)]) == 1, new
            assert said in capsys.readouterr().out
        path.write_bytes(written.replace("\r\n", "\n").encode())  # as some editors leave it
        assert standalone.main([str(path)]) == 0
