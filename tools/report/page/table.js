// Tables that sort by a click. columns: {name, kind: "text" | "words" | "number" | "integer", digits, title}; rows: arrays of values.
const CELLS = { number: (value, of) => digits(value, of.digits ?? 3), integer: value => commas(value), text: value => value ?? "", words: value => value ?? "" };

// Unknown values stand at the end either way.
function sorted(rows, at, up) {
  const has = row => at(row) != null && at(row) !== "";
  const compare = (a, b) => typeof at(a) === "number" && typeof at(b) === "number" ? at(a) - at(b) : String(at(a)).localeCompare(String(at(b)), "en", { numeric: true });
  return [...rows.filter(has).sort((a, b) => (up ? 1 : -1) * compare(a, b)), ...rows.filter(row => !has(row))];
}

// A head whose buttons sort; `again(column, up)` puts the rows anew. first_up[c]: whether the first click sorts upwards.
function sorting_head(names, again, first_up, titles = []) {
  const cells = names.map((name, c) => el("th", { scope: "col" }, el("button", { type: "button", title: titles[c] || name, onclick: () => {
    const up = cells[c].getAttribute("aria-sort") === (first_up[c] ? "ascending" : "descending") ? !first_up[c] : first_up[c];
    cells.forEach(cell => cell.removeAttribute("aria-sort"));
    cells[c].setAttribute("aria-sort", up ? "ascending" : "descending");
    again(c, up);
  } }, cut(name, 30))));
  return el("thead", {}, el("tr", {}, cells));
}

function table(columns, rows) {
  const body = el("tbody");
  const fill = of => body.replaceChildren(...of.map(row => el("tr", {}, columns.map((column, c) => el(c ? "td" : "th",
    { class: column.kind === "words" ? "words" : column.kind === "text" ? "left" : null, scope: c ? null : "row", title: c ? null : row[c] }, CELLS[column.kind](row[c], column))))));
  fill(rows);
  const head = sorting_head(columns.map(column => column.name), (c, up) => fill(sorted(rows, row => row[c], up)), columns.map(column => column.kind === "text" || column.kind === "words"),
    columns.map(column => column.title));
  return el("div", { class: "scroll", tabindex: 0 }, el("table", {}, head, body));
}

draw.table = (section, host) => add(host, [section.about && about(section.about),
  table(section.columns.map(([name, kind]) => ({ name, kind: kind === "text" && section.rows.some(row => String(row[0]).length > 60) ? "words" : kind })), section.rows),
  note(section.rows.length > 12 ? `${section.rows.length} rows. A click on a column's name sorts by it.` : "A click on a column's name sorts by it.")].filter(Boolean));
