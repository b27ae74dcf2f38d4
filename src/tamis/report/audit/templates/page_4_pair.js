/* One pair of attribute and identity: counts, rates of the groups, plots, and what another threshold would do. */
const panel = document.getElementById("pair");
const WHICH = ["dense", "compressed"];

/* Counts n[group, label, predicted], flat in this order. */
const at3 = (counts, group, label, predicted) => counts[4 * group + 2 * label + predicted];
const ratesOf = (counts, group) => {
  const [tn, fp, fn, tp] = [at3(counts, group, 0, 0), at3(counts, group, 0, 1), at3(counts, group, 1, 0), at3(counts, group, 1, 1)];
  const over = (part, all) => all ? part / all : null;
  return {count: tn + fp + fn + tp, accuracy: over(tn + tp, tn + fp + fn + tp), fpr: over(fp, fp + tn), fnr: over(fn, fn + tp),
    selected: over(fp + tp, tn + fp + fn + tp)};
};
const amplification = (counts, toward) => {
  const predicted = [0, 1].map((g) => at3(counts, g, 0, 1) + at3(counts, g, 1, 1));
  const labelled = [0, 1].map((g) => at3(counts, g, 1, 0) + at3(counts, g, 1, 1));
  const parts = [predicted, labelled].map((sums) => sums[0] + sums[1] ? sums[toward] / (sums[0] + sums[1]) : null);
  return parts.includes(null) ? null : parts[0] - parts[1];
};
const summaryOf = (counts, toward) => {
  const sum = (...cells) => cells.reduce((total, cell) => total + counts[cell], 0);
  const all = sum(0, 1, 2, 3, 4, 5, 6, 7), positives = sum(2, 3, 6, 7);
  return {accuracy: sum(0, 3, 4, 7) / all, ba: toward === null ? null : amplification(counts, toward), count: positives ? sum(1, 3, 5, 7) / positives : null};
};

const countsTable = (cell, groups) => {
  const rows = [1, 0].flatMap((group) => [1, 0].map((label) => [`${groups[group]}, labelled ${label ? "yes" : "no"}`,
    ...WHICH.flatMap((which) => [1, 0].map((predicted) => whole(at3(cell[which], group, label, predicted))))]));
  return table(`Counts${data.pooled ? ", summed over " + data.pooled : ""}: group \u00d7 label \u00d7 prediction.`,
    ["Group, label", "Dense: yes", "Dense: no", "Compr.: yes", "Compr.: no"], rows);
};
const ratesTable = (cell, groups) => {
  const rows = [1, 0].flatMap((group) => WHICH.map((which) => {
    const rates = ratesOf(cell[which], group);
    return [`${groups[group]}, ${which}`, whole(rates.count), share(rates.accuracy), share(rates.fpr), share(rates.fnr), share(rates.selected)];
  }));
  return table("Rates within each group: accuracy, false positives among no, false negatives among yes, and predicted yes.", ["Group, model", "Samples", "Accuracy", "False positives", "False negatives", "Yes"], rows);
};

/* At step k of the slider predictions are yes from probability k / bins upwards. */
const countsAbove = (counts, k) => [0, 1].flatMap((group) => [0, 1].flatMap((label) => {
  const sum = (part) => part.reduce((total, count) => total + count, 0);
  return [sum(counts[group][label].slice(0, k)), sum(counts[group][label].slice(k))];
}));
const histogramOf = (condition, attribute, identity) => {
  const text = data.histograms[`${condition},${attribute},${identity}`];
  if (text === undefined) return null;
  const flat = unpackCounts(text);
  return [0, 1].map((group) => [0, 1].map((label) => flat.slice(data.bins * (2 * group + label), data.bins * (2 * group + label + 1))));
};

const slider = (which, change) => {
  const shown = make("output", {class: "level"});
  const control = make("input", {type: "range", min: 0, max: data.bins, step: 1, id: `threshold-${which}`});
  const set = (k) => {
    control.value = k;
    const p = k / data.bins;
    shown.textContent = p > 0 && p < 1 ? `p > ${p.toFixed(2)}, logit > ${signed(Math.log(p / (1 - p)), 2)}` : `p > ${p.toFixed(2)}`;
    control.setAttribute("aria-valuetext", shown.textContent);
  };
  control.addEventListener("input", () => { set(Number(control.value)); change(); });
  return {control, set, box: make("label", {class: "slide"}, make("span", {class: `kind ${which}`}, `threshold, ${which}`), control, shown)};
};

