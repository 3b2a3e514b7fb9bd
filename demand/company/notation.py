"""Yarn texts as the trade writes them -> size, fibres, processes and colour; what cannot be read is null, and why.

Sizes. Three numbers: the one up to 6 is the ply, the others are denier and filaments in that order (`1/300/144`,
`150/1/48`, `150/48/1`). Two numbers: the second is the ply when it is up to 6 (`30/1`: count and ply), else filaments
(`150/48`: denier and filaments). One number with its unit: `40D`, `70 denier`, `30s`, `30 Ne`. A small number before a
large one (`2/30`) is ply and count where the text says that the yarn is spun, and unreadable elsewhere: no filament
yarn is that fine. A number of denier goes with filament yarn, a count with spun yarn; a text that says both things is
not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from demand.company.fibres import Blend, BlendReader

MOST_PLY = 6
FINEST_DENIER = 8.0  # below it no yarn is made: such a number is something else
UNKNOWN, FILAMENT, SPUN = 0, 1, 2
NO_SIZE = "no size in the text"
_BETWEEN = "\x1f"  # between the texts of one yarn: no file holds it
CONSTRUCTIONS = ("unknown", "filament", "spun")
# In the order of `Readings.processes`; the first seven are what the quality score compares.
PROCESSES: Mapping[str, str] = {
    "textured": r"\b(DTY|TEXTURED|TXT|TEXT|ATY)\b",
    "ring_spun": r"\b(RING\s*SPUN|RINGSPUN|RING|R/S)\b",
    "open_end": r"\b(OPEN\s*END|OPENEND|O/E|OE|ROTOR)\b",
    "combed": r"\b(COMBED|CMBD|COMB)\b",
    "carded": r"\b(CARDED|CARD)\b",
    "organic": r"\b(ORGANIC|ORG)\b",
    "recycled": r"\b(RECYCLED|RECYC|REC|RPET|REPREVE|GRS)\b",
}
# Name -> other spellings; repeated in conf/substitution, where they are changed.
COLORS: Mapping[str, tuple[str, ...]] = {
    "NATURAL": ("NAT", "SEMIDULL", "SD", "RAW", "GREIGE", "ECRU"),
    "BLACK": ("BLK", "BLAK"),
    "WHITE": ("WHT", "OPTICAL WHITE"),
    "GREY": ("GRAY", "GRY"),
    "BLUE": ("BLU",),
    "RED": (),
    "NAVY": ("NVY", "NAVY BLUE"),
    "BRIGHT": ("BRT", "BR"),
    "FULL DULL": ("FULLDULL", "FD"),
}
_SPUN_WORDS = (
    r"\b(RING\s*SPUN|RINGSPUN|RING|R/S|OPEN\s*END|OE|O/E|ROTOR|COMBED|CARDED|SPUN|STAPLE|MJS|MVS|VORTEX|AIR\s*JET"
    r"|COMPACT|SIRO)\b"
)
_FILAMENT_WORDS = r"\b(DTY|FDY|POY|ATY|TEXTURED|TXT|FILAMENT|FIL|MONOFILAMENT|MONO|FLAT)\b"
_SIZES = re.compile(
    r"(?<![\d./])(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)(?:\s*/\s*(\d+(?:\.\d+)?))?(?![\d./]|\s*/\s*\d|\s*%)"
)
_TOO_MANY = re.compile(r"\d\s*/\s*\d+(?:\.\d+)?\s*/\s*\d+(?:\.\d+)?\s*/\s*\d")
_DENIER = re.compile(r"(?<![\d./])(\d+(?:\.\d+)?)\s*(?:DENIER|DEN|DNR|D)\b(?!\s*/)")
_COUNT = re.compile(r"(?<![\d./])(?:NE\s*(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?)\s*(?:'S|’S|S|NE)\b)(?!\s*/)")


class Size(NamedTuple):
    """total: denier x ply of filament yarn, count / ply of spun yarn; NaN with `why` where it cannot be read."""

    construction: int
    ply: float
    fineness: float  # denier of a ply, or the count
    filaments: float
    total: float
    why: str


@dataclass(frozen=True, eq=False)
class Readings:
    """What N texts say; nothing in it is guessed.

    construction [N]: UNKNOWN, FILAMENT or SPUN. ply, fineness, filaments, total [N]: float, NaN = not stated or not
    readable; total is denier (filament) or count (spun). family [N]: the primary fibre, "" = not readable. share [N]:
    its percentage, NaN = not stated. fibres [N]: the whole blend in words. processes [N, 7]: bool, in the order of
    PROCESSES. color [N]: normalised, "" = not stated. size_why, blend_why [N]: why something is null, "" = it was read.
    """

    construction: NDArray[np.int8]
    ply: NDArray[np.float64]
    fineness: NDArray[np.float64]
    filaments: NDArray[np.float64]
    total: NDArray[np.float64]
    family: NDArray[np.object_]
    share: NDArray[np.float64]
    fibres: NDArray[np.object_]
    processes: NDArray[np.bool_]
    color: NDArray[np.object_]
    size_why: NDArray[np.object_]
    blend_why: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.total)

    def words(self) -> list[str]:
        """Each reading in words, as it is shown beside the text it was read from."""
        return [_in_words(self, i) for i in range(len(self))]

    def counts(self) -> dict[str, int]:
        """How many were read, and how many not, by reason: {yarns, sizes_read, blends_read, colors_stated, ..}."""
        found = {
            "yarns": len(self),
            "sizes_read": int((~np.isnan(self.total)).sum()),
            "blends_read": int((self.family != "").sum()),
            "colors_stated": int((self.color != "").sum()),
        }
        for name, reasons in (("size", self.size_why), ("blend", self.blend_why)):
            said, n = np.unique(reasons[reasons != ""].astype(str), return_counts=True)
            found |= {f"{name}: {why}": int(count) for why, count in zip(said, n, strict=True)}
        return found


def read_yarns(
    description: pd.Series,
    blend: pd.Series,
    kind: pd.Series,
    color: pd.Series,
    colors: Mapping[str, Iterable[str]],
    fibres: Mapping[str, Iterable[str]],
) -> Readings:
    """The readings of N yarns; every distinct text is read once.

    description, blend, kind, color [N]: texts, "" = not stated. colors, fibres: canonical name -> other spellings. The
    size is looked for in the description, then in the type; the blend and the colour in their own columns, then in the
    description, where a colour is a word of the table and all such words must mean the same.
    """
    said, mixed, made_as = (
        column.astype(str).str.replace(_BETWEEN, " ", regex=False).to_numpy(dtype=object)
        for column in (description, blend, kind)
    )
    joined = said + _BETWEEN + mixed + _BETWEEN + made_as
    codes, texts = pd.factorize(joined)
    distinct = [str(text).split(_BETWEEN) for text in texts]
    reader = BlendReader.of(fibres)
    sizes: list[Size] = []
    blends: list[Blend] = []
    for text, blend_text, type_ in distinct:
        read = reader.read(blend_text)
        if not read.family:
            other = reader.read(text)
            read = other if other.family or not blend_text.strip() else read
        blends.append(read)
        size = read_size(reader.without_shares(text), f"{text} {blend_text} {type_}", read.staple)
        if size.why == NO_SIZE and type_.strip():
            size = read_size(reader.without_shares(type_), f"{text} {blend_text} {type_}", read.staple)
        sizes.append(size)
    whole = pd.Series([" | ".join(parts).upper() for parts in distinct], dtype=object)
    made = np.column_stack([whole.str.contains(pattern).to_numpy(bool) for pattern in _PROCESS_PATTERNS])
    numbers = np.array([size[:5] for size in sizes], dtype=np.float64).reshape(-1, 5)
    return Readings(
        construction=numbers[codes, 0].astype(np.int8), ply=numbers[codes, 1], fineness=numbers[codes, 2],
        filaments=numbers[codes, 3], total=numbers[codes, 4],
        family=_texts([one.family for one in blends])[codes],
        share=np.array([one.share for one in blends], dtype=np.float64)[codes],
        fibres=_texts([one.words for one in blends])[codes], processes=made.reshape(-1, len(PROCESSES))[codes],
        color=_color_or_said(color, description, colors), size_why=_texts([size.why for size in sizes])[codes],
        blend_why=_texts([one.why for one in blends])[codes],
    )  # fmt: skip


_PROCESS_PATTERNS = [re.compile(pattern.replace("(", "(?:", 1)) for pattern in PROCESSES.values()]


def read_size(text: str, evidence: str = "", staple: bool = False) -> Size:
    """The size in a text without its shares of fibres. evidence: all that is said of the yarn; staple: whether its
    main fibre is only ever spun (cotton, wool)."""
    said, evidence = text.upper(), f"{text} {evidence}".upper()
    spun = staple or bool(re.search(_SPUN_WORDS, evidence))
    filament = bool(re.search(_FILAMENT_WORDS, evidence))
    if _TOO_MANY.search(said):
        return _unread("more than three numbers")
    found = {_of_numbers(tuple(float(n) for n in match if n), spun) for match in _SIZES.findall(said)}
    found |= {_filament(1.0, float(n), float("nan")) for n in _DENIER.findall(said)}
    found |= {_spun(float(a or b), 1.0) for a, b in _COUNT.findall(said)}
    if not found:
        return _unread(NO_SIZE)
    read = [size for size in found if not size.why]
    totals = {(size.construction, size.total) for size in read}
    if not read:
        return min(found, key=lambda size: size.why)
    if len(totals) > 1 or len(read) < len(found):
        return _unread("several sizes in one text")
    size = max(read, key=lambda one: not np.isnan(one.filaments))
    if size.construction == SPUN and filament and not spun:
        return _unread("a count, but the text says filament")
    if size.construction == FILAMENT and spun and not filament:
        return _unread("denier, but the text says spun")
    return size


def _color_or_said(color: pd.Series, description: pd.Series, table: Mapping[str, Iterable[str]]) -> NDArray[np.object_]:
    """[N] the colour of its column, normalised; where that is blank the one that the description names, if one."""
    found = normal_colors(color, table)
    silent = np.flatnonzero(found == "")
    spelt = sorted({one.upper() for name, others in table.items() for one in (name, *others)}, key=len, reverse=True)
    if not len(silent) or not spelt:
        return found
    word = re.compile(r"(?<![A-Z0-9])(?:" + "|".join(map(re.escape, spelt)) + r")(?![A-Z0-9])")
    known = _known_colors(table)
    codes, texts = pd.factorize(description.astype(str).to_numpy(dtype=object)[silent])
    said = []
    for text in texts:
        meant = {known[_bare(one)] for one in word.findall(str(text).upper())}
        said.append(meant.pop() if len(meant) == 1 else "")
    found[silent] = _texts(said)[codes]
    return found


def _known_colors(table: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Each spelling -> the colour it means, both bare."""
    return {_bare(other): _bare(name) for name, others in table.items() for other in (name, *others)}


