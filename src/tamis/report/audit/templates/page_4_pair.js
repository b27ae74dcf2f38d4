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
  return {accuracy: sum(0, 3, 4, 7) / all, ba: amplification(counts, toward), count: positives ? sum(1, 3, 5, 7) / positives : null};
};

const countsTable = (cell, groups) => {
  const rows = WHICH.flatMap((which) => [1, 0].flatMap((group) => [1, 0].map((label) =>
    [`${which}, ${groups[group]}, labelled ${label ? "yes" : "no"}`, whole(at3(cell[which], group, label, 1)), whole(at3(cell[which], group, label, 0))])));
  return table(`Counts${data.pooled ? ", summed over " + data.pooled : ""}: group × label × prediction.`, ["Model, group, label", "Predicted yes", "Predicted no"], rows);
};
const ratesTable = (cell, groups) => {
  const rows = [1, 0].flatMap((group) => WHICH.map((which) => {
    const rates = ratesOf(cell[which], group);
    return [`${groups[group]}, ${which}`, whole(rates.count), share(rates.accuracy), share(rates.fpr), share(rates.fnr), share(rates.selected)];
  }));
  return table("Rates within each group.", ["Group, model", "Samples", "Accuracy", "False positives", "False negatives", "Predicted yes"], rows);
};

/* Level k of the slider is the logit (k - 128) * step; predicted yes are the levels from k upwards. */
const countsAbove = (levels, k) => [0, 1].flatMap((group) => [0, 1].flatMap((label) => {
  const all = levels[group][label], yes = all.slice(k).reduce((sum, count) => sum + count, 0);
  return [all.reduce((sum, count) => sum + count, 0) - yes, yes];
}));
const levelsOf = (packed) => {
  const flat = unpackCounts(packed);
  return [0, 1].map((group) => [0, 1].map((label) => flat.slice(256 * (2 * group + label), 256 * (2 * group + label) + 256)));
};

const slider = (which, step, start, change) => {
  const shown = make("output", {class: "level"});
  const control = make("input", {type: "range", min: 0, max: 256, step: 1, value: start, id: `threshold-${which}`});
  const tell = () => {
    const z = (Number(control.value) - 128) * step;
    shown.textContent = `p${SPACE}>${SPACE}${sigmoid(z).toFixed(3)} (logit ${signed(z, 2)})`;
    control.setAttribute("aria-valuetext", shown.textContent);
    change();
  };
  control.addEventListener("input", tell);
  return {control, tell, box: make("label", {class: `slide ${which}`}, make("span", {class: `kind ${which}`}, `Threshold, ${which}`), control, shown)};
};

const thresholds = (detail, cell, groups, histograms) => {
  const levels = {dense: levelsOf(detail.dense.levels), compressed: levelsOf(detail.compressed.levels)};
  const result = make("div", {class: "result", "aria-live": "polite", id: "threshold-result"});
  const sliders = {};
  const redraw = () => {
    const counts = {};
    for (const which of WHICH) {
      const k = Number(sliders[which].control.value);
      counts[which] = countsAbove(levels[which], k);
      for (const histogram of histograms) histogram.move(which, k);
    }
    const sums = WHICH.map((which) => summaryOf(counts[which], cell.toward));
    const difference = (name) => sums.every((sum) => sum[name] !== null) ? signed(sums[1][name] - sums[0][name]) : DASH;
    const rows = [["Accuracy", ...sums.map((sum) => share(sum.accuracy)), difference("accuracy")],
      ["Bias amplification", ...sums.map((sum) => signed(sum.ba)), difference("ba")],
      ["Predicted yes / labelled yes", ...sums.map((sum) => fixed(sum.count)), difference("count")]];
    for (const group of [1, 0]) for (const [key, name] of [["fpr", "False positives"], ["fnr", "False negatives"]]) {
      const [a, b] = WHICH.map((which) => ratesOf(counts[which], group)[key]);
      rows.push([`${name}, ${groups[group]}`, share(a), share(b), a === null || b === null ? DASH : signed(b - a)]);
    }
    clear(result);
    result.append(table(`At these thresholds (approximate: ${data.slider.words}).`, ["", "Dense", "Compressed", "Difference"], rows));
  };
  const ready = () => { if (sliders.dense && sliders.compressed) redraw(); };
  for (const which of WHICH) sliders[which] = slider(which, detail.step, 128, ready);
  const set = (k) => { for (const which of WHICH) { sliders[which].control.value = k[which]; sliders[which].tell(); } };
  const matched = () => set(Object.fromEntries(WHICH.map((which) => {
    const flat = Array.from({length: 256}, (_, k) => [0, 1].reduce((sum, g) => sum + levels[which][g][0][k] + levels[which][g][1][k], 0));
    const wanted = [0, 1].reduce((sum, g) => sum + levels[which][g][1].reduce((a, b) => a + b, 0), 0);
    let best = 256, found = 0, gap = wanted;
    for (let k = 255; k >= 0; k -= 1) { found += flat[k]; if (Math.abs(found - wanted) < gap) { gap = Math.abs(found - wanted); best = k; } }
    return [which, best];
  })));
  const reset = make("button", {type: "button"}, "Back to logit 0"), match = make("button", {type: "button"}, "As many yes as labelled");
  reset.addEventListener("click", () => set({dense: 128, compressed: 128}));
  match.addEventListener("click", matched);
  set({dense: 128, compressed: 128});
  return make("div", {class: "thresholds"}, make("h4", null, "What if the threshold moved?"),
    make("div", {class: "sliders"}, sliders.dense.box, sliders.compressed.box), make("p", {class: "buttons"}, reset, match), result,
    make("p", {class: "note"}, "A threshold that is chosen on test data looks better than it is; calibrate on validation data."));
};

const showPair = (run, attribute, identity, from) => {
  const cell = data.cells[run][attribute][identity];
  const groups = [`not ${data.identities[identity]}`, data.identities[identity]];
  clear(panel);
  const heading = make("h3", {tabindex: -1}, `${data.attributes[attribute]} by ${data.identities[identity]}, ${data.runs[run]}`);
  const close = make("button", {type: "button", class: "close"}, "Close");
  close.addEventListener("click", () => { panel.hidden = true; from.setAttribute("aria-pressed", "false"); from.focus(); });
  panel.append(make("div", {class: "bar-of-panel"}, heading, close));
  panel.append(make("p", null, cell.words));
  if (cell.dense) panel.append(make("div", {class: "two"}, countsTable(cell, groups), ratesTable(cell, groups)));
  const detail = data.details[`${run},${attribute},${identity}`];
  if (detail) {
    const models = (pick) => WHICH.map((which) => ({kind: which, name: which, ...pick(detail[which])}));
    const histograms = [1, 0].map((group) => histogramPlot(groups[group], models((model) => ({levels: levelsOf(model.levels)[group]})), detail.step));
    const reliability = [1, 0].map((group) => reliabilityPlot(groups[group], models((model) => ({bins: model.bins[group]}))));
    panel.append(make("p", {class: "key"}, make("span", {class: "kind dense"}, "dense"), " ", make("span", {class: "kind compressed"}, "compressed")));
    panel.append(make("div", {class: "plots"}, histograms, reliability));
    panel.append(thresholds(detail, cell, groups, histograms));
  } else panel.append(make("p", {class: "note"}, data.slider.absent));
  panel.hidden = false;
  heading.focus();
};
if (panel) panel.addEventListener("keydown", (event) => {
  if (event.key === "Escape") panel.querySelector(".close").click();
});
