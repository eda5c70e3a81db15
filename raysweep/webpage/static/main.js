// The page as a whole: its head, its filters, light or dark, and a newer one where a sweep is at work.
"use strict";
{
  const KEY = `raysweep ${data.title}`;
  const remembered = JSON.parse(recall() || "{}");

  function recall() {
    try { return sessionStorage.getItem(KEY); } catch { return null; } // a browser may refuse it to files
  }

  function remember() {
    const kept = { theme: document.documentElement.dataset.theme, colour: byId("colour").value, scroll: scrollY,
                   filters: [...filters].filter(([key]) => key !== "brush" && key !== "rows")
                     .map(([key, { label, kept: some }]) => [key, label, [...some].map((trial) => trials.id[trial])]) };
    try { sessionStorage.setItem(KEY, JSON.stringify(kept)); } catch { /* then it begins anew */ }
  }

  document.title = `${data.title} · raysweep`;
  byId("title").textContent = data.title;
  const states = {};
  for (const state of trials.state) states[state] = (states[state] || 0) + 1;
  const counts = Object.entries(states).map(([state, count]) => `${count} ${state}`).join(", ");
  byId("summary").textContent = [data.runs.map((run) => run.description).filter(Boolean).join(" "),
    `${data.metric.goal} ${data.metric.name} (${data.metric.at})`, `${everything.length} trials: ${counts}`,
    `made ${new Date(data.made).toLocaleString()}`].filter(Boolean).join(" · ");
  const problems = data.runs.flatMap((run) => run.problems);
  byId("problems").hidden = !problems.length;
  byId("problems").append(...problems.map((text) => element("p", { textContent: text })));
  const named = (run, text) => (data.runs.length > 1 ? `${run.name}: ${text}` : text);
  byId("remarks").append(...data.runs.flatMap((run) => run.remarks.map((text) => element("li", { textContent: named(run, text) }))));

  byId("colour").append(...data.axes.map((axis) => element("option", { value: axis.name, textContent: axis.name })));
  const first = data.axes.find((axis) => !data.runs.some((run) => run.seeds.includes(axis.name))) || data.axes[0];
  if (first) byId("colour").value = axisNamed(remembered.colour) ? remembered.colour : first.name;
  byId("colour").addEventListener("change", () => draw());

  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  function theme(name) {
    document.documentElement.dataset.theme = name;
    draw();
  }
  document.documentElement.dataset.theme = remembered.theme || (prefersDark.matches ? "dark" : "light");
  byId("theme").addEventListener("click", () => theme(isDark() ? "light" : "dark"));
  prefersDark.addEventListener("change", () => theme(prefersDark.matches ? "dark" : "light"));

  drawers.push(() => {
    byId("shown").textContent = `${passing().length} of ${everything.length} trials shown`;
    byId("clear").hidden = !filters.size;
    byId("filters").replaceChildren(...[...filters].map(([key, { label }]) =>
      element("button", { type: "button", textContent: `${label} ✕`, title: "take it back", onclick: () => takeBack([key]) })));
  });

  function takeBack(keys) {
    if (keys.includes("brush")) clearBrush();
    for (const key of keys) filters.delete(key);
    draw();
  }
  byId("clear").addEventListener("click", () => takeBack([...filters.keys()]));
  addEventListener("resize", () => charts.forEach((each) => each.resize()));
  addEventListener("beforeprint", () => charts.forEach((each) => each.resize()));

  for (const [key, label, ids] of remembered.filters || []) {
    const some = new Set(ids);
    filters.set(key, { label, kept: new Set(everything.filter((trial) => some.has(trials.id[trial]))) });
  }
  draw();
  scrollTo(0, remembered.scroll || 0);
  addEventListener("pagehide", remember);
  if (data.refresh !== null) setTimeout(() => location.reload(), 1000 * data.refresh);
}
