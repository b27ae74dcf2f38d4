/* The heat map: one compressed model at a time, cells that open, arrow keys between them. */
const heats = [...document.querySelectorAll("table.heat")];
const chooser = document.getElementById("run");
const sorter = document.getElementById("sort");

const reveal = () => {
  const chosen = Number(chooser.value);
  heats.forEach((heat, run) => { heat.closest(".matrix").hidden = run !== chosen; });
};

const sortRows = (heat, run) => {
  const body = heat.tBodies[0];
  const key = (row) => {
    const changes = data.cells[run][Number(row.dataset.attribute)].map((cell) => cell.change).filter((x) => x !== undefined);
    return changes.length ? Math.max(...changes) : -Infinity;
  };
  const rows = [...body.rows];
  rows.sort((a, b) => (sorter.value === "change" ? key(b) - key(a) : 0)
    || Number(a.dataset.attribute) - Number(b.dataset.attribute));
  body.append(...rows);
};

const buttonsOf = (heat) => [...heat.tBodies[0].rows].map((row) => [...row.querySelectorAll("button")]);

const steer = (heat, event) => {
  const grid = buttonsOf(heat);
  const y = grid.findIndex((row) => row.includes(event.target));
  if (y < 0) return;
  const x = grid[y].indexOf(event.target);
  const moves = {ArrowUp: [y - 1, x], ArrowDown: [y + 1, x], ArrowLeft: [y, x - 1], ArrowRight: [y, x + 1],
    Home: [y, 0], End: [y, grid[y].length - 1]};
  if (!(event.key in moves)) return;
  event.preventDefault();
  const [row, column] = moves[event.key];
  const next = grid[row] && grid[row][column];
  if (next) focusCell(heat, next);
};
const focusCell = (heat, button) => {
  for (const other of heat.querySelectorAll("button")) other.tabIndex = other === button ? 0 : -1;
  button.focus();
};

const openCell = (run, attribute, identity, button) => {
  for (const other of document.querySelectorAll("table.heat [aria-pressed=true]")) other.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-pressed", "true");
  showPair(run, attribute, identity, button);
};

const enhanceHeat = (heat, run) => {
  heat.setAttribute("role", "grid");
  for (const cell of heat.querySelectorAll("td[data-identity]")) {
    const attribute = Number(cell.parentElement.dataset.attribute), identity = Number(cell.dataset.identity);
    const button = make("button", {type: "button", "aria-pressed": "false", tabindex: -1,
      "aria-label": `${data.attributes[attribute]} by ${data.identities[identity]}: ${cell.dataset.words}`});
    button.append(...cell.childNodes);
    cell.append(button);
    cell.setAttribute("role", "gridcell");
    button.addEventListener("click", () => openCell(run, attribute, identity, button));
  }
  const start = heat.querySelector("button");
  if (start) start.tabIndex = 0;
  heat.addEventListener("keydown", (event) => steer(heat, event));
  heat.addEventListener("focusin", (event) => {
    if (event.target.matches("button")) for (const other of heat.querySelectorAll("button")) other.tabIndex = other === event.target ? 0 : -1;
  });
};

if (chooser) {
  heats.forEach(enhanceHeat);
  chooser.addEventListener("change", reveal);
  sorter.addEventListener("change", () => heats.forEach(sortRows));
  reveal();
  for (const control of document.querySelectorAll("#heat .controls, #heat .hint")) control.hidden = false;
}
