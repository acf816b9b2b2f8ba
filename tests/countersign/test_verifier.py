"""The verifier is Countersign's own file, by a link; what is built from the package has it whole."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from countersign import verifier

from registry_ui.demo.installation import ROOT

OWN = ROOT / "approvals" / "ledger" / "standalone.py"
NAME = "countersign/verifier.py"


def test_the_verifier_is_the_one_of_the_product() -> None:
    assert Path(verifier.__file__).resolve() == OWN


@pytest.mark.slow
@pytest.mark.nodb
def test_the_wheel_and_the_archive_of_sources_have_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT / "packages" / "countersign", check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    (sources,) = tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as built:
        assert built.read(NAME) == OWN.read_bytes()
        assert any("countersign = countersign.cli:main" in built.read(name).decode() for name in built.namelist())
    with tarfile.open(sources) as packed:
        (member,) = [each for each in packed.getmembers() if each.name.endswith(NAME)]
        found = packed.extractfile(member)
        assert member.isfile()
        assert found
        assert found.read() == OWN.read_bytes()
