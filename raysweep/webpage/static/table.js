// The leaderboard: configurations over their seeds, sorted and chosen; and the values of each axis, to choose by.
"use strict";
{
  const FEW = 12; // values that an axis can be chosen by
  const metric = data.metric.name;
  const manySeeds = data.configurations.some((one) => one.trials.length > 1);
  const parameters = [...new Set(data.configurations.flatMap((one) => Object.keys(one.parameters)))];
  const others = Object.keys(trials.values).filter((name) => name !== metric);
  const means = data.configurations.flatMap((one) => [one.mean, one.low, one.high]).map(Number).filter(Number.isFinite);
  const clip = data.metric.clip;
  const least = clip ? clip[0] : Math.min(...means), greatest = clip ? clip[1] : Math.max(...means);
  const chosen = new Set(); // numbers of configurations
  let order = data.configurations.map((_, index) => index), sorted = { name: null, down: false };

  const first = (one) => one.trials[0];
  const average = (one, column) => {
    const numbers = one.trials.map((trial) => column[trial]).filter((value) => typeof value === "number");
    return numbers.length ? numbers.reduce((a, b) => a + b, 0) / numbers.length : column[first(one)];
  };
  const state = (one) => [...new Set(one.trials.map((trial) => trials.state[trial]))].join(", ");
  const columns = [
    ...(data.runs.length > 1 ? [["run", (one) => data.runs[one.run].name]] : []),
    ...parameters.map((name) => [name, (one) => readable(one.parameters[name])]),
    [manySeeds ? `mean ${metric}` : metric, (one) => one.mean],
    ...(manySeeds ? [["n", (one) => one.n], ["std", (one) => one.std], ["95 % interval", interval],
                     ["cannot be told apart from the best", (one) => (one.tied ? "tied" : "")]] : []),
    ...others.map((name) => [name, (one) => average(one, trials.values[name])]),
    ["epoch", (one) => average(one, trials.epoch)],
    ["seconds", (one) => average(one, trials.seconds)],
    ["state", state],
    ...(manySeeds ? [] : [["trial", (one) => trials.id[first(one)]]]),
  ];

  function readable(text) {
    const number = Number(text);
    return text === undefined || text === "" || Number.isNaN(number) ? text : number;
  }

  function interval(one) {
    const [low, mean, high] = [one.low, one.mean, one.high].map(Number);
    if (![low, mean, high].every(Number.isFinite)) return null;
    const at = (value) => 100 * Math.min(Math.max(share(value, least, greatest, false), 0), 1);
    const bar = element("i"), dot = element("b");
    bar.style.left = `${at(low)}%`;
    bar.style.width = `${at(high) - at(low)}%`;
    dot.style.left = `${at(mean)}%`;
    return element("div", { className: "interval", title: `${told(one.low)} to ${told(one.high)}` }, bar, dot);
  }

  function cell(value) {
    if (value instanceof Element) return element("td", {}, value);
    const made = element("td", { textContent: told(value), className: typeof value === "number" ? "number" : "" });
    if (value === "tied") made.classList.add("tied");
    return made;
  }

  function sort(index) {
    const down = sorted.name === columns[index][0] && !sorted.down;
    sorted = { name: columns[index][0], down };
    const worth = (number) => {
      const value = columns[index][1](data.configurations[number]);
      return value instanceof Element ? Number(data.configurations[number].mean) : value;
    };
    const keys = new Map(order.map((number) => [number, worth(number)]));
    order = [...keys.keys()].sort((a, b) => compared(keys.get(a), keys.get(b), down));
    rows();
  }

  function compared(a, b, down) {
    const empty = (value) => value === null || value === undefined || value === "" || Number.isNaN(value) || value === "NaN";
    if (empty(a) || empty(b)) return empty(a) - empty(b);
    const way = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    return down ? -way : way;
  }

  const made = data.configurations.map((one, number) => {
    const row = element("tr", { tabIndex: 0, "aria-selected": "false" }, ...columns.map(([, value]) => cell(value(one))));
    row.title = one.name;
    row.addEventListener("click", () => choose(number));
    row.addEventListener("keydown", (event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      choose(number);
    });
    return row;
  });
  const body = element("tbody");

  function choose(number) {
    if (!chosen.delete(number)) chosen.add(number);
    const kept = [...chosen].flatMap((each) => data.configurations[each].trials);
    filter("rows", `${chosen.size} of the rows`, chosen.size ? kept : null);
  }

  function rows() {
    if (!filters.has("rows")) chosen.clear();
    const kept = new Set(passing("rows"));
    for (const number of order) {
      made[number].hidden = !data.configurations[number].trials.some((trial) => kept.has(trial));
      made[number].setAttribute("aria-selected", chosen.has(number));
    }
    body.replaceChildren(...order.map((number) => made[number]));
    byId("table").style.minHeight ||= `${byId("table").offsetHeight}px`; // what stands below stays where it is
  }

  const head = element("tr", {}, ...columns.map(([name], index) =>
    element("th", { scope: "col" }, element("button", { type: "button", textContent: name, onclick: () => sort(index) }))));
  byId("table").append(element("table", {}, element("thead", {}, head), body));
  drawers.push(rows);

  /** The values of each axis: pressed ones are shown, with their colours. */
  const pressed = new Map(data.axes.map((axis) => [axis.name, new Set()]));
  function values() {
    const fields = data.axes.filter((axis) => levels(axis).length <= FEW).map((axis) => {
      const some = pressed.get(axis.name);
      if (!filters.has(`axis ${axis.name}`)) some.clear();
      const isColour = byId("colour").value === axis.name;
      const buttons = levels(axis).map((value) => {
        const button = element("button", { type: "button", "aria-pressed": String(some.has(value)) });
        if (isColour) {
          const swatch = element("span", { className: "swatch" });
          swatch.style.background = colourOfValue(axis, value);
          button.append(swatch);
        }
        button.append(valueText(axis, value));
        button.addEventListener("click", () => press(axis, value));
        return button;
      });
      return element("span", { role: "group", "aria-label": axis.name }, element("b", { textContent: axis.name }), ...buttons);
    });
    byId("values").replaceChildren(...fields);
  }

  function press(axis, value) {
    const some = pressed.get(axis.name);
    if (!some.delete(value)) some.add(value);
    keepValues(axis, some);
  }

  drawers.push(values);
}

/** Show only the trials with some values of an axis; all where there are none. */
function keepValues(axis, values) {
  const label = `${axis.name}: ${[...values].map((value) => valueText(axis, value)).join(", ")}`;
  const kept = everything.filter((trial) => values.has(axis.values[trial]));
  filter(`axis ${axis.name}`, label, values.size ? kept : null);
}
