"use strict";
// The page's behaviour: draws the figures when they come into view, filters figures, sections and
// the table by model and policy family, sorts the table. Reads the JSON in #report-data, fetches
// nothing. `window.frostline.views` holds the drawn figures by name.
(() => {
  const report = JSON.parse(document.getElementById("report-data").textContent);
  const views = {};
  const chosen = { model: null, family: null }; // null: all
  const CANVAS_FROM = 800; // rows; a figure of more is drawn on a canvas, not as SVG elements
  const NARROW = 560; // px

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const DARK = {
    "#333333": "#d8d8d8", "#E3E3E3": "#3d4248", "#EFEFEF": "#34393f", "#777777": "#a0a0a0",
    "#000000": "#f2f2f2", "#F2F2F2": "#202428", "#332288": "#9a8cff", "#882255": "#e0679f",
    "#0072B2": "#4aa3df", "#E4E4E4": "#4a4f55",
  };

  // Colours that would be lost on a dark ground, lighter; the ground itself is the page's.
  function darkened(spec) {
    const text = JSON.stringify(spec).replace(/#[0-9A-F]{6}/gi, (colour) => DARK[colour] ?? colour);
    const found = JSON.parse(text);
    found.config.background = "transparent";
    return found;
  }

  const figureOf = (name) => report.figures[name];
  const rowsOf = (name, table) => {
    const rows = report.data[figureOf(name).section][table];
    return chosen.family && rows.length && "family" in rows[0]
      ? rows.filter((row) => chosen.family.has(row.family))
      : rows;
  };

  function fitted(figure, width) {
    const spec = dark.matches ? darkened(figure.spec) : structuredClone(figure.spec);
    spec.width = "container";
    const config = spec.config;
    if (width < NARROW) {
      config.legend.columns = Math.max(1, Math.floor(config.legend.columns / 4));
      config.legend.gradientLength = 90;
      config.legend.titleOrient = "top";
      config.axis.labelLimit = 110;
      config.axis.labelFontSize = 11;
      config.axis.titleFontSize = 12;
      config.legend.labelFontSize = 11;
    }
    return spec;
  }

  async function draw(place) {
    const name = place.dataset.figure;
    if (place.dataset.drawn) return;
    place.dataset.drawn = "yes";
    const figure = figureOf(name);
    const tables = figure.data;
    const spec = fitted(figure, place.clientWidth);
    spec.datasets = Object.fromEntries(tables.map((table) => [table, rowsOf(name, table)]));
    const most = Math.max(0, ...tables.map((table) => report.data[figure.section][table].length));
    const { view } = await vegaEmbed(place, spec, {
      ast: true, // no eval, so that the page can forbid it
      mode: "vega-lite",
      renderer: most > CANVAS_FROM ? "canvas" : "svg",
      actions: { export: true, source: false, compiled: false, editor: false },
      downloadFileName: name,
      loader: { load: () => Promise.reject(new Error("this page fetches nothing")) },
      logLevel: 1, // errors
    });
    views[name] = view;
    view.addEventListener("click", (_, item) => item?.datum?.id && mark(item.datum.id).catch(failed));
    await refill(name);
  }

  async function refill(name) {
    for (const table of figureOf(name).data) views[name].data(table, rowsOf(name, table));
    const bands = figureOf(name).bands;
    if (bands) {
      const lines = new Set(rowsOf(name, bands.table).map((row) => row[bands.field])).size;
      views[name].height(Math.max(1, lines) * bands.step);
    }
    await views[name].runAsync();
  }

  async function mark(trial) {
    for (const row of document.querySelectorAll("tr.marked")) row.classList.remove("marked");
    const row = [...document.querySelectorAll("#trials tbody tr")].find(
      (each) => each.dataset.trial === trial,
    );
    if (!row) return;
    row.classList.add("marked");
    await drawAll(); // a figure that is drawn on the way would move the row
    row.scrollIntoView({ block: "center" });
  }

  // ---- Filters

  function read(kind) {
    const boxes = [...document.querySelectorAll(`input[data-filter="${kind}"]`)];
    const on = boxes.filter((box) => box.checked);
    chosen[kind] = on.length === boxes.length ? null : new Set(on.map((box) => box.value));
  }

  async function filter() {
    read("model");
    read("family");
    const in_ = (kind, value) => !chosen[kind] || chosen[kind].has(value);
    for (const section of document.querySelectorAll("section[data-model]")) {
      section.hidden = !in_("model", section.dataset.model);
    }
    let shown = 0;
    for (const row of document.querySelectorAll("#trials tbody tr")) {
      row.hidden = !in_("model", row.dataset.model) || !in_("family", row.dataset.family);
      shown += !row.hidden;
    }
    const count = document.getElementById("shown");
    count.textContent = chosen.model || chosen.family ? `${shown} trials shown` : "";
    await Promise.all(Object.keys(views).map(refill));
  }

  function reset() {
    for (const box of document.querySelectorAll("input[data-filter]")) box.checked = true;
    return filter();
  }

  // ---- The table

  function sortBy(button) {
    const heading = button.closest("th");
    const headings = [...heading.parentElement.children];
    const column = headings.indexOf(heading);
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const each of headings) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const numeric = heading.classList.contains("n");
    const value = (row) => row.cells[column].dataset.order;
    const rows = [...heading.closest("table").tBodies[0].rows];
    rows.sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === "" || b === "") return (a === "") - (b === ""); // what is not known comes last
      const order = numeric ? Number(a) - Number(b) : a.localeCompare(b);
      return down ? -order : order;
    });
    heading.closest("table").tBodies[0].append(...rows);
  }

  // ---- Wiring

  const places = [...document.querySelectorAll("[data-figure]")];
  const failed = (error) => console.error(error);
  const drawAll = () => Promise.all(places.map(draw)).catch(failed);
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        watcher.unobserve(entry.target);
        draw(entry.target).catch(failed);
      }
    },
    { rootMargin: "600px" },
  );
  for (const place of places) watcher.observe(place);
  window.addEventListener("beforeprint", drawAll);
  for (const box of document.querySelectorAll("input[data-filter]")) {
    box.addEventListener("change", () => filter().catch(failed));
  }
  document.getElementById("everything")?.addEventListener("click", () => reset().catch(failed));
  for (const button of document.querySelectorAll("#trials th button")) {
    button.addEventListener("click", () => sortBy(button));
  }
  dark.addEventListener("change", () => {
    for (const place of places) delete place.dataset.drawn;
    drawAll();
  });
  for (const button of document.querySelectorAll("button.copy")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("pre");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        window.getSelection().selectAllChildren(code); // the browser forbids it: ready for Ctrl-C
        button.textContent = "Press Ctrl-C";
      }
    });
  }
  window.frostline = { views, drawAll };
})();