def normal_colors(color: pd.Series, table: Mapping[str, Iterable[str]]) -> NDArray[np.object_]:
    """[N] normalised colours: letters and digits alone, in capitals, by the table where it knows them; "" = not stated.

    A colour of several words that all mean the same in the table (`Natural semi-dull`) is that one.
    """
    known = _known_colors(table)
    codes, distinct = pd.factorize(color.astype(str))
    normal = []
    for text in distinct:
        whole = _bare(text)
        words = {known.get(_bare(word)) for word in re.split(r"[\s/,+-]+", text) if _bare(word)}
        (single,) = words if len(words) == 1 else (None,)
        normal.append(known.get(whole) or single or whole)
    return _texts(normal)[codes]


def _of_numbers(numbers: tuple[float, ...], spun: bool) -> Size:
    if len(numbers) == 3:
        small = [at for at, n in enumerate(numbers) if n <= MOST_PLY]
        if len(small) != 1:
            return _unread("of three numbers not one alone is a ply")
        denier, filaments = (n for at, n in enumerate(numbers) if at != small[0])
        return _filament(numbers[small[0]], denier, filaments)
    first, second = numbers
    if second <= MOST_PLY:
        return _spun(first, second)
    if first <= MOST_PLY:
        return _spun(second, first) if spun else _unread("ply and count, or denier and filaments?")
    return _filament(1.0, first, second)


