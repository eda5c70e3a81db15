// Learning curves: a line per trial, or per configuration with the interval of its mean; and what trials took and reached.
"use strict";
{
  const own = chart("curves");
  const cache = new Map();
  const hasSeeds = data.configurations.some((one) => one.trials.length > 1);
  byId("curve-metric").append(...data.metrics.map((metric, index) => element("option", { value: index, textContent: metric.name })));
  byId("over-seeds").checked = hasSeeds;
  byId("over-seeds-label").hidden = !hasSeeds;
  for (const id of ["curve-metric", "over-seeds", "curve-log"]) byId(id).addEventListener("change", curves);

  function points(index, seeds) {
    const key = `${index} ${seeds}`, metric = data.metrics[index];
    if (!cache.has(key)) cache.set(key, unpacked(seeds ? metric.over_seeds : metric));
    return cache.get(key);
  }

  /** The stretches of a curve that can be drawn: what is no number breaks it. */
  function stretches(curve, log) {
    const found = [[]];
    for (const [epoch, value] of curve) {
      if (Number.isFinite(value) && !(log && value <= 0)) found[found.length - 1].push([epoch, value]);
      else if (found[found.length - 1].length) found.push([]);
    }
    return found.filter((stretch) => stretch.length);
  }

  function curves() {
    const index = Number(byId("curve-metric").value), metric = data.metrics[index];
    if (!metric) return;
    const seeds = byId("over-seeds").checked, log = byId("curve-log").checked, painted = colours();
    const kept = new Set(passing()), all = points(index, seeds), lines = [], dots = [], polygons = [];
    const members = seeds
      ? data.configurations.map((one, number) => ({ number, trial: one.trials[0], name: one.name, shown: one.trials.some((trial) => kept.has(trial)) }))
      : everything.map((trial) => ({ number: trial, trial, name: trials.name[trial], shown: kept.has(trial) }));
    let [least, greatest, broken, last] = [Infinity, -Infinity, 0, 1];
    for (const member of members.filter((one) => one.shown)) {
      const curve = all[member.number], drawn = stretches(curve, log);
      if (drawn.reduce((sum, stretch) => sum + stretch.length, 0) < curve.length) broken++;
      for (const stretch of drawn) {
        for (const [epoch, value] of stretch) {
          [least, greatest, last] = [Math.min(least, value), Math.max(greatest, value), Math.max(last, epoch)];
        }
        const item = { member, lineStyle: { color: painted[member.trial] } };
        if (stretch.length > 1) lines.push({ ...item, coords: stretch });
        else dots.push({ member, value: stretch[0], itemStyle: { color: painted[member.trial] } });
      }
      if (seeds) {
        const band = curve.filter(([, value, half]) => Number.isFinite(value) && Number.isFinite(half) && !(log && value - half <= 0));
        if (band.length > 1) polygons.push({ member, band, colour: painted[member.trial] });
      }
    }
    const isClipped = metric.clip !== null && (least < metric.clip[0] || greatest > metric.clip[1]);
    if (isClipped) [least, greatest] = [Math.max(least, metric.clip[0]), Math.min(greatest, metric.clip[1])];
    const notes = [];
    if (isClipped) notes.push(`The scale is that of most values, ${told(least)} to ${told(greatest)}: the others would flatten it.`);
    if (broken) notes.push(`${broken} ${broken === 1 ? "curve has" : "curves have"} values that cannot be drawn (${log ? "not above 0, " : ""}NaN or infinite).`);
    byId("curves-note").textContent = notes.join(" ");
    const pad = (greatest - least) * 0.03 || Math.abs(greatest) * 0.03 || 1;
    const tooltip = { formatter: ({ data: item }) => hover(item.member, all[item.member.number], metric.name) };
    own.setOption(frame({
      grid: { left: 64, right: 18, top: 24, bottom: 42 },
      tooltip: { trigger: "item" },
      xAxis: { type: "value", name: "epoch", nameLocation: "middle", nameGap: 26, min: Math.min(1, last), max: last, minInterval: 1, ...axisStyle() },
      yAxis: { type: log ? "log" : "value", name: metric.name, min: log ? least : least - pad, max: log ? greatest : greatest + pad, ...axisStyle(),
               axisLabel: { color: style("--faint"), showMinLabel: false, showMaxLabel: false, formatter: told } },
      dataZoom: [{ type: "inside", xAxisIndex: 0, zoomOnMouseWheel: "ctrl" }],
      series: [
        { type: "custom", renderItem: (_, api) => polygon(polygons[api.value(0)], api), data: polygons.map((_, at) => [at]), silent: true, clip: true, z: 1 },
        { type: "lines", coordinateSystem: "cartesian2d", polyline: true, clip: true, data: lines, tooltip,
          lineStyle: { width: seeds ? 1.8 : 1.2, opacity: lines.length > 200 ? 0.45 : 0.85 }, emphasis: { lineStyle: { width: 3, opacity: 1 } }, z: 2 },
        { type: "scatter", data: dots, symbolSize: 6, tooltip, z: 3 },
      ],
    }), { notMerge: true });
  }

  function polygon(one, api) {
    const upper = one.band.map(([epoch, value, half]) => api.coord([epoch, value + half]));
    const lower = one.band.map(([epoch, value, half]) => api.coord([epoch, value - half])).reverse();
    return { type: "polygon", shape: { points: [...upper, ...lower] }, style: { fill: one.colour, opacity: 0.1 } };
  }

  function hover(member, curve, name) {
    const [epoch, value] = curve[curve.length - 1];
    const lastOne = `${name} ${told(value)} at epoch ${epoch}, the last`;
    return byId("over-seeds").checked ? tip(member.name.split(",").join("\n"), lastOne) : trialTip(member.trial, lastOne);
  }

  drawers.push(curves);

  const time = chart("seconds");
  drawers.push(() => {
    const painted = colours(), values = trials.values[data.metric.name];
    const dots = passing().filter((trial) => Number.isFinite(values[trial]) && Number.isFinite(trials.seconds[trial]))
      .map((trial) => ({ trial, value: [trials.seconds[trial], values[trial]], itemStyle: { color: painted[trial] } }));
    const clip = data.metric.clip;
    time.setOption(frame({
      grid: { left: 64, right: 18, top: 24, bottom: 42 },
      tooltip: { trigger: "item", formatter: ({ data: item }) => trialTip(item.trial, `${told(item.value[0])} s`) },
      xAxis: { type: "value", name: "seconds", nameLocation: "middle", nameGap: 26, scale: true, ...axisStyle() },
      yAxis: { type: "value", name: data.metric.name, scale: true, ...(clip ? { min: clip[0], max: clip[1] } : {}), ...axisStyle() },
      series: [{ type: "scatter", data: dots, symbolSize: 8, clip: true }],
    }), { notMerge: true });
  });
}
