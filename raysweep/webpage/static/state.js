// What is shown: the trials that pass all filters, the colour of each, and whoever must draw anew when that changes.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const trials = data.trials;
const everything = trials.id.map((_, index) => index);
const maximize = data.metric.goal === "maximize";
const filters = new Map(); // what chose -> {label, kept: Set of trials}
const drawers = [];
const charts = [];

const byId = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Numbers as people read them; what there is none of is empty. */
function told(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) < 1e-4 ? value.toExponential(2) : String(Number(value.toPrecision(5)));
}

function floats(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/** Curves of one kind: for each member its points [epoch, value], or [epoch, value, half of its interval]. */
function unpacked(packed) {
  const epochs = packed.epochs === null ? null : floats(packed.epochs), values = floats(packed.values);
  const halves = packed.half === undefined ? null : floats(packed.half);
  let at = 0;
  return packed.counts.map((count) => {
    const points = [];
    for (let place = 1; place <= count; place++, at++) {
      const epoch = epochs === null ? place : epochs[at];
      points.push(halves === null ? [epoch, values[at]] : [epoch, values[at], halves[at]]);
    }
    return points;
  });
}

/** The trials that pass all filters, less those of one kind. */
function passing(but = null) {
  const kept = [...filters].filter(([key]) => key !== but).map(([, filter]) => filter.kept);
  return everything.filter((trial) => kept.every((some) => some.has(trial)));
}

function filter(key, label, kept) {
  if (kept === null) filters.delete(key);
  else filters.set(key, { label, kept: new Set(kept) });
  draw();
}

function draw(but = null) {
  for (const drawer of drawers) if (drawer !== but) drawer();
}

const axisNamed = (name) => data.axes.find((axis) => axis.name === name);
const isText = (axis) => axis.texts.length > 0;
const valueText = (axis, value) => (isText(axis) ? axis.texts[value] || "(none)" : told(value));

/** The different values of an axis: texts as in the sweep file, numbers in order. */
function levels(axis) {
  const different = [...new Set(axis.values)];
  return isText(axis) ? axis.texts.map((_, index) => index) : different.sort((a, b) => a - b);
}

// Colours that people who see few colours can tell apart: Okabe and Ito's eight, and viridis for numbers.
const APART = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a800", "#7f7f7f"];
const VIRIDIS = ["#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#fde725"];

/** From 0 to 1, where a value lies between the least and the greatest. */
function share(value, least, greatest, log) {
  if (greatest === least) return 0.5;
  const scaled = log ? Math.log : (x) => x;
  return (scaled(value) - scaled(least)) / (scaled(greatest) - scaled(least));
}

function between(colours, where) {
  const place = Math.min(Math.max(where, 0), 1) * (colours.length - 1);
  return echarts.color.lerp(place / (colours.length - 1), colours);
}

/** The ends of viridis that cannot be seen on the paper are left out. */
const ramp = () => (isDark() ? VIRIDIS.slice(2) : VIRIDIS.slice(0, 7));

function colourOfValue(axis, value) {
  if (isText(axis)) return APART[value % APART.length];
  const numbers = levels(axis);
  return between(ramp(), share(value, numbers[0], numbers[numbers.length - 1], axis.log));
}

function colours() {
  const axis = axisNamed(byId("colour").value);
  if (!axis) return everything.map(() => APART[0]);
  const known = new Map(levels(axis).map((value) => [value, colourOfValue(axis, value)]));
  return axis.values.map((value) => known.get(value));
}

const isDark = () => document.documentElement.dataset.theme === "dark";
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function chart(id) {
  const made = echarts.init(byId(id));
  charts.push(made);
  return made;
}

/** What all charts have in common. */
function frame(option) {
  return {
    animation: false,
    aria: { enabled: true },
    textStyle: { color: style("--ink"), fontFamily: "system-ui, sans-serif" },
    ...option,
    tooltip: { backgroundColor: style("--card"), borderColor: style("--line"), textStyle: { color: style("--ink") },
               confine: true, ...option.tooltip },
  };
}

function axisStyle() {
  return {
    axisLine: { lineStyle: { color: style("--faint") } },
    axisLabel: { color: style("--faint"), hideOverlap: true },
    nameTextStyle: { color: style("--ink") },
    splitLine: { lineStyle: { color: style("--line"), opacity: 0.6 } },
  };
}

/** What hovering over something of a trial, or of several, shows: text only, whatever is in it. */
function tip(...lines) {
  return element("div", { className: "tip", textContent: lines.filter((line) => line).join("\n") });
}

function trialTip(trial, ...more) {
  const axes = data.axes.map((axis) => `${axis.name}: ${valueText(axis, axis.values[trial])}`);
  const value = `${data.metric.name} ${told(trials.values[data.metric.name][trial])} at epoch ${told(trials.epoch[trial])}`;
  return tip(axes.join("\n"), value, ...more, `${trials.state[trial]}, trial ${trials.id[trial]}`);
}
