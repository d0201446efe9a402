"""Every folder of tests/bad_config: the files of an instance, and exactly what is said about them.

`REVSCRIPT_GOLDEN=1 pytest tests/config` rewrites the expectations; the diff is the review.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.config.instances import ROOT, environ_of, instance_of, snapshot_of

GOLDEN = bool(os.environ.get("REVSCRIPT_GOLDEN"))
CASES = sorted(path for path in (ROOT / "tests" / "bad_config").iterdir() if path.is_dir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_findings_are_exact(case: Path, tmp_path: Path) -> None:
    snapshot = snapshot_of(instance_of(case, tmp_path), environ_of(case))
    said = "".join(f"{finding.severity}: {finding}\n" for finding in snapshot.findings)
    if GOLDEN:
        (case / "expected.txt").write_text(said)
    assert said == (case / "expected.txt").read_text()
    assert "hunter2" not in said + repr(snapshot)
    for error in snapshot.errors:  # a file with an error is not used, but where only its script is missing
        if error.file.startswith("accounts/") and error.place != "methods.script.file":
            assert Path(error.file).stem not in snapshot.accounts
