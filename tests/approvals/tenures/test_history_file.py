"""Files of earlier history as spreadsheets write them, and rows that cannot be true."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client

from accounts.models import User
from approvals.models import Tenure
from approvals.tenures import importing
from approvals.tenures.importing import BadFile
from tests.support.factories import make_version
from tests.support.pages import text_of

pytestmark = pytest.mark.django_db
ROWS = [
    ("model", "version", "target", "from", "until", "note"),
    ("churn", "1", "Production", "2025-01-01", "2025-02-01", "First, and only"),
    ("churn", "2", "Staging", "2025-01-01", "2025-02-01", ""),
]


def written(delimiter: str, *above: str, end: str = "\r\n") -> str:
    rows = [delimiter.join(f'"{cell}"' if delimiter in cell else cell for cell in row) for row in ROWS]
    return end.join([*above, *rows, ""])


FILES: dict[str, tuple[bytes, int]] = {
    # how it is written: the bytes, and the line of the first row
    "commas": (written(",").encode(), 2),
    "semicolons with sep": (written(";", "sep=;").encode(), 3),
    "sep in quotes": (written(";", '"sep=;"').encode("utf-8-sig"), 3),
    "tabs": (written("\t").encode(), 2),
    "tabs in UTF-16, as Excel's Unicode text": (written("\t").encode("utf-16"), 2),
    "UTF-16 big endian": (b"\xfe\xff" + written(";").encode("utf-16-be"), 2),
    "a title and an empty line": (written(",", "Promotions, all of them", "").encode(), 4),
    "a title with many semicolons": (written(",", "a;b;c;d;e;f;g;h").encode(), 3),
    "Unix lines": (written(";", "sep=;", "Promotions 2025", end="\n").encode(), 4),
}


@pytest.mark.parametrize("how", FILES)
def test_a_file_is_read_as_spreadsheets_write_it(how: str) -> None:
    content, first = FILES[how]
    rows = importing.check(content).rows
    assert [(row.line, row.model, row.version, row.reason) for row in rows] == [
        (first, "churn", 1, ""),
        (first + 1, "churn", 2, ""),
    ]
    assert rows[0].cells["note"] == "First, and only"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name;number\nchurn;1\n", "The first line has no column model, version, target, from."),
        (b"name;number\nchurn;1\n", "Parted by semicolons, it has 'name', 'number'."),
        (b"Title\nmodel\tversion\n", "Line 2 has no column target, from."),
        (b"Title\nmodel\tversion\n", "Parted by tabs, it has 'model', 'version'."),
        (b"sep=|\nmodel|version|target|from\n", "The first line says that cells are parted by '|'."),
        (written(",").encode("utf-16-le"), "UTF-16 without its mark"),
        (b"\xff\xfe\x00", "The file is not UTF-16, as its first bytes say."),
        (b"PK\x03\x04\x00\x00", "NUL characters"),
        (b"sep=;\n", "has no column"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_was_found(content: bytes, words: str) -> None:
    with pytest.raises(BadFile) as error:
        importing.check(content)
    assert words in str(error.value)


def warnings(row: str) -> list[str]:
    (found,) = importing.check(f"model,version,target,from,until,note\n{row}\n".encode()).rows
    assert found.is_accepted, found.reason
    return found.warnings


@pytest.fixture
def churn() -> None:
    for _ in range(7):
        make_version("churn", created_at=datetime(2025, 3, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("churn,99,Production,2025-04-01,2025-05-01,", "MLflow's highest version of this model is 7."),
        (
            "churn,3,Production,2019-04-01,2019-05-01,",
            "MLflow registered version 3 only at 2025-03-01 00:00:00 UTC.",
        ),
        ("churn,3,Production,2025-04-01,2025-05-01,by \u202emoc", "It has invisible characters: U+202E."),
        ("churn,3,Production,2025-04-01,2025-05-01,a\u200bb", "It has invisible characters: U+200B."),
    ],
)
def test_what_is_impossible_beside_mlflow_or_hidden_is_warned_of(churn: None, row: str, words: str) -> None:
    assert warnings(row) == [words]


def test_what_fits_has_no_warning(churn: None) -> None:
    assert warnings("churn,3,Production,2025-03-02,2025-05-01,Müller") == []


def test_a_hidden_character_in_the_name_of_a_model_is_warned_of(churn: None) -> None:
    assert warnings("ch\u202eurn,3,Production,2025-04-01,2025-05-01,") == ["It has invisible characters: U+202E."]


def test_page_and_command_show_the_warning_at_its_row(
    churn: None, ada: User, client: Client, tmp_path: Any, capsys: Any
) -> None:
    content = (
        b"model,version,target,from,until\nchurn,99,Production,2025-04-01,2025-05-01\n"
        b"churn,3,Staging,2025-04-01,2025-05-01\n"
    )
    client.force_login(ada)
    sent = client.post("/history/import/", {"file": SimpleUploadedFile("old.csv", content)})
    html = client.get(sent["Location"]).content.decode()
    assert html.count("Check this") == 1
    assert "1 of them does not match MLflow" in text_of(html)
    assert "highest version of this model is 7" in html
    only = client.get(f"{sent['Location']}&show=odd").content.decode()
    assert only.count("<tr data-item>") == 1
    file = tmp_path / "old.csv"
    file.write_bytes(content)
    call_command("import_history", str(file))
    assert "Line 2: warning: MLflow's highest version of this model is 7." in capsys.readouterr().err
    assert Tenure.objects.filter(origin="imported", version_number=99).exists()
