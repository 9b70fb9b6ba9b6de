// Draws the charts of a page with uPlot. A chart's data is in its data-chart attribute, as dashboard/charts.py writes it.
"use strict";

const DAY = 86400;
const FONT = "12px system-ui, sans-serif";
const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const drawn = new Map();

// Colours are functions, because they follow the colour scheme.
const color = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const twoDigits = (number) => String(number).padStart(2, "0");

function dayLabel(seconds) {
  const date = new Date(seconds * 1000);
  return `${WEEKDAYS[date.getUTCDay()]} ${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
}

function timeLabel(seconds, step) {
  const date = new Date(seconds * 1000);
  const time = `${twoDigits(date.getUTCHours())}:${twoDigits(date.getUTCMinutes())}`;
  return step >= DAY ? `${dayLabel(seconds)} ${date.getUTCFullYear()}` : `${dayLabel(seconds)}, ${time}`;
}

function axisLabel(seconds) {
  const date = new Date(seconds * 1000);
  const midnight = date.getUTCHours() === 0 && date.getUTCMinutes() === 0;
  return midnight ? dayLabel(seconds) : `${twoDigits(date.getUTCHours())}:${twoDigits(date.getUTCMinutes())}`;
}

// What a chart shows at one of its times, in words.
function reading(chart, index) {
  if (chart.notes.length) return `${timeLabel(chart.times[index], chart.step)}: ${chart.notes[index]}`;
  const values = chart.series.map((series) => {
    const value = series.values[index];
    return `${series.label} ${value === null ? "not there yet" : value.toLocaleString("en")}`;
  });
  return `${timeLabel(chart.times[index], chart.step)}: ${values.join(", ")}`;
}

const { bars, stepped, linear } = uPlot.paths;
const PATHS = {
  bars: bars({ size: [0.85, 48], align: 1 }),
  steps: stepped({ align: 1 }),
  line: linear(),
  points: () => null,
};

function seriesOptions(series) {
  const options = { label: series.label, paths: PATHS[series.style], stroke: color(series.color), width: 0, points: { show: false } };
  if (series.style === "bars") options.fill = color(`${series.color}-soft`);
  if (series.style === "steps" || series.style === "line") options.width = 2;
  if (series.style === "points") options.points = { show: true, size: series.color === "bad" ? 11 : 7, width: 1, fill: color(series.color) };
  return options;
}

function shade(plot, chart) {
  const { ctx, bbox } = plot;
  for (const [from, to] of chart.shaded) {
    const left = Math.max(plot.valToPos(from, "x", true), bbox.left);
    const right = Math.min(plot.valToPos(to, "x", true), bbox.left + bbox.width);
    if (right <= left) continue;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, bbox.top, right - left, bbox.height);
    ctx.clip();
    ctx.fillStyle = color("shade")();
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    ctx.strokeStyle = color("shade-line")();
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    for (let x = left - bbox.height; x < right; x += 9 * devicePixelRatio) {
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x + bbox.height, bbox.top);
    }
    ctx.stroke();
    ctx.restore();
  }
}

function axes(chart) {
  const line = { stroke: color("grid"), width: 1 };
  const axis = { stroke: color("quiet"), font: FONT, grid: line, ticks: { ...line, size: 5 } };
  const hours = [1, 2, 3, 6, 12].map((count) => count * 3600);
  const days = [1, 2, 7, 14, 28, 56, 112].map((count) => count * DAY);
  const minutes = [1, 5, 15, 30].map((count) => count * 60);
  const incrs = chart.step >= DAY ? days : [...(chart.step ? [] : minutes), ...hours, ...days];
  const x = { ...axis, size: 30, space: 78, incrs, values: (_, splits) => splits.map(axisLabel) };
  const widest = Math.max(0, ...chart.lanes.map((lane) => lane.length));
  const y = chart.lanes.length
    ? { ...axis, size: widest * 6.6 + 16, splits: () => chart.lanes.map((_, lane) => lane), values: () => chart.lanes }
    : { ...axis, size: 48, space: 34, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 100000, 1000000] };
  return [x, y];
}

function draw(element) {
  const chart = JSON.parse(element.dataset.chart);
  if (!chart.times.length) return;
  drawn.get(element)?.destroy();
  element.replaceChildren();
  const last = chart.times.length - 1;
  const tooltip = document.createElement("div");
  tooltip.className = "tooltip";
  tooltip.hidden = true;

  const show = (plot) => {
    const { idx, left } = plot.cursor;
    tooltip.hidden = idx === null || idx === undefined || left < 0;
    if (tooltip.hidden) return;
    const text = reading(chart, idx);
    const [when, ...values] = text.split(": ");
    tooltip.replaceChildren(Object.assign(document.createElement("strong"), { textContent: when }));
    for (const value of values.join(": ").split(", ")) tooltip.append(Object.assign(document.createElement("span"), { textContent: value }));
    const room = plot.over.clientWidth;
    const at = plot.valToPos(chart.times[idx] + chart.step / 2, "x");
    tooltip.style.left = `${plot.over.offsetLeft + at + (at > room / 2 ? -12 : 12)}px`;
    tooltip.classList.toggle("before", at > room / 2);
    element.setAttribute("aria-valuenow", String(idx));
    element.setAttribute("aria-valuetext", text);
  };
  // The value that the pointer is in, not the one whose beginning is nearest.
  const underPointer = (plot, _, nearest, x) => {
    if (!chart.step) return nearest;
    const found = chart.times.findLastIndex((time) => time <= x);
    return found < 0 ? 0 : found;
  };
  const height = chart.lanes.length ? chart.lanes.length * 26 + 42 : 230;
  const plot = new uPlot(
    {
      width: element.clientWidth,
      height,
      padding: [12, 28, 0, 4],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false }, dataIdx: underPointer },
      scales: {
        x: { time: true, range: () => [chart.times[0], chart.times[last] + (chart.step || 60)] },
        y: { range: (_, __, max) => (chart.lanes.length ? [-0.6, chart.lanes.length - 0.4] : [0, Math.max(max * 1.08, 1)]) },
      },
      axes: axes(chart),
      series: [{}, ...chart.series.map(seriesOptions)],
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      hooks: { drawClear: [(plot) => shade(plot, chart)], setCursor: [show] },
    },
    [chart.times, ...chart.series.map((series) => series.values)],
    element,
  );
  element.append(tooltip);
  drawn.set(element, plot);

  // A slider, for the keyboard and for screen readers: its positions are the chart's times.
  const position = (index) => plot.setCursor({ left: plot.valToPos(chart.times[index] + chart.step / 2, "x"), top: 0 });
  const attributes = { role: "slider", tabindex: 0, "aria-label": chart.title, "aria-valuemin": 0, "aria-valuemax": last };
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.setAttribute("aria-valuenow", String(last));
  element.setAttribute("aria-valuetext", reading(chart, last));
  element.onkeydown = (event) => {
    const index = Number(element.getAttribute("aria-valuenow"));
    const moves = { ArrowLeft: index - 1, ArrowRight: index + 1, PageUp: index - 24, PageDown: index + 24, Home: 0, End: last };
    if (!(event.key in moves)) return;
    event.preventDefault();
    position(Math.min(Math.max(moves[event.key], 0), last));
  };
  element.onblur = () => plot.setCursor({ left: -10, top: -10 });
}

// A line without axes in a table's cell. The table has the numbers beside it.
function drawSpark(element) {
  const chart = JSON.parse(element.dataset.spark);
  drawn.get(element)?.destroy();
  element.replaceChildren();
  const [series] = chart.series;
  if (series.values.length < 2) return;
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", `${chart.title}: ${series.values.map((value) => value.toLocaleString("en")).join("; ")}`);
  element.title = `${chart.title}: from ${Math.min(...series.values).toLocaleString("en")} to ${Math.max(...series.values).toLocaleString("en")}`;
  const options = { ...seriesOptions(series), width: 1.5, fill: color(`${series.color}-soft`) };
  const plot = new uPlot(
    {
      width: 90,
      height: 24,
      legend: { show: false },
      cursor: { show: false },
      padding: [2, 1, 2, 1],
      scales: { x: { time: false }, y: { range: (_, __, max) => [0, Math.max(max, 1)] } },
      axes: [{ show: false }, { show: false }],
      series: [{}, options],
    },
    [chart.times, series.values],
    element,
  );
  drawn.set(element, plot);
}

function drawCharts(root) {
  for (const element of drawn.keys()) {
    if (element.isConnected) continue;
    drawn.get(element).destroy();
    drawn.delete(element);
  }
  for (const element of root.querySelectorAll("[data-chart]")) {
    draw(element);
    resized.observe(element);
  }
  for (const element of root.querySelectorAll("[data-spark]")) drawSpark(element);
}

const resized = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const plot = drawn.get(target);
    if (plot && plot.width !== contentRect.width) plot.setSize({ width: contentRect.width, height: plot.height });
  }
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawCharts(document));
document.addEventListener("refreshed", (event) => drawCharts(event.target));
// The parts of the page are compared with what the server sent, before charts are drawn into them: refresh.js is last.
document.addEventListener("DOMContentLoaded", () => drawCharts(document));
