"""The frame around every page, and how a page is found: a module in `pages/` with a PAGE in it."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from serve_app.dashboard.blocks import Section
from serve_app.problems import Refused

HERE = Path(__file__).parent


class Api(Protocol):
    """The API's own answers, without a socket between."""

    def get(self, path: str, **parameters: str | int) -> dict[str, Any]:
        """The answer of GET `path`. Raises Refused as the API would answer it."""
        ...


Query = Mapping[str, str]


@dataclass(frozen=True)
class Page:
    """path: where it is served. title: in the navigation. order: its place there, 0 = not in it.

    build: (api, query) -> sections; a Refused it lets through becomes an empty state that says what to do.
    heading: of the page when it is not its title.
    """

    path: str
    title: str
    order: int
    build: Callable[[Api, Query], Sequence[Section]]
    lead: str = ""
    heading: Callable[[Query], str] | None = None


@cache
def pages() -> tuple[Page, ...]:
    """Every page of the folder `pages`, in the order of the navigation."""
    folder = HERE / "pages"
    names = sorted(module.name for module in pkgutil.iter_modules([str(folder)]))
    found = [importlib.import_module(f"serve_app.dashboard.pages.{name}").PAGE for name in names]
    return tuple(sorted(found, key=lambda page: (page.order, page.path)))


def render(page: Page, api: Api, query: Query, part: str = "", csrf: str = "") -> str:
    """The page as HTML; with `part` the named section alone, for a live page. csrf: what its forms prove they are ours
    with."""
    sections = list(page.build(api, query))
    if part:
        sections = [section for section in sections if section.name == part]
        if not sections:
            raise Refused(404, "unknown_part", "See the page without ?part", "part")
        return _environment().get_template("section.html.j2").render(section=sections[0])
    shown = page.heading(query) if page.heading else page.title
    return frame(page.path, shown, page.lead, sections, csrf)


def frame(path: str, title: str, lead: str, sections: Sequence[Section], csrf: str = "") -> str:
    """A whole document around sections."""
    navigation = [page for page in pages() if page.order]
    template = _environment().get_template("page.html.j2")
    return template.render(path=path, title=title, lead=lead, sections=sections, navigation=navigation, csrf=csrf)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["data"] = _as_data
    return environment


def _as_data(value: Any) -> Markup:
    """Strict JSON that may stand inside a script element: no text of ours can end it."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
