// What ran where and when, what failed and of what, and how the runs were made.
"use strict";
{
  const { slots, stretches } = data.timeline;
  byId("timeline-section").hidden = !stretches.length;
  byId("timeline").style.height = `${Math.min(90 + 22 * slots.length, 900)}px`;
  const own = stretches.length ? chart("timeline") : null;
  const bar = (painted) => (_, api) => {
    const [trial, slot, from, to] = [0, 1, 2, 3].map((at) => api.value(at));
    const start = api.coord([from, slot]), end = api.coord([to, slot]), height = Math.max(api.size([0, 1])[1] * 0.7, 2);
    return { type: "rect", shape: { x: start[0], y: start[1] - height / 2, width: Math.max(end[0] - start[0], 1), height },
             style: { fill: painted[trial], stroke: style("--card"), lineWidth: 0.5 } };
  };
  if (own) drawers.push(() => {
    const kept = new Set(passing()), painted = colours();
    own.setOption(frame({
      grid: { left: 130, right: 18, top: 10, bottom: 42 },
      tooltip: { trigger: "item", formatter: ({ value }) => trialTip(value[0], `${new Date(value[2]).toLocaleString()} to ${new Date(value[3]).toLocaleTimeString()}`) },
      xAxis: { type: "time", ...axisStyle(), min: "dataMin", max: "dataMax" },
      yAxis: { type: "category", data: slots, inverse: true, ...axisStyle() },
      dataZoom: [{ type: "inside", xAxisIndex: 0, zoomOnMouseWheel: "ctrl", filterMode: "weakFilter" }],
      series: [{ type: "custom", renderItem: bar(painted), encode: { x: [2, 3], y: 1 }, clip: true, data: stretches.filter(([trial]) => kept.has(trial)) }],
    }), { notMerge: true });
  });

  /** Errors that differ only in numbers are of one kind. */
  const kinds = new Map();
  trials.error.forEach((error, trial) => {
    if (!error) return;
    const kind = error.replace(/\d+(\.\d+)?/g, "#");
    if (!kinds.has(kind)) kinds.set(kind, []);
    kinds.get(kind).push(trial);
  });
  byId("failures-section").hidden = !kinds.size;
  const failed = [...kinds.values()].sort((a, b) => b.length - a.length).map((some) => element("tr", {},
    element("td", { className: "number", textContent: some.length }),
    element("td", { textContent: trials.error[some[0]], style: "white-space: pre-wrap" }),
    element("td", {}, element("button", { type: "button", textContent: "show", onclick: () => filter("error", `error: ${trials.error[some[0]].slice(0, 60)}`, some) }))));
  byId("failures").append(element("table", {}, element("tbody", {}, ...failed)));

  const facts = (entries) => element("table", {}, element("tbody", {}, ...entries.map((row) =>
    element("tr", {}, ...row.map((text) => element("td", { textContent: text, style: "white-space: pre-wrap; overflow-wrap: anywhere" }))))));
  const when = (time) => (time ? new Date(time).toLocaleString() : "");
  for (const run of data.runs) {
    byId("provenance").append(
      element("h3", { textContent: run.directory }),
      element("div", { className: "scroll" }, facts(Object.entries(run.made_with))),
      element("div", { className: "scroll" }, facts(run.journal.map((entry) => [when(entry.started), when(entry.ended) || "no end on record", entry.host, entry.command]))));
  }
}
