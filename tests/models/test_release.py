"""A release is what its manifest says, or it is not read."""

from __future__ import annotations

import hashlib
import json

import pytest

from demand.errors import VersionUnreadable
from models.files import write_arrays, write_json
from models.release import FORMAT, MANIFEST, Release, seal, sha256_of


@pytest.fixture
def folder(tmp_path, small_panel):
    (tmp_path / "models").mkdir()
    write_json(tmp_path / "card.json", {"served": "ensemble"})
    write_arrays(tmp_path / "models" / "a.npz", {"y": small_panel.y})
    return tmp_path


def test_when_sealed_then_the_manifest_names_size_and_hash_of_every_file(folder):
    digest = seal(folder, {"run_id": "r"})
    manifest = json.loads((folder / MANIFEST).read_text())
    assert digest == hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    assert manifest["format"] == FORMAT
    assert manifest["run_id"] == "r"
    assert set(manifest["files"]) == {"card.json", "models/a.npz"}
    for name, fact in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert fact == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_when_opened_then_facts_and_files_are_at_hand(folder):
    seal(folder, {"run_id": "r"})
    release = Release.open(folder, 3)
    assert release.number == 3
    assert release.manifest["run_id"] == "r"
    assert release.json("card.json") == {"served": "ensemble"}
    assert sha256_of(release.file("models/a.npz")) == release.manifest["files"]["models/a.npz"]["sha256"]


def test_when_any_byte_of_any_file_is_flipped_then_it_is_refused(folder):
    seal(folder, {})
    for name in ("card.json", "models/a.npz"):
        whole = (folder / name).read_bytes()
        for position in range(0, len(whole), max(1, len(whole) // 7)):
            changed = bytearray(whole)
            changed[position] ^= 1
            (folder / name).write_bytes(changed)
            with pytest.raises(VersionUnreadable, match="changed after"):
                Release.open(folder, 1)
        (folder / name).write_bytes(whole)
    assert Release.open(folder, 1).number == 1


def test_when_it_is_of_a_newer_format_then_it_is_refused_with_the_expected_one(folder):
    seal(folder, {})
    manifest = json.loads((folder / MANIFEST).read_text())
    write_json(folder / MANIFEST, {**manifest, "format": FORMAT + 1})
    with pytest.raises(VersionUnreadable, match="another format"):
        Release.open(folder, 1)


@pytest.mark.parametrize("manifest", ["[]", "{", '{"format": 1}', '{"format": 1, "files": []}',
                                      '{"format": 1, "files": {"card.json": {}}}'])  # fmt: skip
def test_when_the_manifest_is_not_one_then_it_is_unreadable_and_nothing_else(folder, manifest):
    seal(folder, {})
    (folder / "models" / "a.npz").unlink()
    (folder / MANIFEST).write_text(manifest)
    with pytest.raises(VersionUnreadable):
        Release.open(folder, 1)


def test_when_a_fact_is_not_a_number_then_the_release_is_not_sealed(folder):
    with pytest.raises(ValueError, match="not JSON compliant"):
        seal(folder, {"wape": float("nan")})
