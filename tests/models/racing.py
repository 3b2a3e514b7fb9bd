"""Several processes that promote at once, and what must be true afterwards."""

from __future__ import annotations

from models.registry import Registry

# PLACE CACHE TIMES ME: promotes one of three releases TIMES times, deciding again whenever another was quicker.
PROMOTE_MANY = """
import random, sys
from pathlib import Path
from demand.errors import RegistryError
from models.registry import registry_at
registry, times, me = registry_at(sys.argv[1], Path(sys.argv[2])), int(sys.argv[3]), sys.argv[4]
choose = random.Random(me)
for k in range(times):
    while True:
        champion = registry.alias("champion")
        try:
            registry.promote(choose.choice([1, 2, 3]), expected=champion, facts={"by": f"{me}-{k}"})
            break
        except RegistryError as error:
            assert "changed meanwhile" in str(error), error
"""


def check_promotions(registry: Registry, processes: int, each: int) -> None:
    """None is lost, each names the one before it, every process's own are in its order, and the views show the last."""
    noted = registry.promotions()
    by = [pointer["facts"]["by"] for pointer in noted]
    assert sorted(by) == sorted(f"{me}-{k}" for me in range(processes) for k in range(each))
    for me in range(processes):
        assert [one for one in by if one.startswith(f"{me}-")] == [f"{me}-{k}" for k in range(each)]
    assert [pointer["previous"] for pointer in noted] == [None, *(pointer["release"] for pointer in noted[:-1])]
    assert registry.champion_pointer() == noted[-1]
    view = registry.view()
    assert view is not None
    assert (view["arima"]["release"], view["arima"]["by"]) == (noted[-1]["release"], by[-1])
    other = next((one["release"] for one in reversed(noted) if one["release"] != noted[-1]["release"]), None)
    assert registry.alias("previous") == other
