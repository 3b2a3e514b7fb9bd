"""Text cells to text and numbers: whole columns at once, each distinct text only once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from demand.errors import SHOWN
from demand.panel import Floats, Ints

Bools = NDArray[np.bool_]
Decimal = Literal[".", ","]

LARGEST = 1e15  # beyond this a demand is a broken cell, and sums of it lose whole units
_UNITS = r"(?:yds?|yards?|lbs?|kgs?|ea|each|pcs?|pieces?|m|mtrs?|rolls?|units?)\.?"
_NUMBER = (
    r"^(?P<open>\(?)\s*(?P<sign>[-+\x{2212}]?)\s*[$\x{20AC}\x{A3}]?\s*(?P<sign2>[-\x{2212}]?)\s*"
    r"(?P<digits>(?:\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)"
    rf"\s*(?P<close>\)?)(?P<after>-?)\s*(?:{_UNITS}|\({_UNITS}\))?$"
)
_NUMBER_COMMA = _NUMBER.replace("(?:,", "(?:\\.").replace(r"(?:\.\d*)", r"(?:,\d*)").replace(r"|\.\d+)", r"|,\d+)")
NOTHING = r"(?i)^(?:|-|--|nan|na|n/a|#n/a|null|none|nil)$"
_ACCOUNTING_ZERO = r"^[$\x{20AC}\x{A3}]\s*-$"  # spreadsheets show a zero amount as "$ -"


@dataclass(frozen=True, eq=False)
class Numbers:
    """A parsed numeric column of n rows.

    values      [n]  float64, NaN where the cell is blank or not a number
    blank       [n]  nothing in the cell (also `-`, NA, NaN, null)
    unreadable  [n]  something in the cell that is not a finite number below 1e15
    words       text -> rows, of the unreadable cells, most frequent first
    """

    values: Floats
    blank: Bools
    unreadable: Bools
    words: dict[str, int]


def is_text(column: pa.ChunkedArray) -> bool:
    """Whether the column holds text (also as a dictionary)."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column as text; whole floats without a fraction, missing values as null."""
    if is_text(column):
        return column
    if pa.types.is_floating(column.type):
        values = column.to_numpy()
        whole = np.isfinite(values) & (values == np.trunc(values)) & (np.abs(values) < 2**53)
        texts = pc.cast(column, pa.string())
        integers = pa.array(np.where(whole, values, 0).astype(np.int64)).cast(pa.string())
        return pa.chunked_array([pc.if_else(pa.array(whole), integers, texts.combine_chunks())])
    if pa.types.is_binary(column.type) or pa.types.is_nested(column.type):
        return pa.chunked_array([pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())])
    return pc.cast(column, pa.string())


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece. Encoding it chunk by chunk would build every dictionary anew, in quadratic time."""
    if column.num_chunks == 1:
        return column.chunk(0)
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks == 1 else pa.concat_arrays(whole.cast(pa.large_string()).chunks)
    return whole


def codes_of(column: pa.ChunkedArray) -> Ints:
    """A number for each cell [n], equal where the cells are equal; missing cells are equal to each other."""
    plain = as_text(column) if pa.types.is_nested(column.type) else column
    if pa.types.is_dictionary(plain.type):
        plain = plain.cast(plain.type.value_type)
    encoded = one_array(plain).dictionary_encode(null_encoding="encode")
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64))


def distinct(column: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """The place of each cell among the distinct trimmed texts [n], and those texts; a missing cell is ""."""
    whole = column.unify_dictionaries() if pa.types.is_dictionary(column.type) else pc.fill_null(as_text(column), "")
    whole = one_array(whole)
    if not pa.types.is_dictionary(whole.type):
        whole = whole.dictionary_encode()
    texts = pc.fill_null(whole.dictionary.cast(pa.string()), "")
    indices = whole.indices
    if indices.null_count:
        texts = pa.concat_arrays([texts, pa.array([""], pa.string())])
        indices = pc.fill_null(indices.cast(pa.int64()), len(texts) - 1)
    return indices.to_numpy(zero_copy_only=False).astype(np.int64), pc.utf8_trim_whitespace(texts)


def without_html(texts: pa.Array) -> pa.Array:
    """Cells without tags; an on/off switch or a check box becomes "1" or "0"."""
    if not pc.any(pc.match_substring(texts, "<")).as_py():
        return texts
    return pa.array([_plain(text) if "<" in text else text for text in texts.to_pylist()], pa.string())


def _plain(text: str) -> str:
    if re.search(r"checkbox|switch|toggle", text, re.I):
        on = re.search(r"\bchecked\b|toggle-on|switch-on|[\"' ]on[\"' ]", text, re.I)
        return "1" if on else "0"
    return re.sub(r"<[^<>]*>", "", text).strip()


def parse_numbers(column: pa.ChunkedArray, decimal: Decimal = ".") -> Numbers:
    """The numbers of a column: currency, thousands separators, (negatives), trailing signs and units are understood.

    `decimal="," reads `1.234,50`. A percent sign is not understood: whether 12% means 12 or .12 is not in the cell.
    """
    kind = column.type
    if (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    ):
        values = pc.cast(column, pa.float64(), safe=False).to_numpy().astype(np.float64)
        blank = np.isnan(values)
        wrong = ~blank & ~(np.abs(values) < LARGEST)
        words = {str(value): int((values == value).sum()) for value in np.unique(values[wrong])[:SHOWN]}
        return Numbers(np.where(wrong, np.nan, values), blank, wrong, words)
    codes, texts = distinct(column)
    values, nothing = read_numbers(texts, decimal)
    unreadable = np.isnan(values) & ~nothing
    counts = np.bincount(codes, minlength=len(texts))
    worst = sorted(np.flatnonzero(unreadable & (counts > 0)), key=lambda at: -counts[at])
    words = {texts[int(at)].as_py(): int(counts[at]) for at in worst}
    return Numbers(values[codes], nothing[codes], unreadable[codes], words)


def read_numbers(texts: pa.Array, decimal: Decimal = ".") -> tuple[Floats, Bools]:
    """The number in each trimmed text [n] (NaN when there is none) and whether the text says "nothing" [n]."""
    texts = without_html(texts)
    nothing = pc.match_substring_regex(texts, NOTHING).to_numpy(zero_copy_only=False)
    parts = pc.extract_regex(texts, _NUMBER if decimal == "." else _NUMBER_COMMA)
    digits = pc.struct_field(parts, "digits")
    if decimal == ".":
        digits = pc.replace_substring(digits, ",", "")
    else:
        digits = pc.replace_substring(pc.replace_substring(digits, ".", ""), ",", ".")
    values = pc.cast(digits, pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)

    def filled(name: str) -> Bools:
        found: Bools = pc.fill_null(pc.not_equal(pc.struct_field(parts, name), ""), False).to_numpy(
            zero_copy_only=False
        )
        return found

    plus = pc.fill_null(pc.equal(pc.struct_field(parts, "sign"), "+"), False).to_numpy(zero_copy_only=False)
    minuses = (filled("sign") & ~plus).astype(int) + filled("sign2") + filled("after") + filled("open")
    # one way to say "negative" at a time: "(-5)" or "-5-" is a broken cell, and so is half a pair of parentheses
    broken = (minuses > 1) | (filled("open") != filled("close")) | ~(np.abs(values) < LARGEST)
    values = np.where(broken, np.nan, np.where(minuses == 1, -values, values))
    zero = pc.match_substring_regex(texts, _ACCOUNTING_ZERO).to_numpy(zero_copy_only=False)
    return np.where(zero, 0.0, values), nothing
