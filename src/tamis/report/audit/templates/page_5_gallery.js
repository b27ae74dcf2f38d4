/* The gallery of exemplars: filters, pages, and the list of their ids as a file. */
const gallery = document.getElementById("gallery-list");
const PAGE = 24;
let page = 0;

const filters = () => Object.fromEntries([...document.querySelectorAll("#gallery [data-filter]")]
  .map((control) => [control.dataset.filter, control.value]));
const chosen = () => {
  const wanted = filters();
  const items = data.exemplars[Number(wanted.run) || 0].items;
  const fits = {
    attribute: (item, value) => item.attribute === Number(value),
    group: (item, value) => { const [identity, member] = value.split(",").map(Number); return item.groups[identity] === member; },
    direction: (item, value) => item.compressed === Number(value),
    certainty: (item, value) => item.certainty === value,
    right: (item, value) => (item.label === (value === "dense" ? item.dense : item.compressed)),
  };
  return items.filter((item) => Object.entries(fits).every(([name, fit]) => !wanted[name] || fit(item, wanted[name])));
};
const answer = (value) => value === null ? "unknown" : value ? "yes" : "no";
const card = (item) => {
  const box = make("li", {class: "exemplar"});
  const image = Object.hasOwn(data.images, item.id) ? data.images[item.id] : null;
  if (image) box.append(make("img", {src: image, alt: `Image of sample ${item.shown}`}));
  const lines = [["label", answer(item.label)], ["dense", `${answer(item.dense)} (p${SPACE}${fixed(item.p[0], 2)})`],
    ["compressed", `${answer(item.compressed)} (p${SPACE}${fixed(item.p[1], 2)})`],
    ["groups", data.identities.map((name, i) => item.groups[i] === null ? `${name}?` : item.groups[i] ? name : `not ${name}`).join(", ")]];
  box.append(make("h4", null, item.shown), make("p", {class: "what"}, data.attributes[item.attribute]),
    make("dl", null, lines.map(([name, text]) => make("div", null, make("dt", null, name), make("dd", null, text)))));
  if (item.certainty !== "certain") box.append(make("p", {class: "mark"}, item.certainty === "very" ? "dense model very uncertain" : "dense model uncertain"));
  return box;
};
const showGallery = () => {
  const items = chosen(), pages = Math.max(1, Math.ceil(items.length / PAGE));
  page = Math.min(Math.max(page, 0), pages - 1);
  clear(gallery);
  gallery.append(...items.slice(page * PAGE, page * PAGE + PAGE).map(card));
  document.getElementById("gallery-count").textContent =
    `${whole(items.length)} ${items.length === 1 ? "exemplar fits" : "exemplars fit"}; page ${page + 1} of ${pages}`;
  document.getElementById("gallery-before").disabled = page === 0;
  document.getElementById("gallery-next").disabled = page === pages - 1;
};
const turn = (by) => { page += by; showGallery(); };
const exportIds = () => {
  const run = data.runs[Number(filters().run) || 0];
  const lines = [["id", "attribute", "model", "label", "dense", "compressed", "p_dense", "p_compressed"]];
  for (const item of chosen()) lines.push([item.id, data.attributes[item.attribute], run, item.label ?? "", item.dense, item.compressed, ...item.p]);
  offer("exemplars.csv", lines.map((line) => line.map(csvCell).join(",")).join("\r\n") + "\r\n", "text/csv");
};
if (gallery) {
  for (const control of document.querySelectorAll("#gallery [data-filter]")) control.addEventListener("change", () => { page = 0; showGallery(); });
  document.getElementById("gallery-before").addEventListener("click", () => turn(-1));
  document.getElementById("gallery-next").addEventListener("click", () => turn(1));
  document.getElementById("gallery-export").addEventListener("click", exportIds);
  for (const element of document.querySelectorAll("#gallery .controls, #gallery .pages, #gallery-list")) element.hidden = false;
  const still = document.getElementById("gallery-still");
  if (still) still.hidden = true;
  showGallery();
}
