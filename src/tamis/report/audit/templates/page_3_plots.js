/* Small plots of one pair, drawn as SVG elements; shapes and dashes carry what colours do. */
const PLOT = {width: 300, height: 190, left: 36, right: 8, top: 10, bottom: 30};
const inner = {width: PLOT.width - PLOT.left - PLOT.right, height: PLOT.height - PLOT.top - PLOT.bottom};

const frame = (title, words, xTicks, yTicks, xLabel) => {
  const plot = drawn("svg", {viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, class: "plot", role: "img", "aria-label": words});
  for (const [place, text] of yTicks) {
    const y = PLOT.top + (1 - place) * inner.height;
    plot.append(drawn("line", {class: "grid", x1: PLOT.left, x2: PLOT.width - PLOT.right, y1: y, y2: y}));
    plot.append(drawn("text", {class: "tick", x: PLOT.left - 5, y: y + 3.5, "text-anchor": "end"}, text));
  }
  for (const [place, text] of xTicks)
    plot.append(drawn("text", {class: "tick", x: PLOT.left + place * inner.width, y: PLOT.height - 15, "text-anchor": "middle"}, text));
  plot.append(drawn("text", {class: "tick", x: PLOT.left + inner.width / 2, y: PLOT.height - 3, "text-anchor": "middle"}, xLabel));
  return make("figure", {class: "small"}, make("figcaption", null, title), plot);
};
const at = (x, y) => [PLOT.left + x * inner.width, PLOT.top + (1 - y) * inner.height];

/* bins: [count, sum of p, positives] of ten bins of p for each model. */
const reliabilityPlot = (title, models) => {
  const ticks = [[0, "0"], [0.5, "0.5"], [1, "1"]];
  const words = models.map(({name, bins}) => {
    const total = bins.reduce((sum, [count]) => sum + count, 0);
    const error = bins.reduce((sum, [count, p, positive]) => sum + Math.abs(p - positive), 0) / (total || 1);
    return `${name} calibration error ${fixed(error)} over ${whole(total)} samples`;
  }).join("; ");
  const figure = frame(`Reliability, ${title}`, `Reliability, ${title}: ${words}.`, ticks, ticks, "predicted probability \u2192 observed share");
  const plot = figure.querySelector("svg");
  const [x0, y0] = at(0, 0), [x1, y1] = at(1, 1);
  plot.append(drawn("line", {class: "ideal", x1: x0, y1: y0, x2: x1, y2: y1}));
  for (const {kind, bins} of models) {
    const points = bins.filter(([count]) => count).map(([count, p, positive]) => [...at(p / count, positive / count), count]);
    const most = Math.max(...points.map((point) => point[2]), 1);
    plot.append(drawn("polyline", {class: `line ${kind}`, points: points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ")}));
    for (const [x, y, count] of points) {
      const r = 1.8 + 2.6 * Math.sqrt(count / most);
      plot.append(kind === "dense" ? drawn("circle", {class: kind, cx: x.toFixed(1), cy: y.toFixed(1), r: r.toFixed(1)})
        : drawn("rect", {class: kind, x: (x - r).toFixed(1), y: (y - r).toFixed(1), width: (2 * r).toFixed(1), height: (2 * r).toFixed(1)}));
    }
  }
  figure.append(make("p", {class: "words"}, words + "."));
  return figure;
};

/* levels: counts of the 256 steps of the logit by label for each model; positives up, negatives down. */
const BARS = 32;
const coarse = (levels) => Array.from({length: BARS}, (_, bar) =>
  levels.slice(bar * 8, bar * 8 + 8).reduce((sum, count) => sum + count, 0));
const histogramPlot = (title, models, step) => {
  const sides = models.map(({kind, name, levels}) => ({kind, name, up: coarse(levels[1]), down: coarse(levels[0])}));
  const most = Math.max(1, ...sides.flatMap(({up, down}) => [...up, ...down]));
  const end = 128 * step;
  const sums = sides.map(({name, up, down}) => {
    const above = (bars) => bars.slice(BARS / 2).reduce((sum, count) => sum + count, 0);
    const all = (bars) => bars.reduce((sum, count) => sum + count, 0);
    return `${name}: ${whole(above(up))} of ${whole(all(up))} positives and ${whole(above(down))} of ${whole(all(down))} negatives above logit 0`;
  }).join("; ");
  const figure = frame(`Logits, ${title}`, `Histogram of logits, ${title}. ${sums}.`,
    [[0, signed(-end, 1)], [0.5, "0"], [1, signed(end, 1)]], [[0, whole(most)], [0.5, "0"], [1, whole(most)]], "logit; labelled yes above, no below");
  const plot = figure.querySelector("svg");
  for (const {kind, up, down} of sides) {
    const outline = (bars, sign) => {
      const points = [at(0, 0.5)];
      bars.forEach((count, bar) => { for (const edge of [bar, bar + 1]) points.push(at(edge / BARS, 0.5 + sign * count / most / 2)); });
      points.push(at(1, 0.5));
      return points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
    };
    for (const [bars, sign] of [[up, 1], [down, -1]]) plot.append(drawn("polygon", {class: `bars ${kind}`, points: outline(bars, sign)}));
  }
  for (const {kind} of sides) plot.append(drawn("line", {class: `threshold ${kind}`, y1: PLOT.top, y2: PLOT.top + inner.height, x1: 0, x2: 0}));
  figure.append(make("p", {class: "words"}, sums + "."));
  figure.move = (kind, level) => {
    const x = at(level / 256, 0)[0].toFixed(1);
    const line = plot.querySelector(`.threshold.${kind}`);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  };
  return figure;
};
