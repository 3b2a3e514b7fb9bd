"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const FINAL = new Set(["success", "partial", "failed"]);

  // ---- charts -------------------------------------------------------------------------------------------------
  // A chart follows its own box: the page may be resized or rotated.
  const resizing = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      if (contentRect.width && target.layout && Math.abs(target.layout.width - contentRect.width) > 1) {
        Plotly.relayout(target, { width: contentRect.width });
      }
    }
  });

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  // Figures name colours of the page as "@accent" and bands as "@band": they follow the colour scheme.
  function painted(value) {
    if (typeof value === "string" && value[0] === "@") {
      if (value === "@band") return dark.matches ? "rgba(125,183,238,0.20)" : "rgba(31,95,159,0.16)";
      return color("--" + value.slice(1)) || value;
    }
    if (Array.isArray(value)) return value.map(painted);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, painted(inner)]));
    }
    return value;
  }

  const LEGEND_LINE = 20;  // pixels

  function draw(place, figure) {
    const axis = { gridcolor: color("--line"), zerolinecolor: color("--line"), linecolor: color("--line"), automargin: true };
    const given = painted(figure.layout || {});
    const layout = Object.assign({
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: color("--ink"), family: "system-ui, sans-serif", size: 12 },
      margin: { l: 48, r: 8, t: 36, b: 36 }, hovermode: "x unified",
      hoverlabel: { bgcolor: color("--sheet"), font: { color: color("--ink") } },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    }, given, {
      xaxis: { ...axis, ...(given.xaxis || {}) }, yaxis: { ...axis, ...(given.yaxis || {}) }, width: place.clientWidth,
    });
    const named = layout.showlegend === false ? 0 : figure.data.filter((trace) => trace.showlegend !== false).length;
    place.style.height = given.height ? given.height + "px" : "";
    if (layout.width < 560) {  // the legend lies below, a line for each name, and takes nothing from the plot
      layout.legend = { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0 };
      place.style.height = place.clientHeight + LEGEND_LINE * named + "px";
    }
    layout.height = place.clientHeight;
    Plotly.react(place, painted(figure.data), layout, { displayModeBar: false });
    resizing.observe(place);
  }

  function drawAll(root) {
    for (const script of root.querySelectorAll("script[data-chart]")) {
      const place = document.getElementById(script.dataset.chart);
      if (place && window.Plotly) draw(place, JSON.parse(script.textContent));
    }
  }

  // ---- tables -------------------------------------------------------------------------------------------------
  function sortable(root) {
    for (const table of root.querySelectorAll("table.sortable")) {
      [...table.tHead.rows[0].cells].forEach((head, column) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = head.textContent;
        head.replaceChildren(button);
        button.addEventListener("click", () => {
          const up = head.getAttribute("aria-sort") !== "ascending";
          for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
          head.setAttribute("aria-sort", up ? "ascending" : "descending");
          const rows = [...table.tBodies[0].rows];
          rows.sort((a, b) => (up ? 1 : -1) * compared(key(a.cells[column]), key(b.cells[column])));
          table.tBodies[0].append(...rows);
        });
      });
    }
  }

  function key(cell) {
    const text = cell.dataset.sort ?? cell.textContent.trim();
    const number = Number(text.replace(/[,%+\s]/g, ""));
    return text !== "" && Number.isFinite(number) ? number : text;
  }

  function compared(a, b) {
    if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
    return typeof a === "number" ? -1 : 1;
  }

  // ---- forms --------------------------------------------------------------------------------------------------
  function valuesOf(form) {
    const values = {};
    for (const input of form.elements) {
      if (!input.name || input.type === "file") continue;
      if (input.type === "checkbox") { if (input.checked) values[input.name] = true; continue; }
      if (input.value === "") continue;
      const value = input.type === "number" || input.dataset.number === "true" ? Number(input.value) : input.value;
      const [outer, inner] = input.name.split(".");  // "planned.price" is {planned: {price: ..}}
      if (inner) (values[outer] ??= {})[inner] = value;
      else values[outer] = value;
    }
    return values;
  }

  async function sent(form) {
    const file = form.querySelector("input[type=file]");
    const token = document.querySelector("meta[name=csrf]").content;
    const headers = { Accept: "application/json", "X-CSRF-Token": token };
    let body;
    if (file) {
      body = new FormData(form);
    } else {
      headers["Content-Type"] = "application/json";
      body = JSON.stringify(valuesOf(form));
    }
    const response = await fetch(form.getAttribute("action"), { method: "POST", headers, body });
    const answer = await response.json();
    return { ok: response.ok, answer };
  }

  function said(place, text, tone) {
    const line = document.createElement("p");
    line.className = tone ? "box " + tone : "box";
    line.textContent = text;
    place.replaceChildren(line);
    return line;
  }

  const SHOWS = {
    message: (place, answer) => { said(place, answer.message || answer.status, "good"); },
    job: (place, answer) => follow(place, answer.status_url),
    report: (place, answer) => { report(place, answer); },
    download: (place, answer) => { download(place, answer); },
    forecast: (place, answer) => { forecast(place, answer); },
  };

  function refusal(answer) {
    const words = String(answer.error).replaceAll("_", " ");
    return `${words.charAt(0).toUpperCase()}${words.slice(1)}: ${answer.detail}`;
  }

  async function follow(place, url) {
    const line = said(place, "Accepted.", "");
    const bar = document.createElement("progress");
    place.append(bar);
    for (;;) {
      const response = await fetch(url, { headers: { Accept: "application/json" } });
      const job = await response.json();
      if (!response.ok) { said(place, refusal(job), "bad"); return; }
      line.textContent = `${job.status}: ${job.message}`;
      const progress = job.progress;
      if (progress && progress.batches_planned) { bar.max = progress.batches_planned; bar.value = progress.batches_done; }
      if (FINAL.has(job.status)) {
        bar.remove();
        line.className = "box " + (job.status === "success" ? "good" : job.status === "partial" ? "warn" : "bad");
        await refresh();
        return;
      }
      await new Promise((done) => setTimeout(done, 1000));
    }
  }

  function inWords(value) {
    if (value === null || value === "") return "none";
    if (typeof value === "number") return value.toLocaleString("en-US", { maximumFractionDigits: 2 });
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (typeof value !== "object") return String(value);
    const parts = Array.isArray(value)
      ? value.map(inWords)
      : Object.entries(value).map(([name, inner]) => `${name.replaceAll("_", " ")}: ${inWords(inner)}`);
    return parts.length ? parts.join(Array.isArray(value) ? ", " : "; ") : "none";
  }

  function report(place, answer) {
    const list = document.createElement("dl");
    for (const [name, value] of Object.entries(answer)) {
      if (value === null || name === "units") continue;
      const term = document.createElement("dt");
      const text = document.createElement("dd");
      term.textContent = name.replaceAll("_", " ");
      text.textContent = inWords(value);
      list.append(term, text);
    }
    place.replaceChildren(list);
  }

  function download(place, answer) {
    report(place, answer.summary.features_by_group);
    const line = document.createElement("p");
    const link = document.createElement("a");
    link.href = answer.download_url;
    link.download = "features.csv";
    link.textContent = "Download the table";
    line.append(`${answer.summary.total_features} features of ${answer.rows.used} rows. `, link);
    place.prepend(line);
  }

  function forecast(place, answer) {
    const chart = document.createElement("div");
    chart.className = "chart";
    const by = document.createElement("p");
    by.className = "note";
    by.textContent = `Made by ${answer.made_by} of release ${answer.release}.`;
    place.replaceChildren(chart, by);
    const x = answer.forecast.map((step) => step.date);
    const line = (name, more) => ({ x, y: answer.forecast.map((step) => step[name]), mode: "lines", ...more });
    draw(chart, {
      data: [
        line("upper_bound", { line: { width: 0 }, hoverinfo: "skip", showlegend: false }),
        line("lower_bound", { line: { width: 0 }, fill: "tonexty", fillcolor: "@band", hoverinfo: "skip", name: "interval" }),
        line("predicted_value", { line: { color: "@accent", width: 2 }, name: "forecast" }),
      ],
      layout: { xaxis: { title: { text: "date" } }, yaxis: { title: { text: place.closest("form").dataset.unit || "quantity" }, rangemode: "tozero" } },
    });
  }

  function forms(root) {
    for (const form of root.querySelectorAll("form[data-shows]")) {
      form.addEventListener("submit", async (event) => {
        event.preventDefault();
        if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) return;
        const place = form.querySelector(".answer");
        const button = form.querySelector("button[type=submit]");
        button.disabled = true;
        said(place, "Sent.", "");
        try {
          const { ok, answer } = await sent(form);
          if (ok) await SHOWS[form.dataset.shows](place, answer);
          else said(place, refusal(answer), "bad");
        } catch (error) {
          said(place, `The server did not answer: ${error.message}`, "bad");
        } finally {
          button.disabled = false;
        }
      });
    }
  }

  // ---- live parts ---------------------------------------------------------------------------------------------
  async function refresh() {
    for (const section of document.querySelectorAll("section[data-live]")) await renew(section);
  }

  async function renew(section) {
    const url = new URL(window.location.href);
    url.searchParams.set("part", section.id);
    const response = await fetch(url, { headers: { Accept: "text/html" } });
    if (!response.ok) return;
    const holder = document.createElement("template");
    holder.innerHTML = await response.text();
    const fresh = holder.content.firstElementChild;
    if (!fresh || fresh.innerHTML === section.dataset.shown) return;
    section.dataset.shown = fresh.innerHTML;
    section.replaceChildren(...fresh.childNodes);
    prepare(section);
  }

  function prepare(root) {
    drawAll(root);
    sortable(root);
    forms(root);
  }

  function centred(link, strip) {
    const [one, all] = [link.getBoundingClientRect(), strip.getBoundingClientRect()];
    strip.scrollLeft += one.left + one.width / 2 - (all.left + all.width / 2);
  }

  document.addEventListener("DOMContentLoaded", () => {
    prepare(document);
    const here = document.querySelector("nav a[aria-current]");
    // Not scrollIntoView: browsers then begin the Tab order at this link, past the link that skips to the content.
    if (here) centred(here, here.closest("ul"));
    for (const section of document.querySelectorAll("section[data-live]")) {
      setInterval(() => { if (!document.hidden) renew(section); }, 1000 * Number(section.dataset.live));
    }
  });
  dark.addEventListener("change", () => drawAll(document));
})();
