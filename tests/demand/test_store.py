"""A panel on disk: the same to the bit, in buckets, whole or absent, and never silently damaged."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand import durable
from demand.errors import SchemaError, SettingsError, StorageError
from demand.panel import Panel
from demand.store import MANIFEST, bucket_of, panel_hash, read_panel, stored_panel, write_panel
from tests.strategies import panels


def assert_equal_to_the_bit(left: Panel, right: Panel) -> None:
    assert (left.end, left.freq, left.ahead, left.unit) == (right.end, right.freq, right.ahead, right.unit)
    assert left.ids.tolist() == right.ids.tolist()
    assert left.indptr.tolist() == right.indptr.tolist()
    assert left.y.tobytes() == right.y.tobytes()
    for group in ("past", "future"):
        ours, theirs = getattr(left, group), getattr(right, group)
        assert list(ours) == list(theirs)
        assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)
    assert list(left.static) == list(right.static)
    for name, values in left.static.items():
        assert values.dtype == right.static[name].dtype
        assert repr(values.tolist()) == repr(right.static[name].tolist())  # repr: NaN equals NaN, 1 is not 1.0


def with_static(panel: Panel, **static: np.ndarray) -> Panel:
    return replace(panel, static=static)


def every_kind_of_static(n: int) -> dict[str, np.ndarray]:
    mixed = np.array([None, "rib", 3, 2.5, True, float("nan")] * n, dtype=object)[:n]
    dates = np.array(["2020-02-29", "NaT"] * n, dtype="datetime64[ns]")[:n]
    return {
        "mixed": mixed,
        "launch": dates,
        "day": dates.astype("datetime64[D]"),
        "small": np.arange(n, dtype=np.int16),
        "share": np.linspace(0, 1, n, dtype=np.float32),
        "active": np.arange(n) % 2 == 0,
        "colour": np.array(["écru", "", "织"] * n)[:n],
    }


@given(panel=panels(), buckets=st.integers(1, 5))
def test_when_a_panel_is_stored_then_it_comes_back_to_the_bit_whole_and_by_bucket(panel, buckets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    stored_hash = write_panel(panel, folder, buckets)
    whole = read_panel(folder)
    assert_equal_to_the_bit(whole, panel)
    assert stored_hash == panel_hash(panel) == panel_hash(whole) == stored_panel(folder).data_hash
    seen = []
    for k in range(buckets):
        part = read_panel(folder, k)
        assert_equal_to_the_bit(part, panel.take(np.flatnonzero(bucket_of(panel.ids, buckets) == k)))
        seen += part.ids.tolist()
    assert sorted(seen) == panel.ids.tolist()


@pytest.mark.parametrize("buckets", [1, 3, 40])
def test_when_static_columns_are_of_every_kind_then_they_keep_type_and_values(small_panel, tmp_path, buckets):
    panel = with_static(small_panel, **every_kind_of_static(small_panel.n_series))
    write_panel(panel, tmp_path, buckets)
    assert_equal_to_the_bit(read_panel(tmp_path), panel)


def test_when_there_are_no_series_then_the_empty_panel_comes_back(small_panel, tmp_path):
    empty = small_panel.take([])
    write_panel(empty, tmp_path, 2)
    assert_equal_to_the_bit(read_panel(tmp_path), empty)


@pytest.mark.parametrize(
    "values", [np.array([{"a": 1}] * 12, dtype=object), np.zeros(12, complex), np.zeros(12, "m8[ns]")]
)
def test_when_a_static_column_cannot_be_stored_then_it_is_named_and_nothing_is_written(small_panel, tmp_path, values):
    folder = tmp_path / "store"
    with pytest.raises(SchemaError, match="'odd'"):
        write_panel(with_static(small_panel, odd=values), folder)
    assert not folder.exists()


# ---- the hash -----------------------------------------------------------------------------------------------------


def test_when_only_the_form_differs_then_the_hash_is_the_same(small_panel):
    base = replace(
        with_static(small_panel, gauge=np.arange(12), colour=np.array(["a", "b"] * 6)),
        past={"price": np.ones(len(small_panel.y)), "stock": np.zeros(len(small_panel.y))},
    )
    other_nan = np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\xff", dtype="<f8")[0]
    small = np.arange(12, dtype=np.int16)
    y, y_again = base.y.copy(), base.y.copy()
    y[0], y_again[0] = np.nan, other_nan
    assert y.tobytes() != y_again.tobytes()
    same = [
        (base, replace(base, ids=base.ids.astype("<U300"))),
        (base, replace(base, past=dict(reversed(base.past.items())))),
        (base, replace(base, static={"colour": base.static["colour"].astype(object), "gauge": small})),
        (base, replace(base, y=np.where(base.y == 0, -0.0, base.y))),
        (replace(base, y=y), replace(base, y=y_again)),
    ]  # fmt: skip
    for left, right in same:
        assert panel_hash(left) == panel_hash(right)


def test_when_anything_the_panel_says_differs_then_the_hash_differs(small_panel):
    n, length = small_panel.n_series, len(small_panel.y)
    base = replace(
        with_static(small_panel, gauge=np.arange(n)),
        past={"price": np.ones(length)},
        future={"holiday": np.zeros(length + 2 * n)},
        ahead=2,
    )
    one_bit = base.y.copy()
    one_bit[3] = np.nextafter(one_bit[3], 1e9)
    lengths = base.lengths.copy()
    lengths[[0, 1]] += [-1, 1]
    others = [
        replace(base, y=one_bit),
        replace(base, end=base.end + 1),
        replace(base, freq="B"),
        replace(base, unit="kg"),
        replace(base, ids=np.char.add(base.ids, "x")),
        replace(base, indptr=np.concatenate([[0], np.cumsum(lengths)])),
        replace(base, past={"paid": base.past["price"]}),
        replace(base, past={"price": base.past["price"] * 2}),
        replace(base, past={}, static={**base.static, "price": np.ones(n)}),
        replace(base, future={"holiday": np.ones(length + 2 * n)}),
        replace(base, static={"gauge": np.arange(n) + 1}),
        replace(base, static={"gauge": np.arange(n).astype(str)}),
        replace(base, static={"gauge": np.arange(n, dtype=float)}),
        base.take(np.arange(n - 1)),
    ]
    hashes = [panel_hash(panel) for panel in [base, *others]]
    assert len(set(hashes)) == len(hashes)


def test_when_the_code_changes_then_the_hash_of_the_same_panel_must_not():
    panel = Panel(
        np.array(["A/1", "é"]), np.array([0, 2, 3]), np.array([1.5, np.nan, 0.0]), 19_000, "D",
        static={"gauge": np.array([24, 28])}, unit="yds",
    )  # fmt: skip
    assert panel_hash(panel) == "01ef0b944713d10a646d8cbe2b0ac02aefaf8f5a78d603f7f131509b5d8a2add"


# ---- buckets ------------------------------------------------------------------------------------------------------


def test_when_ids_are_put_into_buckets_then_the_crc_of_their_text_decides_on_every_machine():
    ids = np.array(["A/1", "ABC1234/1", "é织"])
    assert bucket_of(ids, 7).tolist() == [zlib.crc32(str(name).encode()) % 7 for name in ids]
    assert bucket_of(np.array(["123456789"]), 2**33).tolist() == [0xCBF43926]  # the check value of CRC-32
    many = bucket_of(np.array([f"KB{i}/1" for i in range(8000)]), 8)
    assert np.bincount(many).min() > 800


def test_when_a_bucket_is_out_of_range_then_it_is_refused(small_panel, tmp_path):
    with pytest.raises(SettingsError, match="at least one bucket"):
        write_panel(small_panel, tmp_path, 0)
    write_panel(small_panel, tmp_path, 2)
    for bucket in (-1, 2):
        with pytest.raises(SettingsError, match="no such bucket"):
            read_panel(tmp_path, bucket)


# ---- whole or absent, and never silently damaged --------------------------------------------------------------------


def test_when_a_panel_is_replaced_then_only_the_new_one_is_left(small_panel, weekly_panel, tmp_path):
    write_panel(small_panel, tmp_path, 4)
    write_panel(weekly_panel, tmp_path, 2)
    assert_equal_to_the_bit(read_panel(tmp_path), weekly_panel)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [MANIFEST, *(name for name, _ in stored_panel(tmp_path).files)]
    )


def test_when_the_same_panel_is_written_again_then_the_files_are_the_same(small_panel, tmp_path):
    write_panel(small_panel, tmp_path, 3)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    write_panel(small_panel, tmp_path, 3)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("replaces_before_failure", range(4))
def test_when_writing_stops_at_any_step_then_the_old_panel_is_still_there(
    small_panel, weekly_panel, tmp_path, monkeypatch, replaces_before_failure
):
    write_panel(weekly_panel, tmp_path, 2)
    real, calls = durable.os.replace, []

    def failing(source, target):
        if len(calls) == replaces_before_failure:
            raise OSError(28, "No space left on device")
        calls.append(target)
        real(source, target)

    monkeypatch.setattr(durable.os, "replace", failing)
    with pytest.raises(StorageError, match="No space left"):
        write_panel(small_panel, tmp_path, 3)  # three buckets, then the manifest
    assert_equal_to_the_bit(read_panel(tmp_path), weekly_panel)
    assert not list(tmp_path.glob("*.part"))
    monkeypatch.undo()
    write_panel(small_panel, tmp_path, 3)
    assert_equal_to_the_bit(read_panel(tmp_path), small_panel)


def test_when_the_panel_is_replaced_during_a_read_then_the_new_one_is_read(
    small_panel, weekly_panel, tmp_path, monkeypatch
):
    from demand import store

    write_panel(small_panel, tmp_path)
    real, calls = store.stored_panel, []

    def replaced_after_first_look(folder):
        found = real(folder)
        calls.append(folder)
        if len(calls) == 1:
            monkeypatch.setattr(store, "stored_panel", real)
            write_panel(weekly_panel, tmp_path)
        return found

    monkeypatch.setattr(store, "stored_panel", replaced_after_first_look)
    assert_equal_to_the_bit(read_panel(tmp_path), weekly_panel)
    assert len(calls) == 1


def test_when_nothing_is_stored_then_the_error_says_where(tmp_path):
    with pytest.raises(StorageError, match="no stored panel"):
        read_panel(tmp_path / "nowhere")


@pytest.mark.parametrize("seed", range(12))
def test_when_one_byte_of_any_file_changes_then_reading_fails(small_panel, tmp_path, seed):
    write_panel(small_panel, tmp_path, 2)
    rng = np.random.default_rng(seed)
    for path in sorted(tmp_path.iterdir()):
        content = bytearray(path.read_bytes())
        at = int(rng.integers(len(content)))
        if path.name == MANIFEST:  # white space between values may change without changing what is said
            at = content.index(b'"end"') + 7
        content[at] ^= 1
        original = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(StorageError, match="damaged"):
            read_panel(tmp_path)
        path.write_bytes(original)
    assert_equal_to_the_bit(read_panel(tmp_path), small_panel)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"panel": 1, "sha256": "x"}', b"\xff\xfe", b'"panel"', b"null"]
)
def test_when_the_manifest_is_not_one_then_reading_fails_and_writing_repairs(small_panel, tmp_path, content):
    write_panel(small_panel, tmp_path)
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(StorageError, match="damaged"):
        read_panel(tmp_path)
    write_panel(small_panel, tmp_path)
    assert_equal_to_the_bit(read_panel(tmp_path), small_panel)


def test_when_a_file_is_gone_then_reading_fails_and_names_it(small_panel, tmp_path):
    write_panel(small_panel, tmp_path, 2)
    name, _ = stored_panel(tmp_path).files[1]
    (tmp_path / name).unlink()
    with pytest.raises(StorageError, match=name):
        read_panel(tmp_path)
    assert read_panel(tmp_path, 0).n_series > 0


def test_when_the_format_is_of_another_version_then_it_is_refused(small_panel, tmp_path):
    from demand.store import _seal

    write_panel(small_panel, tmp_path)
    content = json.loads((tmp_path / MANIFEST).read_text())
    facts = {**content["panel"], "format": 99}
    (tmp_path / MANIFEST).write_text(json.dumps({"panel": facts, "sha256": _seal(facts)}))
    with pytest.raises(StorageError, match=r"unknown format.*found=99"):
        read_panel(tmp_path)


def test_when_the_folder_cannot_be_made_then_the_error_is_ours(small_panel, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        write_panel(small_panel, tmp_path / "file")
