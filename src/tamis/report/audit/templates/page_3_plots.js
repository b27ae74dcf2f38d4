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


/* counts: of the steps of p by label, [no, yes]; ten bins of [count, sum of p, positives]. */
const tenBins = (counts) => Array.from({length: 10}, (_, bin) => {
  const sums = [0, 0, 0], each = data.bins / 10;
  for (let step = bin * each; step < (bin + 1) * each; step += 1) {
    const count = counts[0][step] + counts[1][step];
    sums[0] += count; sums[1] += count * (step + 0.5) / data.bins; sums[2] += counts[1][step];
  }
  return sums;
});
const reliabilityPlot = (title, models) => {
  const ticks = [[0, "0"], [0.5, "0.5"], [1, "1"]];
  const sides = models.map((model) => ({...model, bins: tenBins(model.counts)}));
  const words = sides.map(({name, bins}) => {
    const total = bins.reduce((sum, [count]) => sum + count, 0);
    const error = bins.reduce((sum, [, p, positive]) => sum + Math.abs(p - positive), 0) / (total || 1);
    return `${name}: calibration error about ${fixed(error)}`;
  }).join("; ");
  const figure = frame(`Reliability, ${title}`, `Reliability, ${title}: ${words}.`, ticks, ticks, "predicted probability, and observed share above it");
  const plot = figure.querySelector("svg");
  const [x0, y0] = at(0, 0), [x1, y1] = at(1, 1);
  plot.append(drawn("line", {class: "ideal", x1: x0, y1: y0, x2: x1, y2: y1}));
  for (const {kind, bins} of sides) {
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

/* Bars of about equal width on the scale of the logit, where most of a classifier's probabilities are apart. */
const EDGES = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 0.99, 1];
const BARS = EDGES.length - 1;
const placeOf = (p) => {
  const bar = Math.max(0, EDGES.findIndex((edge, i) => i < BARS && p < EDGES[i + 1]));
  return p >= 1 ? 1 : (bar + (p - EDGES[bar]) / (EDGES[bar + 1] - EDGES[bar])) / BARS;
};
const coarse = (counts) => EDGES.slice(1).map((edge, bar) => counts
  .slice(Math.round(EDGES[bar] * data.bins), Math.round(edge * data.bins)).reduce((sum, count) => sum + count, 0));
const histogramPlot = (title, models) => {
  const sides = models.map(({kind, name, counts}) => ({kind, name, up: coarse(counts[1]), down: coarse(counts[0])}));
  const most = Math.max(1, ...sides.flatMap(({up, down}) => [...up, ...down]));
  const total = (bars) => bars.reduce((sum, count) => sum + count, 0);
  const sums = sides.map(({name, up, down}) =>
    `${name}: ${whole(total(up.slice(BARS / 2)))} of ${whole(total(up))} yes and ${whole(total(down.slice(BARS / 2)))} of ${whole(total(down))} no above 0.5`).join("; ");
  const ticks = [0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99].map((p) => [placeOf(p), String(p)]);
  const figure = frame(`Logits, ${title} (heights are square roots of counts)`, `Histogram of logits, ${title}. ${sums}.`, ticks,
    [[0, whole(most)], [0.25, whole(most / 4)], [0.5, "0"], [0.75, whole(most / 4)], [1, whole(most)]], "probability, spaced like its logit");
  const plot = figure.querySelector("svg");
  for (const {kind, up, down} of sides) {
    for (const [bars, sign] of [[up, 1], [down, -1]]) {
      const points = [at(0, 0.5)];
      bars.forEach((count, bar) => { for (const edge of [bar, bar + 1]) points.push(at(edge / BARS, 0.5 + sign * Math.sqrt(count / most) / 2)); });
      points.push(at(1, 0.5));
      plot.append(drawn("polygon", {class: `bars ${kind}`, points: points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ")}));
    }
  }
  for (const [y, text] of [[PLOT.top + 10, "labelled yes"], [PLOT.top + inner.height - 4, "labelled no"]])
    plot.append(drawn("text", {class: "tick", x: PLOT.left + inner.width * 0.3, y, "text-anchor": "middle"}, text));
  for (const {kind} of sides) plot.append(drawn("line", {class: `threshold ${kind}`, y1: PLOT.top, y2: PLOT.top + inner.height, x1: 0, x2: 0}));
  figure.append(make("p", {class: "words"}, sums + "."));
  figure.move = (kind, p) => {
    const line = plot.querySelector(`.threshold.${kind}`), x = at(placeOf(p), 0)[0].toFixed(1);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  };
  return figure;
};
