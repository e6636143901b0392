// Seven days of outcomes, drawn as SVG, with the same numbers as a table for screen readers.

import { h, svg } from "./dom.js";
import { dayOf } from "./format.js";
import { language, number, t } from "./i18n.js";

const [WIDTH, HEIGHT, GAP, FOOT, HEAD] = [420, 96, 10, 18, 14];

/** A place for the chart, which is empty as long as nothing was sent. `render` takes the statistics of a webhook. */
export function chartHost() {
  const node = h("div", { class: "chart-host" });
  return {
    node,
    render(stats) {
      const days = stats?.days;
      const any = days?.some(({ success, fail }) => success + fail > 0);
      const key = JSON.stringify([any && days, stats?.complete, language()]);
      if (node.dataset.key === key) return;
      node.dataset.key = key;
      const partial = stats?.complete === false && h("p", { class: "hint" }, t("chart.partial"));
      node.replaceChildren(...(any ? [daysChart(days), partial || ""] : []));
    },
  };
}

/** Successes and failures of each day, stacked. `days` is oldest first. */
function daysChart(days) {
  const most = Math.max(1, ...days.map(({ success, fail }) => success + fail));
  const total = (kind) => days.reduce((sum, day) => sum + day[kind], 0);
  const [success, fail] = [total("success"), total("fail")];
  const label = `${t("chart.title")}: ${t("chart.day", { success, fail })}`;
  const bars = days.flatMap((day, index) => barOf(day, index, most, WIDTH / days.length));
  return h(
    "figure",
    { class: "chart" },
    h(
      "figcaption",
      {},
      h("strong", {}, t("chart.title")),
      h("span", { class: "key good" }, t("chart.success", { count: success })),
      h("span", { class: "key bad" }, t("chart.fail", { count: fail })),
    ),
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, ...bars),
    daysTable(days),
  );
}

function barOf({ date, success, fail }, index, most, step) {
  const x = index * step + GAP / 2;
  const width = step - GAP;
  const base = HEIGHT - FOOT;
  // Even one delivery among thousands stays visible.
  const scale = (count) => (count ? Math.max(2, (count / most) * (base - HEAD)) : 0);
  const [good, bad] = [scale(success), scale(fail)];
  const rect = (kind, y, height) => svg("rect", { class: kind, x, y, width, height, rx: 2 });
  const text = (content, y, kind) => {
    const element = svg("text", { x: x + width / 2, y, class: kind });
    element.textContent = content;
    return element;
  };
  const title = svg("title");
  title.textContent = `${dayOf(date, { dateStyle: "full" })}: ${t("chart.day", { success, fail })}`;
  return [
    good ? rect("good", base - good, good) : "",
    bad ? rect("bad", base - good - bad - (good ? 1 : 0), bad) : "",
    success + fail ? text(number(success + fail), base - good - bad - 5, "value") : rect("none", base - 2, 2),
    text(dayOf(date, { weekday: "short" }), HEIGHT - 4, "label"),
    svg("rect", { class: "hover", x: index * step, y: 0, width: step, height: HEIGHT }, title),
  ];
}

function daysTable(days) {
  const heads = [t("chart.date"), t("delivery.success"), t("delivery.fail")];
  const row = ({ date, success, fail }) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, dayOf(date, { dateStyle: "medium" })),
      h("td", {}, number(success)),
      h("td", {}, number(fail)),
    );
  return h(
    "table",
    { class: "visually-hidden" },
    h("caption", {}, t("chart.title")),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        heads.map((text) => h("th", { scope: "col" }, text)),
      ),
    ),
    h("tbody", {}, days.map(row)),
  );
}