def _filament(ply: float, denier: float, filaments: float) -> Size:
    if not _whole(ply) or denier < FINEST_DENIER or filaments == 0:
        return _unread("numbers that make no yarn")
    return Size(FILAMENT, ply, denier, filaments, ply * denier, "")


def _spun(count: float, ply: float) -> Size:
    if not _whole(ply) or count <= 0:
        return _unread("numbers that make no yarn")
    return Size(SPUN, ply, count, float("nan"), count / ply, "")


def _whole(ply: float) -> bool:
    return ply >= 1 and ply == int(ply)


def _unread(why: str) -> Size:
    nothing = float("nan")
    return Size(UNKNOWN, nothing, nothing, nothing, nothing, why)


def _bare(text: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", str(text).upper())


def _texts(values: list[str]) -> NDArray[np.object_]:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _in_words(read: Readings, i: int) -> str:
    parts = []
    if np.isnan(read.total[i]):
        parts.append(f"size not read: {read.size_why[i]}")
    elif read.construction[i] == FILAMENT:
        count = "" if np.isnan(read.filaments[i]) else f", {read.filaments[i]:g} filaments"
        parts.append(f"{read.ply[i]:g} ply of {read.fineness[i]:g} denier{count}")
    else:
        parts.append(f"count {read.fineness[i]:g}, {read.ply[i]:g} ply")
    parts.append(read.fibres[i] or f"fibres not read: {read.blend_why[i]}")
    parts += [name.replace("_", " ") for name, so in zip(PROCESSES, read.processes[i], strict=True) if so]
    return "; ".join([*parts, *([f"colour {read.color[i]}"] if read.color[i] else [])])
