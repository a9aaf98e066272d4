"""Weights in archives of submissions."""

from __future__ import annotations

import zipfile
from pathlib import Path

from fusionbench.submissions.kept_weights import weights_in_archive
from fusionbench.submissions.kinds.base import PackRequest
from fusionbench.submissions.submit import pack_submission
from tests.helpers.reproduction import trained_result


def test_the_weights_of_a_submission_are_those_of_its_run(tmp_path: Path) -> None:
    made = trained_result(tmp_path)
    archive = tmp_path / "submission.zip"
    pack_submission(PackRequest(made.run, archive, title="Mine", submitter="A. Author"))
    (tmp_path / "out").mkdir()
    found = weights_in_archive(archive, tmp_path / "out")
    assert found is not None and found.read_bytes() == (made.run / "weights.safetensors").read_bytes()


def test_other_archives_have_none(tmp_path: Path) -> None:
    for number, files in enumerate(
        [{"a.txt": b""}, {"weights.safetensors": b"no header"}, {"weights.safetensors": b"", "../x": b""}]
    ):
        path, folder = tmp_path / f"{number}.zip", tmp_path / str(number)
        folder.mkdir()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        assert weights_in_archive(path, folder) is None
    assert not (tmp_path / "x").exists()
