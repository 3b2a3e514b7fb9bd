"""Blends as the trade writes them, in hundreds of spellings -> fibre families and their percentages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

# Only ever spun from staple: a count is never its filaments.
STAPLE = frozenset({"cotton", "wool", "linen", "hemp", "cashmere"})
# Family -> other words for it; repeated in conf/substitution, where they are changed.
FIBERS: Mapping[str, tuple[str, ...]] = {
    "cotton": ("COT", "CTN", "COTT", "PIMA", "SUPIMA"),
    "polyester": ("POLY", "POLYEST", "PES", "PET", "PE", "RPET", "REPREVE"),
    "nylon": ("NYL", "NYLN", "POLYAMIDE", "PA", "PA6", "PA66"),
    "rayon": ("RAY", "RYN", "VISCOSE", "VISC", "VIS"),
    "modal": ("MODL", "MICROMODAL"),
    "lyocell": ("LYO", "TENCEL"),
    "wool": ("WL", "MERINO"),
    "acrylic": ("ACR", "ACRY", "PAN"),
    "spandex": ("SPX", "SPAN", "LYCRA", "ELASTANE", "ELASTAN"),
    "linen": ("FLAX", "LIN"),
    "silk": ("SLK",),
    "hemp": (),
    "bamboo": ("BMB",),
    "polypropylene": ("PP", "OLEFIN", "POLYPROP"),
    "acetate": ("ACET", "TRIACETATE"),
    "cashmere": ("CASH",),
}
TOLERANCE = 2.0  # points by which stated percentages may miss 100: they are rounded
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class Blend(NamedTuple):
    """family: the fibre with the largest share, "" = not readable; share: its percentage, NaN = not stated; words: the
    whole blend; why: what could not be read, "" = all was."""

    family: str
    share: float
    words: str
    why: str

    @property
    def staple(self) -> bool:
        return self.family in STAPLE


class BlendReader:
    """Reads blends with one table of fibres.

    `60% Cotton 40% Polyester`, `COTTON 60% POLY 40%`, `55/45 cotton/poly`, `COT/POLY 55/45`, `100% COTTON`. A fibre
    without a percentage is known by name, its share is not. Several fibres without percentages and numbers that do not
    add up to 100 are not read. Of two fibres that hold the largest share alike, the first by name is the family.
    """

    def __init__(self, words: Mapping[str, str]) -> None:
        self._family = dict(words)
        names = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in sorted(words, key=len, reverse=True))
        self._fibre = re.compile(rf"(?<![A-Z])(?:{names})(?![A-Z])")
        number, fibre = r"\d+(?:\.\d+)?\s*%?", rf"(?:[A-Z]+\s+){{0,2}}?(?:{names})(?![A-Z])"
        numbers, fibres = rf"{number}(?:\s*/\s*{number}){{1,4}}", rf"{fibre}(?:\s*[/\-&+,]\s*{fibre}){{1,4}}"
        self._ratio_first = re.compile(rf"(?<![\d/.])({numbers})[\s:,]*({fibres})")
        self._ratio_last = re.compile(rf"(?<![A-Z])({fibres})[\s:,]*({numbers})(?![\d/])")
        self._token = re.compile(
            rf"(?P<percent>(?<![\d.])\d+(?:\.\d+)?\s*%)|(?P<number>(?<![\d./])\d+(?:\.\d+)?(?![\d./]))|(?P<fibre>(?<![A-Z])(?:{names})(?![A-Z]))"
        )

    @staticmethod
    def of(table: Mapping[str, Iterable[str]]) -> BlendReader:
        """From a table of family -> other words for it."""
        return _reader(tuple((word.upper(), family) for family, words in table.items() for word in (family, *words)))

    def read(self, text: str) -> Blend:
        """The blend in a text; sizes in it are passed over."""
        said = text.upper()
        if not said.strip():
            return _unread("no blend in the text")
        ratio = self._ratio(said)
        if ratio is not None:
            return _blend(ratio)
        tokens = [(match.lastgroup or "", match.group()) for match in self._token.finditer(said)]
        fibres = [self._of(word) for group, word in tokens if group == "fibre"]
        if not fibres:
            return _unread("no fibre that is known")
        if not any(group == "percent" for group, _ in tokens):
            # Bare numbers are shares only when each fibre has one before it and they fill up 100.
            pairs = self._paired(tokens, "number")
            if pairs is not None and abs(sum(n for n, _ in pairs) - 100) <= TOLERANCE:
                return _blend(pairs)
            if len(set(fibres)) > 1:
                return _unread("several fibres without percentages")
            return Blend(fibres[0], float("nan"), fibres[0], "the share is not stated")
        pairs = self._paired([token for token in tokens if token[0] != "number"], "percent")
        if pairs is None:
            return _unread("percentages and fibres that do not pair")
        return _blend(pairs)

    def without_shares(self, text: str) -> str:
        """The text with its shares of fibres taken out: `55/45 cotton/poly` is no size."""
        said = text.upper()
        for pattern, numbers in ((self._ratio_first, 1), (self._ratio_last, 2)):
            said = pattern.sub(lambda m, n=numbers: " " if self._is_ratio(m.group(n)) else m.group(), said)  # type: ignore[misc]
        return re.sub(r"(?<![\d./])\d+(?:\.\d+)?\s*%", " ", said)

    def _ratio(self, said: str) -> list[tuple[float, str]] | None:
        """(percentage, fibre) of `55/45 cotton/poly` or `cotton/poly 55/45`; None where there is no such thing."""
        for pattern, shares, names in ((self._ratio_first, 1, 2), (self._ratio_last, 2, 1)):
            for match in pattern.finditer(said):
                fibres = [self._of(word) for word in self._fibre.findall(match.group(names))]
                numbers = [float(n) for n in _NUMBER.findall(match.group(shares))]
                if len(fibres) == len(numbers) and self._is_ratio(match.group(shares)):
                    return list(zip(numbers, fibres, strict=True))
        return None

    def _is_ratio(self, numbers: str) -> bool:
        return abs(sum(float(n) for n in _NUMBER.findall(numbers)) - 100) <= TOLERANCE

    def _paired(self, tokens: list[tuple[str, str]], numbers: str) -> list[tuple[float, str]] | None:
        """Numbers and fibres that alternate, either first; None where they do not."""
        groups = [group for group, _ in tokens]
        if len(groups) % 2 or len({*groups[::2]}) != 1 or len({*groups[1::2]}) != 1 or groups[0] == groups[1]:
            return None
        first = 0 if groups[0] == numbers else 1
        return [
            (float(_NUMBER.findall(tokens[i + first][1])[0]), self._of(tokens[i + 1 - first][1]))
            for i in range(0, len(tokens), 2)
        ]

    def _of(self, word: str) -> str:
        return self._family[re.sub(r"\s+", " ", word)]


@lru_cache(maxsize=8)
def _reader(words: tuple[tuple[str, str], ...]) -> BlendReader:
    return BlendReader(dict(words))


def _blend(pairs: list[tuple[float, str]]) -> Blend:
    shares: dict[str, float] = {}
    for share, family in pairs:
        shares[family] = shares.get(family, 0.0) + share
    if abs(sum(shares.values()) - 100) > TOLERANCE:
        return _unread("percentages that do not add up to 100")
    ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    words = ", ".join(f"{share:g} % {name}" for name, share in ranked)
    return Blend(ranked[0][0], ranked[0][1], words, "")


def _unread(why: str) -> Blend:
    return Blend("", float("nan"), "", why)
