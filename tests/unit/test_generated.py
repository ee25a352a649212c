"""The committed protobuf code is what protoc 3.21 makes of the .proto files, and works with what is installed here."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROTOS = sorted(str(path.relative_to(ROOT).with_suffix("")) for path in ROOT.glob("[nr]*/**/*.proto"))
PROTOC = shutil.which("protoc") or ""


def version() -> str:
    return subprocess.run([PROTOC, "--version"], capture_output=True, text=True, check=True).stdout if PROTOC else ""


@pytest.mark.skipif(" 3.21." not in version(), reason="needs protoc 3.21 (Debian: protobuf-compiler)")
@pytest.mark.parametrize("name", [*PROTOS])
def test_generated_code_is_up_to_date(tmp_path: Path, name: str) -> None:
    command = [PROTOC, f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", f"{name}.proto"]
    subprocess.run(command, cwd=ROOT, check=True)

    for file in (f"{name}_pb2.py", f"{name}_pb2.pyi"):
        assert (tmp_path / file).read_text() == (ROOT / file).read_text(), f"{file} is old: ./run proto"
