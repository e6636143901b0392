// Seven days of outcomes, drawn as SVG, and as a table for who cannot see that.

import { h, svg } from "./dom.js";
import { dayOf } from "./format.js";
import { number, t } from "./i18n.js";

/** Successes and failures of each day, stacked. `days` is oldest first. */
export function daysChart(days) {
  const [width, height, gap, foot] = [420, 96, 10, 18];
  const most = Math.max(1, ...days.map(({ success, fail }) => success + fail));
  const bar = width / days.length;
  const scale = (count) => (count ? Math.max(2, (count / most) * (height - foot - 14)) : 0);
  const bars = days.flatMap(({ date, success, fail }, index) => {
    const x = index * bar + gap / 2;
    const [good, bad] = [scale(success), scale(fail)];
    const base = height - foot;
    const total = success + fail;
    const label = dayOf(date, { weekday: "short" });
    const rect = (kind, y, tall) => svg("rect", { class: kind, x, y, width: bar - gap, height: tall, rx: 2 });
    const text = (content, y, kind) => {
      const element = svg("text", { x: x + (bar - gap) / 2, y, class: kind });
      element.textContent = content;
      return element;
    };
    const title = svg("title");
    title.textContent = `${dayOf(date, { dateStyle: "full" })}: ${t("chart.day", { success, fail })}`;
    const hover = svg("rect", { class: "hover", x: index * bar, y: 0, width: bar, height });
    hover.append(title);
    return [
      good ? rect("good", base - good, good) : "",
      bad ? rect("bad", base - good - bad - (good ? 1 : 0), bad) : "",
      total ? text(number(total), base - good - bad - 5, "value") : rect("none", base - 2, 2),
      text(label, height - 4, "label"),
      hover,
    ];
  });
  const total = (kind) => days.reduce((sum, day) => sum + day[kind], 0);
  const [success, fail] = [total("success"), total("fail")];
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
    svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${t("chart.title")}: ${t("chart.day", { success, fail })}` }, ...bars),
    h(
      "table",
      { class: "visually-hidden" },
      h("caption", {}, t("chart.title")),
      h("thead", {}, h("tr", {}, [t("chart.date"), t("delivery.success"), t("delivery.fail")].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, days.map((day) => h("tr", {}, h("th", { scope: "row" }, dayOf(day.date, { dateStyle: "medium" })), h("td", {}, number(day.success)), h("td", {}, number(day.fail))))),
    ),
  );
}
