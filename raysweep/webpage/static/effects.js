// What mattered: the share of each axis, and the mean of each of its values, of all trials of a run.
"use strict";
{
  const numbers = { share: "share", importance: "importance", F: "F", p: "p", better_half: "among the better half", std: "std", df: "df" };

  function table(rows, names) {
    const there = Object.keys(names).filter((name) => rows.some((row) => row[name] !== null && row[name] !== undefined));
    const head = element("tr", {}, element("th", { textContent: "effect" }), ...there.map((name) => element("th", { textContent: names[name] })));
    const body = rows.map((row) => element("tr", {}, element("td", { textContent: row.effect }),
      ...there.map((name) => element("td", { className: "number", textContent: told(typeof row[name] === "number" ? Number(row[name].toPrecision(3)) : row[name]) }))));
    return element("div", { className: "scroll" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
  }

  function panel(run) {
    const means = element("div", { className: "chart" });
    const notes = element("ul", { className: "notes" }, ...run.notes.map((note) => element("li", { textContent: note })));
    const title = data.runs.length > 1 ? element("h3", { textContent: run.name }) : null;
    byId("effects").append(...[title, element("div", { className: "beside" }, table(run.effects, numbers), means), notes].filter(Boolean));
    if (!run.means.length) return means.remove();
    const own = echarts.init(means);
    charts.push(own);
    const ordered = inOrder(run.means);
    drawers.push(() => draw(own, ordered));
  }

  /** The values of each axis in their own order; axes with the greatest effect first, as they come. */
  function inOrder(rows) {
    const axes = [...new Set(rows.map((row) => row.axis))];
    return [...rows].sort((a, b) => axes.indexOf(a.axis) - axes.indexOf(b.axis) || Number(a.value) - Number(b.value) || 0);
  }

  function draw(own, rows) {
    const axes = [...new Set(rows.map((row) => row.axis))];
    const whisker = (_, api) => {
      const [low, high] = [api.coord([api.value(0), api.value(1)]), api.coord([api.value(0), api.value(2)])];
      const line = (x1, y1, x2, y2) => ({ type: "line", shape: { x1, y1, x2, y2 }, style: { stroke: style("--faint"), lineWidth: 1.5 } });
      return { type: "group", children: [line(...low, ...high), line(low[0] - 4, low[1], low[0] + 4, low[1]), line(high[0] - 4, high[1], high[0] + 4, high[1])] };
    };
    const isKnown = (row) => [row.low, row.high].every(Number.isFinite);
    own.setOption(frame({
      grid: { left: 64, right: 18, top: 24, bottom: 64 },
      tooltip: { trigger: "item", formatter: ({ data: item }) => tip(`${item.row.axis} = ${item.row.value}`, `mean over all else: ${told(item.row.mean)}`,
        isKnown(item.row) ? `95 %: ${told(item.row.low)} to ${told(item.row.high)}` : "", `best over the other axes: ${told(item.row.best)}`, `${item.row.n} values`) },
      xAxis: { type: "category", data: rows.map((row) => `${row.axis}=${row.value}`), ...axisStyle(), axisLabel: { color: style("--faint"), rotate: rows.length > 6 ? 35 : 0, interval: 0, width: 110, overflow: "truncate" } },
      yAxis: { type: "value", scale: true, name: `mean ${data.metric.name}`, ...axisStyle() },
      series: [
        { type: "custom", renderItem: whisker, data: rows.flatMap((row, at) => (isKnown(row) ? [[at, row.low, row.high]] : [])), encode: { x: 0, y: [1, 2] }, silent: true },
        { type: "scatter", symbolSize: 9, data: rows.map((row, at) => ({ row, value: [at, row.mean], itemStyle: { color: APART[axes.indexOf(row.axis) % APART.length] } })) },
      ],
    }), { notMerge: true });
  }

  data.runs.forEach(panel);
}
