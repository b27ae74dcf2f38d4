/* Elements, numbers and the data of the page. Text from outside enters only as text nodes. */
const data = JSON.parse(document.getElementById("data").textContent);
const SPACE = "\u00a0", MINUS = "\u2212", DASH = "\u2013";

const make = (tag, attributes, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {}))
    if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  for (const child of children.flat())
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  return element;
};
const drawn = (tag, attributes, text) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
};
const clear = (element) => { while (element.firstChild) element.firstChild.remove(); };

const whole = (count) => String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ",");
const signed = (value, digits = 3) => {
  if (value === null || !Number.isFinite(value)) return DASH;
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : (value > 0 ? "+" : MINUS) + text;
};
const fixed = (value, digits = 3) => value === null || !Number.isFinite(value) ? DASH : signed(value, digits).replace("+", "");
const share = (value, digits = 1) => value === null || !Number.isFinite(value) ? DASH : fixed(100 * value, digits) + SPACE + "%";

/* A table with a caption; cells are texts, the ends of rows numbers. */
const table = (caption, headings, rows, options = {}) => {
  const heads = headings.map((text, i) => make("th", {scope: "col", class: i ? "number" : null}, text));
  const lines = rows.map((row) => make("tr", null, row.map((text, i) =>
    i ? make("td", {class: "number"}, text) : make("th", {scope: "row"}, text))));
  return make("div", {class: "scroll", role: "region", tabindex: 0, "aria-label": caption},
    make("table", {class: options.class || null}, make("caption", null, caption),
      make("thead", null, make("tr", null, heads)), make("tbody", null, lines)));
};
const option = (value, text) => make("option", {value}, text);
const labelled = (text, control) => make("label", {class: "field"}, make("span", null, text), control);

/* Unsigned integers of seven bits a byte, the last with a clear top bit (LEB128), in base64. */
const unpackCounts = (text) => {
  const bytes = atob(text), counts = [];
  let value = 0, place = 1;
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = bytes.charCodeAt(i);
    value += (byte & 127) * place;
    if (byte > 127) { place *= 128; } else { counts.push(value); value = 0; place = 1; }
  }
  return counts;
};

/* A spreadsheet must read a cell as text, whatever it begins with. */
const csvCell = (value) => {
  const text = String(value);
  const safe = /^[=+\-@\t\r]/.test(text) ? "'" + text : text;
  return /[",\r\n]/.test(safe) ? '"' + safe.replace(/"/g, '""') + '"' : safe;
};
const offer = (name, text, type) => {
  const address = URL.createObjectURL(new Blob([text], {type}));
  const link = make("a", {href: address, download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
};
