"""A style's forecast beside what the company's tables say of it: finished stock, open orders, machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from serve_app.dashboard.blocks import Block, Cell, Note, Table
from serve_app.dashboard.frame import Api
from serve_app.dashboard.shown import NOTHING, number, quantity, share

Figures = Mapping[str, Any]


def compared(api: Api, style: str, model: str, unit: str) -> list[Block]:
    """A row for each of stock, orders and capacity, or one note where the release holds none of these tables."""
    rows, reasons = [], []
    for name, (block, figures, figure, label, words) in _COMPARISONS.items():
        answer = api.get("/api/ml-forecast-detailed", style=style, model=model, detail="metrics", compare=name)
        told = answer.get(block) or answer
        if told["status"] != "success":
            reasons.append(str(told["reason"]))
            rows.append([Cell(label), *[Cell(NOTHING, number=True)] * 2, Cell(reasons[-1])])
            continue
        one = told[figures].get(style)
        cells = [Cell(NOTHING, number=True)] * 2 if one is None else [
            number(one[key], quantity(one[key])) for key in (figure, "forecast")
        ]  # fmt: skip
        rows.append([Cell(label), *cells, Cell("nothing of it" if one is None else words(told, style, one))])
    if len(reasons) == len(_COMPARISONS):
        return [Note("The release says nothing of this style's stock, orders or machines. Make one with the company's "
                     "tables: python -m jobs.pipeline company.folder=FOLDER")]  # fmt: skip
    columns = (("", False), (f"there ({unit})", True), (f"forecast ({unit})", True), ("what that means", False))
    return [Table("compared", columns, rows, "The forecast beside the company's tables", "")]


def _stock(told: Figures, style: str, one: Figures) -> str:
    risk = next((each for each in told["shortage_risk"] if each["style"] == style), None)
    days = told["horizon_days"]
    if risk is None:
        return f"lasts for the {days} days"
    chance = "" if risk["probability"] is None else f"{share(risk['probability'])} chance of a shortage in {days} days"
    cover = "" if risk["days_of_cover"] is None else f"lasts {risk['days_of_cover']} days as forecast"
    return "; ".join(filter(None, (chance, cover))) or f"less than the forecast of {days} days"


def _orders(told: Figures, style: str, one: Figures) -> str:
    risk = next((each for each in told["fulfillment_risk"] if each["style"] == style), None)
    if risk is None:
        return f"due in {told['horizon_days']} days, none of it overdue or short of stock"
    stock = "stock not known" if risk["short"] is None else f"{quantity(risk['short'])} more than the stock"
    return f"due in {told['horizon_days']} days: {quantity(risk['overdue'])} overdue, {stock}"


def _capacity(told: Figures, style: str, one: Figures) -> str:
    enough = one["gap"] is not None and one["gap"] >= 0
    return f"its machines in {told['horizon_days']} days, knitting nothing else: {'enough' if enough else 'too little'}"


# compare= -> block, its figures by style, the one beside the forecast, label, in words
_COMPARISONS: dict[str, tuple[str, str, str, str, Callable[[Figures, str, Figures], str]]] = {
    "stock": ("stock_comparison", "forecast_vs_stock", "stock", "Finished stock", _stock),
    "orders": ("order_comparison", "forecast_vs_orders", "due", "Open orders", _orders),
    "capacity": ("capacity_comparison", "forecast_vs_capacity", "capacity", "Machines", _capacity),
}