/* The step at which most nearly as many are predicted yes as are labelled yes. */
const matching = (counts) => {
  const all = Array.from({length: data.bins}, (_, k) => [0, 1].reduce((sum, g) => sum + counts[g][0][k] + counts[g][1][k], 0));
  const wanted = [0, 1].reduce((sum, g) => sum + counts[g][1].reduce((a, b) => a + b, 0), 0);
  let best = data.bins, found = 0, gap = wanted;
  for (let k = data.bins - 1; k >= 0; k -= 1) {
    found += all[k];
    if (Math.abs(found - wanted) < gap) { gap = Math.abs(found - wanted); best = k; }
  }
  return best;
};

const comparison = (counts, toward, groups) => {
  const sums = WHICH.map((which) => summaryOf(counts[which], toward));
  const difference = (a, b, text) => a === null || b === null ? DASH : text(b - a);
  const points = (x) => `${signed(100 * x, 1)} points`;
  const rows = [["Accuracy", ...sums.map((sum) => share(sum.accuracy)), difference(sums[0].accuracy, sums[1].accuracy, points)]];
  if (toward !== null) rows.push(["Bias amplification", ...sums.map((sum) => signed(sum.ba)), difference(sums[0].ba, sums[1].ba, signed)]);
  rows.push(["Predicted yes / labelled yes", ...sums.map((sum) => fixed(sum.count)), difference(sums[0].count, sums[1].count, signed)]);
  for (const group of [1, 0]) for (const [key, name] of [["fpr", "False positives"], ["fnr", "False negatives"]]) {
    const [a, b] = WHICH.map((which) => ratesOf(counts[which], group)[key]);
    rows.push([`${name}, ${groups[group]}`, share(a), share(b), difference(a, b, points)]);
  }
  return table(`At these thresholds (approximate: ${data.approximate}).`, ["", "Dense", "Compressed", "Difference"], rows);
};

const thresholds = (counts, toward, groups, histograms) => {
  const result = make("div", {class: "result", "aria-live": "polite", id: "threshold-result"});
  const sliders = {};
  const redraw = () => {
    const above = {};
    for (const which of WHICH) {
      const k = Number(sliders[which].control.value);
      above[which] = countsAbove(counts[which], k);
      for (const histogram of histograms) histogram.move(which, k / data.bins);
    }
    clear(result);
    result.append(comparison(above, toward, groups));
  };
  for (const which of WHICH) sliders[which] = slider(which, redraw);
  const setAll = (choose) => { for (const which of WHICH) sliders[which].set(choose(which)); redraw(); };
  const reset = make("button", {type: "button"}, "Back to one half"), match = make("button", {type: "button"}, "As many yes as labelled");
  reset.addEventListener("click", () => setAll(() => data.bins / 2));
  match.addEventListener("click", () => setAll((which) => matching(counts[which])));
  setAll(() => data.bins / 2);
  return make("div", {class: "thresholds"}, make("h4", null, "What if the threshold moved?"),
    make("div", {class: "sliders"}, sliders.dense.box, sliders.compressed.box), make("p", {class: "buttons"}, reset, " ", match), result,
    make("p", {class: "note"}, "A threshold chosen on test data looks better than it is; calibrate on validation data."));
};

const showPair = (run, attribute, identity, from) => {
  const cell = data.cells[run][attribute][identity];
  const groups = [`not ${data.identities[identity]}`, data.identities[identity]];
  const heading = make("h3", {tabindex: -1}, `${data.attributes[attribute]} by ${data.identities[identity]}, ${data.runs[run]}`);
  const close = make("button", {type: "button", class: "close"}, "Close");
  close.addEventListener("click", () => { panel.hidden = true; from.setAttribute("aria-pressed", "false"); from.focus(); });
  clear(panel);
  panel.append(make("div", {class: "bar-of-panel"}, heading, close), make("p", null, cell.words));
  if (cell.dense) panel.append(make("div", {class: "two"}, countsTable(cell, groups), ratesTable(cell, groups)));
  const counts = {dense: histogramOf(0, attribute, identity), compressed: histogramOf(run + 1, attribute, identity)};
  if (counts.dense && counts.compressed) {
    const models = (group) => WHICH.map((which) => ({kind: which, name: which, counts: counts[which][group]}));
    const histograms = [1, 0].map((group) => histogramPlot(groups[group], models(group)));
    panel.append(make("p", {class: "key"}, make("span", {class: "kind dense"}, "dense"), " ", make("span", {class: "kind compressed"}, "compressed")),
      make("div", {class: "plots"}, histograms, [1, 0].map((group) => reliabilityPlot(groups[group], models(group)))),
      thresholds(counts, cell.toward ?? null, groups, histograms));
  } else panel.append(make("p", {class: "note"}, data.absent));
  panel.hidden = false;
  heading.focus();
};
if (panel) panel.addEventListener("keydown", (event) => {
  if (event.key === "Escape") panel.querySelector(".close").click();
});
