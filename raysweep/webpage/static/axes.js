// The space of the sweep: all axes as parallel coordinates with ranges to choose, and two of them as a heat map.
"use strict";
{
  const MARGIN = 0.03; // of an axis, beyond its ends, so that a range can take them in
  const FEW = 12; // numbers of an axis that are all written beside it
  const all = chart("parallel");
  const metric = { name: data.metric.name, values: trials.values[data.metric.name], texts: [], log: false };
  const measured = metric.values.filter(Number.isFinite);
  const clip = data.metric.clip;
  const clipped = (value) => (clip ? Math.min(Math.max(value, clip[0]), clip[1]) : value);
  const dimensions = [...data.axes, metric];

  const brief = (value) => (told(value).length > 18 ? `${told(value).slice(0, 17)}…` : told(value));
  const isNamed = (axis) => axis !== metric && (isText(axis) || levels(axis).length <= FEW);

  function parallelAxis(axis, dim) {
    const axisLabel = { color: style("--ink"), backgroundColor: style("--card"), padding: [1, 3], formatter: brief };
    const common = { dim, name: axis.name, ...axisStyle(), axisLabel, nameTextStyle: { color: style("--ink"), width: 90, overflow: "truncate" } };
    if (isNamed(axis)) return { ...common, type: "category", data: levels(axis).map((value) => valueText(axis, value)) };
    const numbers = axis === metric ? measured.map(clipped) : axis.values.filter((value) => value !== null);
    if (!numbers.length) return { ...common, type: "value" };
    const least = numbers.reduce((a, b) => Math.min(a, b)), greatest = numbers.reduce((a, b) => Math.max(a, b));
    const type = axis.log ? "log" : "value", factor = (greatest / least) ** MARGIN, margin = (greatest - least) * MARGIN || 1;
    const [min, max] = axis.log ? [least / factor, greatest * factor] : [least - margin, greatest + margin];
    return { ...common, type, min, max, axisLabel: { ...axisLabel, showMinLabel: false, showMaxLabel: false } };
  }

  function ofTrial(trial) {
    return dimensions.map((axis) => {
      const value = axis.values[trial];
      if (isNamed(axis)) return valueText(axis, value);
      return Number.isFinite(value) ? (axis === metric ? clipped(value) : value) : "-";
    });
  }

  let shown = [];
  function parallel() {
    const painted = colours(), kept = passing("brush");
    shown = kept;
    all.setOption(frame({
      tooltip: { trigger: "item", formatter: ({ dataIndex }) => trialTip(shown[dataIndex]) },
      parallel: { left: 56, right: 70, top: 46, bottom: 24, axisExpandable: dimensions.length > 14 },
      parallelAxis: dimensions.map(parallelAxis),
      series: [{ type: "parallel", inactiveOpacity: 0.04, activeOpacity: 0.9, smooth: false,
                 lineStyle: { width: 1.3, opacity: kept.length > 200 ? 0.45 : 0.8 }, emphasis: { lineStyle: { width: 3, opacity: 1 } },
                 data: kept.map((trial) => ({ value: ofTrial(trial), lineStyle: { color: painted[trial] } })) }],
    }));
    const missing = kept.filter((trial) => !Number.isFinite(metric.values[trial])).length;
    const notes = [];
    if (missing) notes.push(`${missing} of them without a finite ${metric.name}: their lines end before it.`);
    if (clip) notes.push(`${metric.name} is shown from ${told(clip[0])} to ${told(clip[1])}: what lies beyond is at the end.`);
    byId("parallel-note").textContent = notes.join(" ");
  }

  all.on("axisareaselected", () => {
    const model = all.getModel();
    const some = dimensions.some((_, index) => model.getComponent("parallelAxis", index).activeIntervals.length);
    const active = some ? model.getSeriesByIndex(0).getRawIndicesByActiveState("active").map((at) => shown[at]) : null;
    if (some || filters.has("brush")) filter("brush", "ranges of axes", active);
  });
  drawers.push(parallel);

  /** Take all ranges back: only a new chart of ECharts' has none. */
  window.clearBrush = () => all.setOption({ parallelAxis: [] }, { notMerge: true });

  const heat = chart("heat");
  const MOST = 40; // values of an axis of a heat map
  const axes = data.axes.filter((axis) => levels(axis).length <= MOST);
  for (const id of ["heat-x", "heat-y"]) {
    byId(id).append(...axes.map((axis) => element("option", { value: axis.name, textContent: axis.name })));
    byId(id).addEventListener("change", map);
  }
  byId("heat-of").addEventListener("change", map);
  if (axes.length > 1) byId("heat-y").value = axes[1].name;
  else byId("heat-section").hidden = true;

  function cells(x, y, of) {
    const found = new Map();
    for (const trial of passing()) {
      const value = metric.values[trial];
      if (!Number.isFinite(value)) continue;
      const key = `${x.values[trial]} ${y.values[trial]}`;
      if (!found.has(key)) found.set(key, { x: x.values[trial], y: y.values[trial], values: [] });
      found.get(key).values.push(value);
    }
    const best = (values) => values.reduce((a, b) => (maximize ? Math.max(a, b) : Math.min(a, b)));
    const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
    return [...found.values()].map((one) => ({ ...one, value: of === "best" ? best(one.values) : mean(one.values) }));
  }

  function map() {
    if (axes.length < 2) return;
    const x = axisNamed(byId("heat-x").value), y = axisNamed(byId("heat-y").value), of = byId("heat-of").value;
    const columns = levels(x), rows = levels(y), found = cells(x, y, of), values = found.map((one) => one.value);
    const least = values.reduce((a, b) => Math.min(a, b), Infinity), greatest = values.reduce((a, b) => Math.max(a, b), -Infinity);
    const [low, high] = clip ? [Math.max(least, clip[0]), Math.min(greatest, clip[1])] : [least, greatest];
    const paint = maximize ? VIRIDIS : [...VIRIDIS].reverse();
    const isBright = (value) => (share(value, low, high, false) > 0.55) === maximize;
    const category = (axis, some) => ({ type: "category", data: some.map((value) => valueText(axis, value)), name: axis.name, ...axisStyle(), splitArea: { show: false } });
    heat.setOption(frame({
      grid: { left: 80, right: 110, top: 26, bottom: 48 },
      tooltip: { trigger: "item", formatter: ({ data: item }) => tip(`${x.name}: ${valueText(x, item.cell.x)}`, `${y.name}: ${valueText(y, item.cell.y)}`,
                                                                     `${of} ${metric.name}: ${told(item.cell.value)}`, `${item.cell.values.length} trials`) },
      xAxis: { ...category(x, columns), nameLocation: "middle", nameGap: 28 },
      yAxis: category(y, rows),
      visualMap: { min: low, max: high === low ? low + 1 : high, calculable: true, right: 0, top: "middle", precision: 4, itemHeight: 200, inRange: { color: paint },
                   textStyle: { color: style("--faint") }, formatter: told },
      series: [{ type: "heatmap", label: { show: found.length <= 60, formatter: ({ data: item }) => told(Number(item.cell.value.toPrecision(3))) },
                 data: found.map((cell) => ({ cell, value: [columns.indexOf(cell.x), rows.indexOf(cell.y), cell.value],
                                              label: { color: isBright(cell.value) ? "#000" : "#fff" } })) }],
    }), { notMerge: true });
    byId("heat-note").textContent = `Of the trials that are shown, over all other axes. Brighter is better. Click a cell to see its trials.`;
  }

  heat.on("click", ({ data: item }) => {
    keepValues(axisNamed(byId("heat-x").value), new Set([item.cell.x]));
    keepValues(axisNamed(byId("heat-y").value), new Set([item.cell.y]));
  });
  drawers.push(map);
}
