"""A headless Chromium that remembers what went wrong and whom it asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
WAIT_S = 20.0


_OVERLAPS = """
const found = [], seen = (e) => { const b = e.getBoundingClientRect(); return b.width > 1 && b.height > 1 ? b : null };
const named = (e) => `${e.tagName}.${e.getAttribute('class') || e.id}: ${(e.textContent || '').trim().slice(0, 40)}`;
const meet = (a, b, slack) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > slack
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > slack;
const apart = (all, slack) => { for (let i = 0; i < all.length; i++) for (let k = i + 1; k < all.length; k++) {
  const a = seen(all[i]), b = seen(all[k]);
  if (a && b && meet(a, b, slack)) found.push(`${named(all[i])} lies on ${named(all[k])}`); } };
for (const box of document.querySelectorAll('main, main section, main form, main .cards, header, nav, main label'))
  apart([...box.children].filter((e) => !['fixed', 'absolute'].includes(getComputedStyle(e).position)), 2);
for (const chart of document.querySelectorAll('.chart')) {
  for (const ticks of ['.xtick', '.ytick']) apart([...chart.querySelectorAll(`${ticks} text`)], 1);
  apart([...chart.querySelectorAll('.xtitle, .ytitle, .legend, .gtitle')], 2);
  for (const title of chart.querySelectorAll('.xtitle, .ytitle'))
    for (const tick of chart.querySelectorAll('.xtick text, .ytick text'))
      if (seen(title) && seen(tick) && meet(seen(title), seen(tick), 2))
        found.push(`${named(title)} lies on ${named(tick)}`);
  const frame = chart.getBoundingClientRect(), plot = seen(chart.querySelector('.nsewdrag') || chart);
  if (frame.height > 200 && (!plot || plot.height < 110))
    found.push(`${chart.id}: its plot is ${plot && plot.height} pixels high`);
  for (const text of chart.querySelectorAll('.main-svg text')) { const b = seen(text);
    if (b && (b.left < frame.left - 2 || b.right > frame.right + 2 || b.bottom > frame.bottom + 2))
      found.push(`${named(text)} leaves its chart`); } }
for (const e of document.querySelectorAll('main *')) { const style = getComputedStyle(e);
  if (e.children.length === 0 && e.textContent.trim() && ['hidden', 'clip'].includes(style.overflowX)
      && style.position !== 'absolute' && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1)
    found.push(`${named(e)} is cut off`); }
return found;
"""


class Browser:
    """One window; `base` is the service's address."""

    def __init__(self, driver: Chrome, base: str) -> None:
        self.driver, self.base = driver, base

    def open(self, path: str) -> None:
        self.driver.get(self.base + path)

    def resize(self, width: int, height: int) -> None:
        """The page's own width, narrower than a window may be."""
        told = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", told)

    def scheme(self, name: str) -> None:
        """light or dark."""
        told = {"features": [{"name": "prefers-color-scheme", "value": name}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", told)

    def find(self, css: str) -> WebElement:
        """The first match, waited for."""
        return WebDriverWait(self.driver, WAIT_S).until(lambda driver: driver.find_element(By.CSS_SELECTOR, css))

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def text(self, css: str) -> str:
        """The text of the first match, waited for."""
        self.find(css)
        return self.texts(css)[0]

    def texts(self, css: str) -> list[str]:
        """The text of every match now, read in one go: a live part of a page may be replaced between two questions."""
        script = "return [...document.querySelectorAll(arguments[0])].map((found) => found.innerText.trim())"
        return list(self.driver.execute_script(script, css))

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Whatever is done inside loads another page: go on when that page is whole, never on the one left."""
        left = self.find("html")
        yield
        wait = WebDriverWait(self.driver, WAIT_S)
        wait.until(staleness_of(left))
        wait.until(lambda driver: driver.execute_script("return document.readyState") == "complete")

    def until(self, css: str, said: tuple[str, ...], seconds: float = WAIT_S) -> str:
        """The text of an element once it begins with one of these words."""

        def ready(_: Chrome) -> str | bool:
            found = self.texts(css)
            return found[0] if found and found[0].startswith(said) else False

        return str(WebDriverWait(self.driver, seconds, ignored_exceptions=()).until(ready))

    def width(self) -> int:
        """Of the whole page; more than the window means that it scrolls sideways."""
        return int(self.driver.execute_script("return document.documentElement.scrollWidth"))

    def overlaps(self) -> list[str]:
        """What lies on something else: neighbouring parts of the content, titles, and the ticks of a chart's axes; and
        text that is cut off by its own box."""
        return [str(one) for one in self.driver.execute_script(_OVERLAPS)]

    def drawn(self) -> int:
        """Charts that Plotly has drawn."""
        return len(self.all(".chart .main-svg"))

    def faults(self) -> list[str]:
        """What the console complained of since last asked, refused requests that a page handles itself left out."""
        entries = [entry for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
        return [str(entry["message"]) for entry in entries]

    def foreign(self) -> set[str]:
        """Hosts other than the service that anything was asked of since last asked."""
        hosts = set()
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                address = urlsplit(message["params"]["request"]["url"])
                if address.scheme in ("http", "https", "ws", "wss"):
                    hosts.add(address.netloc)
        return hosts - {urlsplit(self.base).netloc}


@contextmanager
def browser(base: str, profile: Path) -> Iterator[Browser]:
    options = Options()
    options.binary_location = str(CHROMIUM)
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
        "--disable-component-update", "--force-prefers-reduced-motion", f"--user-data-dir={profile}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(str(DRIVER)))
    try:
        driver.set_window_size(1280, 900)
        yield Browser(driver, base)
    finally:
        driver.quit()
