import pytest
from mlflow_gate import attacks
from mlflow_gate.policy import Sealed
from mlflow_gate.seals import DOCTOR, Seals, climbs, plain

CHURN = Sealed("1/models/m-7e81/artifacts", "churn", 6)
RUN = Sealed("12/3f%20a/artifacts/model", "credit", 2)
SEALS = Seals([CHURN, RUN])


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("1/models/m-7e81/artifacts", CHURN),
        ("1/models/m-7e81/artifacts/", CHURN),
        ("1/models/m-7e81/artifacts/model.pkl", CHURN),
        ("1/models/m-7e81/artifacts/deep/er/model.pkl", CHURN),
        ("/1//models/./m-7e81/artifacts//x", CHURN),
        ("1/%6dodels/m-7e81%2Fartifacts/x", CHURN),
        ("1/%256dodels/m-7e81/artifacts/x", CHURN),
        ("1/models/M-7E81/artifacts/x", CHURN),
        ("12/3f a/artifacts/model/x", RUN),
        ("1/models/m-7e81", None),
        ("1/models/m-7e81/artifacts2/x", None),
        ("1/models/m-7e8/artifacts/x", None),
        ("2/1/models/m-7e81/artifacts/x", None),
        ("", None),
        (attacks.SEALED + "/x", DOCTOR),
        (f"7/{attacks.SEALED}", DOCTOR),
        (f"workspaces/risk/7//{attacks.SEALED.upper()}/x", DOCTOR),
        (f"7/{attacks.SEALED}-of-mine/x", None),
    ],
)
def test_what_a_path_leads_into(path: str, found: Sealed | None) -> None:
    assert SEALS.around(path) is found


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("1", CHURN),
        ("1/", CHURN),
        ("1/models", CHURN),
        ("%31//models", CHURN),
        ("1/models/m-7e81/artifacts", CHURN),
        ("12", RUN),
        ("1/model", None),
        ("1/models/m-7", None),
        ("1/models/m-7e81/artifacts/x", None),
        ("3", None),
    ],
)
def test_what_is_deleted_along_with_a_path(path: str, found: Sealed | None) -> None:
    assert SEALS.below(path) is found


@pytest.mark.parametrize("path", ["", "/", "."])
def test_with_the_root_all_goes(path: str) -> None:
    assert SEALS.below(path) is not None


def test_storage_that_deletes_by_the_first_letters() -> None:
    assert SEALS.below("1/models/m-7", by_letters=True) is CHURN
    assert SEALS.below("1/models/m-8", by_letters=True) is None


def test_the_root_itself_is_never_sealed() -> None:
    """A policy that names it would end all training."""
    seals = Seals([Sealed("", "churn", 6), Sealed("/", "churn", 7)])
    assert seals.around("1/models/m-7e81/artifacts/x") is None


@pytest.mark.parametrize("path", ["..", "a/../b", "a/%2e%2e/b", "a/%252e%252e/b"])
def test_a_path_that_climbs_is_known_as_such(path: str) -> None:
    assert climbs(path)
    assert not climbs("a..b/..c")


def test_one_spelling_is_stable() -> None:
    assert plain(plain("/1/%6Dodels//M-7E81/./")) == plain("1/models/m-7e81")
