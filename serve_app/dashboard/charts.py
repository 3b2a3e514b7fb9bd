"""Plotly figures as plain data. Colours are names of the page's own ("@accent"): they follow the colour scheme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Number = float | None
Figure = dict[str, Any]


def text(value: str) -> str:
    """Plotly reads a little HTML in texts: a style's name must stay a name."""
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def band(x: Sequence[str], low: Sequence[Number], high: Sequence[Number], name: str) -> list[Figure]:
    """Two traces whose filled distance is the interval."""
    return [
        {"x": list(x), "y": list(high), "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip",
         "showlegend": False},
        {"x": list(x), "y": list(low), "mode": "lines", "line": {"width": 0}, "fill": "tonexty", "fillcolor": "@band",
         "hoverinfo": "skip", "name": name},
    ]  # fmt: skip


def line(x: Sequence[str], y: Sequence[Number], name: str, color: str = "@accent", **more: Any) -> Figure:
    style = {"color": color, "width": 2, **more.pop("line", {})}
    return {"x": list(x), "y": list(y), "mode": "lines", "name": text(name), "line": style, **more}


def over_time(traces: Sequence[Mapping[str, Any]], y_title: str, **layout: Any) -> Figure:
    """A figure over dates; the y axis starts at 0 and says its unit."""
    axes = {"xaxis": {"title": {"text": "date"}}, "yaxis": {"title": {"text": text(y_title)}, "rangemode": "tozero"}}
    return {"data": list(traces), "layout": {**axes, **layout}}


def bars(names: Sequence[str], values: Sequence[Number], x_title: str) -> Figure:
    """Horizontal bars, the first on top."""
    height = 60 + 26 * max(1, len(names))
    return {
        "data": [{"type": "bar", "orientation": "h", "x": list(values), "y": [text(name) for name in names],
                  "marker": {"color": "@accent"}, "hovertemplate": "%{y}: %{x}<extra></extra>"}],
        "layout": {"height": height, "hovermode": "closest", "bargap": 0.3, "showlegend": False,
                   "xaxis": {"title": {"text": text(x_title)}, "rangemode": "tozero"},
                   "yaxis": {"autorange": "reversed", "type": "category"}},
    }  # fmt: skip
