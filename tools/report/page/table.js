// Tables that sort by a click.
const CELLS = {
  number: (value, column) => digits(value, column.digits ?? 3),
  integer: value => commas(value),
  text: value => value ?? '',
  words: value => value ?? ''
};

// Unknown values stand at the end either way.
function sorted(rows, at, up) {
  const has = row => at(row) != null && at(row) !== '';
  const by_number = (a, b) => typeof at(a) === 'number' && typeof at(b) === 'number' ? at(a) - at(b) : null;
  const by_name = (a, b) => String(at(a)).localeCompare(String(at(b)), 'en', {numeric: true});
  const compare = (a, b) => by_number(a, b) ?? by_name(a, b);
  return [...rows.filter(has).sort((a, b) => (up ? 1 : -1) * compare(a, b)), ...rows.filter(row => !has(row))];
}

// A head whose buttons sort; `again(column, up)` puts the rows anew. first_up[c]: whether a first click sorts upwards.
function sorting_head(names, again, first_up, titles = [], left = []) {
  const cells = names.map((name, c) => {
    const sort = () => {
      const is_first = cells[c].getAttribute('aria-sort') !== (first_up[c] ? 'ascending' : 'descending');
      const up = is_first === first_up[c];
      cells.forEach(cell => cell.removeAttribute('aria-sort'));
      cells[c].setAttribute('aria-sort', up ? 'ascending' : 'descending');
      again(c, up);
    };
    const button =
        el('button', {type: 'button', title: titles[c] || name, onclick: sort}, cut(name, names.length > 7 ? 16 : 30));
    return el('th', {scope: 'col', class: left[c] ? 'left' : null}, button);
  });
  return el('thead', {}, el('tr', {}, cells));
}

// columns: {name, kind: a key of CELLS, digits, title}; rows: arrays of values.
function table(columns, rows) {
  const body = el('tbody'), is_text = column => column.kind === 'text' || column.kind === 'words';
  const cell = (column, c, value) => {
    const look = column.kind === 'words' ? 'words' : column.kind === 'text' ? 'left' : null;
    const about = c ? {class: look} : {class: look, scope: 'row', title: value};
    return el(c ? 'td' : 'th', about, CELLS[column.kind](value, column));
  };
  const line = row => el('tr', {}, columns.map((column, c) => cell(column, c, row[c])));
  const fill = of => body.replaceChildren(...of.map(line));
  fill(rows);
  const head = sorting_head(
      columns.map(column => column.name), (c, up) => fill(sorted(rows, row => row[c], up)), columns.map(is_text),
      columns.map(column => column.title), columns.map(is_text));
  return el('div', {class: 'scroll', tabindex: 0}, el('table', {}, head, body));
}

draw.table = (section, host) => {
  const long = c => section.rows.some(row => String(row[c] ?? '').length > 60);
  const columns = section.columns.map(([name, kind], c) => ({name, kind: kind === 'text' && long(c) ? 'words' : kind}));
  const count = section.rows.length > 12 ? `${section.rows.length} rows. ` : '';
  add(host, section.about && about(section.about), table(columns, section.rows),
      section.rows.length > 1 && note(`${count}A click on a column's name sorts by it.`));
};
