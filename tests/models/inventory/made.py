"""Items for the tests of order quantities, and their slow and obvious twin: a walk over days, paths and quantities."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from models.inventory.items import Items


def items_of(n: int = 1, **given) -> Items:
    """n items with the usual figures; a field may be given as one value or as n."""
    usual = {"position": 0.0, "lead_days": 14, "service": 0.95, "holding": 2.5, "ordering": 100.0, "stockout": 5.0,
             "reliability": 0.95, "lot": 1.0, "moq": 0.0}  # fmt: skip
    columns = {name: np.broadcast_to(np.asarray(value), n).copy() for name, value in (usual | given).items()}
    columns = {name: value.astype(np.int64 if name == "lead_days" else float) for name, value in columns.items()}
    return Items(np.array([f"item{i:03d}" for i in range(n)]), **columns)


@st.composite
def one_item(draw):
    """(an item, its demand a day [S, W]): few units, so that ties, zeros and unreachable services are common."""
    lead = draw(st.integers(0, 4))
    window = lead + draw(st.integers(1, 4))
    n_paths = draw(st.integers(1, 4))
    days = draw(st.lists(st.lists(st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0, 7.0]), min_size=window, max_size=window),
                         min_size=n_paths, max_size=n_paths))  # fmt: skip
    item = items_of(
        1, position=draw(st.sampled_from([-3.0, -0.5, 0.0, 1.0, 4.0, 30.0])), lead_days=lead,
        service=draw(st.sampled_from([0.5, 0.9, 0.99])), holding=draw(st.sampled_from([0.0, 30.0, 3000.0])),
        ordering=draw(st.sampled_from([0.0, 1.0, 50.0])), stockout=draw(st.sampled_from([0.0, 1.0, 5.0])),
        reliability=draw(st.sampled_from([0.0, 0.6, 1.0])), lot=draw(st.sampled_from([0.5, 1.0, 3.0])),
        moq=draw(st.sampled_from([0.0, 2.0, 5.0])),
    )  # fmt: skip
    return item, np.array(days)


def walked(item: Items, days: np.ndarray, quantity: float) -> tuple[float, float]:
    """(cost, fill) of one quantity: day by day, path by path, in time and late."""
    lead, reliability = int(item.lead_days[0]), float(item.reliability[0])
    cost, short, demanded = 0.0, 0.0, 0.0
    for probability, arrival in ((reliability, lead), (1 - reliability, lead + math.ceil(lead / 2))):
        for path in days:
            shelf, owed, lost, held = max(item.position[0], 0.0), max(-item.position[0], 0.0), 0.0, 0.0
            demanded += probability * owed
            for day in range(len(path)):
                if day == arrival:
                    shelf += quantity
                    met = min(shelf, owed)
                    shelf, owed = shelf - met, owed - met
                sold = min(shelf, path[day])
                shelf, lost = shelf - sold, lost + path[day] - sold
                held += shelf
                demanded += probability * path[day]
            lost += owed
            short += probability * lost
            cost += probability * (held * item.holding[0] / 365 + lost * item.stockout[0])
    n = len(days)
    fill = 1 - short / demanded if demanded > 0 else 1.0
    return cost / n + item.ordering[0] * (quantity > 0), fill


def cheapest(item: Items, days: np.ndarray) -> tuple[float, float, bool]:
    """(cost, fill, whether the service is reached) of the best of all quantities that can be ordered."""
    lot, moq = item.lot[0], item.moq[0]
    top = max(moq, days.sum(axis=1).max() + max(-item.position[0], 0)) + 2 * lot
    quantities = [0.0, *(k * lot for k in range(1, int(top / lot) + 2) if k * lot >= moq - 1e-12)]
    walks = [walked(item, days, quantity) for quantity in quantities]
    reaching = [one for one in walks if one[1] >= item.service[0] - 1e-9]
    if reaching:
        return (*min(reaching), True)
    best = max(fill for _, fill in walks)
    return (*min(one for one in walks if one[1] >= best - 1e-12), False)
