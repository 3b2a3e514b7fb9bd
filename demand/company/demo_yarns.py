"""Seeded yarns: what they are physically, and how their maker writes that down, which shows only part of it.

Nothing here is anybody's data. Which yarn may take another's place is decided by what they are, see `compatible`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from demand.panel import Floats, Ints
from demand.parsing import Bools

Texts = NDArray[np.object_]

FIBRES = ("cotton", "polyester", "nylon", "modal", "linen", "wool")
# How blends are spelt; {a}, {b}: percentages, {A}, {B}: the words for fibres.
_BLENDS = ("{a}/{b} {A}/{B}", "{a}% {A} {b}% {B}", "{A}/{B} {a}/{b}", "{a}% {A}/{b}% {B}")
_WORDS = {
    "cotton": ("COTTON", "Cotton", "COT"),
    "polyester": ("POLYESTER", "Polyester", "POLY"),
    "nylon": ("NYLON", "Nylon"),
    "modal": ("MODAL", "Modal"),
    "linen": ("LINEN", "Linen"),
    "wool": ("WOOL", "Wool"),
}
COLOURS = {
    "natural": ("NAT", "NATURAL", "SEMIDULL", "SD"),
    "black": ("BLK", "BLACK"),
    "white": ("WHT", "WHITE"),
    "navy": ("NAVY",),
    "ecru": ("ECRU",),
    "red": ("RED",),
}
_COLOUR_CHANCE = (0.46, 0.18, 0.14, 0.08, 0.08, 0.06)
_DENIERS = (40.0, 70.0, 75.0, 100.0, 150.0, 300.0)
_FILAMENTS = {
    40.0: (24, 34),
    70.0: (34, 48),
    75.0: (36, 72),
    100.0: (48, 96),
    150.0: (36, 48, 144),
    300.0: (72, 96, 144),
}
_COUNTS = (10.0, 16.0, 18.0, 20.0, 24.0, 26.0, 30.0, 40.0)
NE_DENIER = 5315.0  # denier of a cotton count of 1
# share of the first fibre in its blend with the second
_SPUN_BLENDS = (("cotton", "cotton", 1.0), ("cotton", "polyester", 0.6), ("cotton", "polyester", 0.5),
                ("polyester", "cotton", 0.65), ("modal", "cotton", 0.5), ("modal", "modal", 1.0),
                ("linen", "cotton", 0.55), ("polyester", "polyester", 1.0), ("wool", "nylon", 0.8))  # fmt: skip
_FILAMENT_BLENDS = (("polyester", "polyester", 1.0), ("nylon", "nylon", 1.0))
# Process words of a spun yarn; each is one of the qualities that a substitute should share.
_SPINNING = ("RING SPUN", "OPEN END", "COMBED RING SPUN", "CARDED", "COMBED")
_SPECS_PER_YARN = 0.22  # so a specification is offered by four or five mills on average
UNREADABLE = 0.015  # of the yarns have a text without a size or blend


class Spec(NamedTuple):
    """One thing that mills offer."""

    filament: bool
    fibre: str
    second: str
    share: float  # of the first fibre
    fineness: float  # denier of a ply, or the cotton count
    filaments: int
    ply: int
    process: str
    organic: bool
    recycled: bool
    colour: str


@dataclass(frozen=True, eq=False)
class Yarns:
    """N yarns. Physically: composition [N, F] shares of FIBRES, denier [N] in all plies, filament [N], per_filament [N]
    denier of one filament (0: spun), process [N, 7] flags, colour [N] code, twist [N] and dye [N] in standard
    deviations of what mills make (both stand in no file). Written: texts [N] each; price [N] $/lb; supplier [N]."""

    composition: Floats
    denier: Floats
    filament: Bools
    per_filament: Floats
    process: Bools
    colour: Ints
    twist: Floats
    dye: Floats
    supplier: Ints
    price: Floats
    yarn_id: Texts
    description: Texts
    blend: Texts
    type: Texts
    color: Texts

    def __len__(self) -> int:
        return len(self.denier)


def make_yarns(rng: np.random.Generator, n: int, n_suppliers: int) -> Yarns:
    """n yarns, several mills offering nearly the same: weight and blend as stated, twist and dyeing of their own."""
    specs = [_spec(rng, at) for at in range(max(8, round(n * _SPECS_PER_YARN)))]
    chosen = rng.integers(0, len(specs), n)
    picked = [specs[at] for at in chosen]
    # what no text tells differs from mill to mill around the specification's own value
    own = rng.normal(0, 1, (2, len(specs)))
    hidden = 0.8 * own[:, chosen] + 0.6 * rng.normal(0, 1, (2, n))
    fineness = np.array([spec.fineness for spec in picked]) * np.exp(rng.normal(0, 0.012, n))
    filament = np.array([spec.filament for spec in picked])
    ply = np.array([spec.ply for spec in picked])
    denier = np.where(filament, fineness * ply, NE_DENIER / fineness * ply)
    composition = np.zeros((n, len(FIBRES)))
    for row, spec in enumerate(picked):
        composition[row, FIBRES.index(spec.fibre)] += spec.share
        composition[row, FIBRES.index(spec.second)] += 1 - spec.share
    words = [spec.process for spec in picked]
    process = np.array([
        [w == "DTY", "RING" in w, "OPEN" in w, "COMBED" in w, "CARDED" in w, spec.organic, spec.recycled]
        for w, spec in zip(words, picked, strict=True)
    ])  # fmt: skip
    texts = [_texts(rng, spec) for spec in picked]
    lost = rng.random(n) < UNREADABLE
    description = np.array(
        ["ASK MILL" if gone else one[0] for one, gone in zip(texts, lost, strict=True)], dtype=object
    )
    blend = np.array(["" if gone else one[1] for one, gone in zip(texts, lost, strict=True)], dtype=object)
    base_price = 1.4 + 2.6 * composition @ np.array([0.5, 0.25, 0.9, 1.1, 1.4, 3.2])
    price = np.round(base_price * (1 + 40 / denier) * rng.lognormal(0, 0.08, n), 2)
    return Yarns(
        composition=composition, denier=denier, filament=filament,
        per_filament=np.array([s.fineness / s.filaments if s.filaments else 0.0 for s in picked]),
        process=process, colour=np.array([list(COLOURS).index(s.colour) for s in picked]),
        twist=hidden[0], dye=hidden[1], supplier=rng.integers(0, n_suppliers, n), price=price,
        yarn_id=np.array([str(18_000 + at) for at in range(n)], dtype=object), description=description, blend=blend,
        type=np.array([one[2] for one in texts], dtype=object), color=np.array([one[3] for one in texts], dtype=object),
    )  # fmt: skip


def _spec(rng: np.random.Generator, at: int) -> Spec:
    filament = bool(rng.random() < 0.45)
    blends = _FILAMENT_BLENDS if filament else _SPUN_BLENDS
    fibre, second, share = blends[rng.integers(len(blends))]
    colour = str(rng.choice(list(COLOURS), p=_COLOUR_CHANCE))
    if filament:
        denier = float(rng.choice(_DENIERS))
        count = int(rng.choice(_FILAMENTS[denier]))
        process = "DTY" if rng.random() < 0.8 else "FDY"
        return Spec(True, fibre, second, share, denier, count, 1 if rng.random() < 0.85 else 2, process, False,
                    bool(rng.random() < 0.1), colour)  # fmt: skip
    process = str(rng.choice(_SPINNING))
    organic = "cotton" in (fibre, second) and bool(rng.random() < 0.12)
    return Spec(False, fibre, second, share, float(rng.choice(_COUNTS)), 0, 1 if rng.random() < 0.85 else 2, process,
                organic, bool(rng.random() < 0.06), colour)  # fmt: skip


def _texts(rng: np.random.Generator, spec: Spec) -> tuple[str, str, str, str]:
    """(description, blend, type, colour) as one mill writes them."""
    if spec.filament:
        d, f = f"{spec.fineness:g}", spec.filaments
        forms = [f"{spec.ply}/{d}/{f}", f"{d}/{spec.ply}/{f}"] + ([f"{d}/{f}"] if spec.ply == 1 else [])
        size = forms[rng.integers(len(forms))] if rng.random() < 0.6 else forms[0]
    else:
        size = f"{spec.fineness:g}/{spec.ply}"
    blend = _blend(rng, spec)
    flags = [word for word, on in (("ORGANIC", spec.organic), ("RECYCLED", spec.recycled)) if on]
    inside = [blend.upper()] if rng.random() < 0.5 else []
    description = " ".join([size, *inside, spec.process, *flags])
    kinds = {"DTY": ("DTY", "TEXTURED"), "FDY": ("FDY",), "RING SPUN": ("RING SPUN", "RS")}
    kind = kinds.get(spec.process, (spec.process,))
    colour = COLOURS[spec.colour]
    return description, blend, kind[rng.integers(len(kind))], colour[rng.integers(len(colour))]


def _blend(rng: np.random.Generator, spec: Spec) -> str:
    first, second = _WORDS[spec.fibre], _WORDS[spec.second]
    word = first[rng.integers(len(first))]
    if spec.share == 1.0:
        return f"100% {word}"
    a = round(100 * spec.share)
    form = _BLENDS[rng.integers(len(_BLENDS))]
    return form.format(a=a, b=100 - a, A=word, B=second[rng.integers(len(second))])


# ---- who may take whose place -------------------------------------------------------------------------------------

_LIMIT = 2.4
_PROCESS_COST = np.array([2.2, 1.0, 1.0, 0.7, 0.7, 0.5, 0.5])


def strain(yarns: Yarns, a: Ints, b: Ints) -> Floats:
    """How far b is from what a machine and a dye house set up for a can take [P]; each part 1 where trouble begins.

    composition: 5 points of other fibres · weight: 8 % · filament for spun: never · fineness of filaments: a factor of
    1.8 · processes: by which one differs · colour: never, unless b is natural and can still be dyed, at a price · twist
    and dyeing: 2 deviations. Squares of the parts add up.
    """
    fibres = np.abs(yarns.composition[a] - yarns.composition[b]).sum(axis=1) / 2 / 0.05
    weight = np.abs(np.log(yarns.denier[b] / yarns.denier[a])) / 0.08
    kind = 5.0 * (yarns.filament[a] != yarns.filament[b])
    both = (yarns.per_filament[a] > 0) & (yarns.per_filament[b] > 0)
    fine_a, fine_b = (np.where(both, yarns.per_filament[at], 1.0) for at in (a, b))
    fineness = np.abs(np.log(fine_b / fine_a)) / np.log(1.8)
    process = (yarns.process[a] != yarns.process[b]) @ _PROCESS_COST
    natural = list(COLOURS).index("natural")
    colour = np.where(yarns.colour[a] == yarns.colour[b], 0.0, np.where(yarns.colour[b] == natural, 6.0, 9.0))
    hidden = ((yarns.twist[a] - yarns.twist[b]) / 2.0) ** 2 + ((yarns.dye[a] - yarns.dye[b]) / 2.0) ** 2
    total: Floats = fibres**2 + weight**2 + kind**2 + fineness**2 + process + colour + hidden
    return total


def compatible(yarns: Yarns, a: Ints, b: Ints) -> Bools:
    """Whether b may replace a [P]: the strain stays within what the plant bears."""
    return np.asarray(strain(yarns, a, b) <= _LIMIT)


def label_pairs(rng: np.random.Generator, yarns: Yarns, n: int) -> tuple[Ints, Ints]:
    """n different ordered pairs (a, b) that a company would judge: half near each other, the rest further apart."""
    order = np.lexsort((yarns.twist, yarns.denier, yarns.process @ (1 << np.arange(7)), yarns.colour,
                        yarns.composition @ np.arange(1, 7), yarns.filament))  # fmt: skip
    drawn = 2 * n
    place = rng.integers(0, len(yarns), drawn)
    near = rng.geometric(0.3, drawn) * rng.choice((-1, 1), drawn)
    step = np.where(rng.random(drawn) < 0.8, near, rng.integers(1, len(yarns), drawn))
    a, b = order[place], order[(place + step) % len(yarns)]
    pairs = np.unique(np.stack([a, b], axis=1)[a != b], axis=0)
    chosen = rng.permutation(len(pairs))[:n]
    return pairs[chosen, 0], pairs[chosen, 1]
