"use strict";
(() => {
  const data = JSON.parse(document.getElementById("payload").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const byId = (id) => document.getElementById(id);

  // A chart follows its own box: the page may be resized, rotated or printed.
  const resizing = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      if (contentRect.width && target.layout && Math.abs(target.layout.width - contentRect.width) > 1) {
        Plotly.relayout(target, { width: contentRect.width });
      }
    }
  });

  function layout(title, more) {
    const css = getComputedStyle(document.documentElement);
    const of = (name) => css.getPropertyValue(name).trim();
    const axis = { gridcolor: of("--line"), zerolinecolor: of("--line"), linecolor: of("--line"), automargin: true };
    return Object.assign({
      title: { text: escapeText(title), x: 0, xref: "paper", font: { size: 14 } },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: of("--ink"), family: "system-ui, sans-serif", size: 12 },
      margin: { l: 48, r: 8, t: 36, b: 36 }, hovermode: "x unified",
      hoverlabel: { bgcolor: of("--sheet"), font: { color: of("--ink") } },
      legend: { orientation: "h", y: -0.16, x: 0 },
      xaxis: { ...axis }, yaxis: { ...axis, rangemode: "tozero" },
      colors: { ink: of("--ink"), soft: of("--soft"), accent: of("--accent") },
    }, more || {});
  }

  // Plotly reads a little HTML in texts: a style's name must stay a name.
  function escapeText(text) {
    return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  }

  // A long name in lines of about 18 characters, so that bars keep their room on a phone.
  function folded(text) {
    return escapeText(text.replace(/(.{12,}?) /g, "$1\n")).replace(/\n/g, "<br>");
  }

  function draw(id, traces, shape) {
    const place = byId(id);
    if (!place) return;
    const colors = shape.colors;
    shape.width = place.clientWidth;
    delete shape.colors;
    Plotly.react(place, traces(colors), shape, { displayModeBar: false });
    resizing.observe(place);
  }

  function band(color) {
    return dark.matches ? "rgba(125,183,238,0.20)" : "rgba(31,95,159,0.16)";
  }

  function styleTraces(style, dates, full) {
    return (colors) => {
      const interval = style.lo ? [
        { x: dates.ahead, y: style.hi, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false },
        { x: dates.ahead, y: style.lo, mode: "lines", line: { width: 0 }, fill: "tonexty", fillcolor: band(),
          name: Math.round(dates.stated * 100) + "% interval", hoverinfo: "skip", showlegend: full },
      ] : [];
      const members = full ? Object.entries(style.x).map(([name, y]) => (
        { x: dates.ahead, y, mode: "lines", name: escapeText(name), line: { width: 1 }, visible: "legendonly" })) : [];
      return [...interval,
        { x: dates.past, y: style.h, mode: "lines", name: "history", line: { color: colors.ink, width: 1.3 }, showlegend: full },
        { x: dates.ahead, y: style.q, mode: "lines", name: "median forecast", line: { color: colors.accent, width: 2 }, showlegend: full },
        { x: dates.ahead, y: style.m, mode: "lines", name: "mean forecast", line: { color: colors.accent, width: 1.5, dash: "dot" }, showlegend: full },
        ...members];
    };
  }

  function drawStyle(id, style, full) {
    const by = style.by === data.served ? "" : " (made by " + style.by + ")";
    draw(id, styleTraces(style, data.explorer, full), named(layout(style.id + by), "", data.unit || "quantity"));
  }

  // Axis titles; the legend moves below that of the x axis.
  function named(shape, x, y) {
    const title = (text) => ({ text: escapeText(text), standoff: 6 });
    if (x) Object.assign(shape, { legend: { ...shape.legend, y: -0.28 } });
    if (x) shape.xaxis.title = title(x);
    shape.yaxis.title = title(y);
    return shape;
  }

  function drawAll() {
    if (data.fleet) {
      draw("fleet", (c) => [
        { x: data.fleet.past, y: data.fleet.h, mode: "lines", name: "history", line: { color: c.ink, width: 1.3 } },
        { x: data.fleet.ahead, y: data.fleet.m, mode: "lines", name: "forecast", line: { color: c.accent, width: 2 } },
      ], named(layout("Total per period"), "", data.unit || "quantity"));
    }
    if (data.explorer) {
      const named = new Map(data.explorer.styles.map((style) => [style.id, style]));
      drawStyle("explorer", data.explorer.styles[byId("pick").value || 0], true);
      for (const kind of ["best", "worst"]) data[kind].forEach((name, i) => {
        if (named.has(name)) drawStyle(kind + "-" + i, named.get(name), false);
      });
    }
    const season = data.season;
    if (season.trend) {
      draw("trend", (c) => [
        { x: season.trend.x, y: season.trend.y, mode: "lines", name: "total", line: { color: c.soft, width: 1 } },
        { x: season.trend.x, y: season.trend.course, mode: "lines", name: "trend", line: { color: c.accent, width: 2.5 } },
      ], named(layout("Total per period and its trend"), "", data.unit || "quantity"));
    }
    for (const [id, title] of [["weekday", "By weekday"], ["month", "By month"]]) {
      if (!season[id]) continue;
      const shape = named(layout(title), "", "against the trend");
      shape.yaxis = { ...shape.yaxis, rangemode: "normal", tickformat: "+.0%" };
      draw(id, (c) => [{ x: season[id].x, y: season[id].y, type: "bar", name: "against the trend",
        marker: { color: c.accent } }], shape);
    }
    data.drivers.forEach((drivers, i) => {
      const shape = layout(drivers.title);
      Object.assign(shape.title, { xref: "container", x: 0.02 });  // the names of the bars may be wider than the plot
      shape.xaxis = { ...shape.xaxis, rangemode: "tozero", tickformat: ".0%", nticks: 6 };
      shape.yaxis = { ...shape.yaxis, rangemode: "normal", autorange: "reversed" };
      draw("drivers-" + i, (c) => [{ x: drivers.x, y: drivers.names.map(folded), type: "bar", orientation: "h",
        hovertemplate: "%{x:.1%}<extra></extra>", marker: { color: c.accent } }], { ...shape, hovermode: "closest" });
    });
    const models = Object.entries(data.steps);
    if (models.length) {
      const line = (c, i) => (i === 0 ? { color: c.accent, width: 2 } : { width: 1.3 });
      draw("wape-step", (c) => models.map(([name, m], i) => (
        { x: m.step, y: m.wape, mode: "lines+markers", marker: { size: 4 }, name: escapeText(name), line: line(c, i) })),
      named(layout("WAPE by step ahead"), "periods ahead", "WAPE"));
      const stated = models[0][1].stated;
      draw("coverage-step", (c) => [
        ...models.map(([name, m], i) => (
          { x: m.step, y: m.coverage, mode: "lines+markers", marker: { size: 4 }, name: escapeText(name), line: line(c, i) })),
        ...(stated ? [{ x: models[0][1].step, y: models[0][1].step.map(() => stated), mode: "lines", name: "stated",
          line: { color: c.soft, dash: "dash", width: 1.3 } }] : []),
      ], named(layout("Share of actual values inside the interval"), "periods ahead", "share"));
    }
  }

  function sortTable(button) {
    const heading = button.closest("th");
    const table = heading.closest("table");
    const column = Number(button.dataset.sort);
    const numeric = heading.classList.contains("n");
    const down = heading.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("thead th").forEach((th) => th.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.children[column].dataset.v;
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const x = value(a), y = value(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = numeric ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true });
      return down ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }

  function filterTable(input) {
    const wanted = input.value.trim().toLowerCase();
    const rows = [...byId(input.dataset.filter).tBodies[0].rows];
    let shown = 0;
    for (const row of rows) {
      row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    byId(input.dataset.filter + "-count").textContent = wanted ? shown + " of " + rows.length : "";
  }

  document.querySelectorAll("button[data-sort]").forEach((b) => b.addEventListener("click", () => sortTable(b)));
  document.querySelectorAll("input[data-filter]").forEach((i) => i.addEventListener("input", () => filterTable(i)));
  const pick = byId("pick");
  if (pick) pick.addEventListener("change", () => drawStyle("explorer", data.explorer.styles[pick.value], true));
  dark.addEventListener("change", drawAll);
  drawAll();
  document.documentElement.dataset.ready = "yes";
})();
