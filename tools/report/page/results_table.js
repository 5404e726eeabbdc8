// Results: methods × tasks with the best of each task marked and intervals under the numbers.
const MEASURES = {
  score: {words: 'right %', scale: 100, digits: 1, more: true, unit: ' %'},
  nll: {words: 'NLL / token', scale: 1, digits: 3, more: false, unit: ''}
};
const SHARES = new Set(['f1', 'rouge_l']);
const GROUPS = {
  held_in: 'mean, held-in',
  held_out: 'mean, held-out',
  all: 'mean'
};

// Who knows the task, or was chosen by its test examples, is no rival of those that route; nor is a single expert, which is the
// oracle on its own task.
const rivals = methods => {
  const route = methods.map(method => method !== 'oracle' && !method.startsWith('expert:'));
  return route.some(Boolean) ? route : methods.map(() => true);
};

// The best of all, of equals each; none where there is one alone.
function leaders(cells, allowed, more) {
  const values = cells.map((cell, i) => allowed[i] && known(cell?.[0]) ? cell[0] : null), there = values.filter(known);
  if (there.length < 2) return [];
  const best = more ? Math.max(...there) : Math.min(...there);
  return values.map((value, i) => known(value) && Math.abs(value - best) < 1e-9 ? i : -1).filter(i => i >= 0);
}

// What most reach marks nobody.
function best_of(cells, allowed, more) {
  const who = leaders(cells, allowed, more);
  return who.length > cells.filter((cell, i) => allowed[i] && known(cell?.[0])).length / 2 ? [] : who;
}

const cell_text = (cell, of) => known(cell?.[0]) ? digits(cell[0] * of.scale, of.digits) : '–';
const range_text = (cell, of) => cell && known(cell[1]) && known(cell[2]) ?
    `${digits(cell[1] * of.scale, of.digits)} – ${digits(cell[2] * of.scale, of.digits)}` :
    '';

// One line of the picture of rows and columns: {name, title, cells: by method}.
function columns_of(section, measure) {
  const of = section.measures[measure];
  const means =
      Object.keys(GROUPS)
          .filter(
              group => of.means[group]?.some(cell => known(cell[0])) &&
                  section.tasks.filter(t => group === 'all' || t.held_in === (group === 'held_in')).length > 1)
          .map(group => ({name: GROUPS[group], mean: true, cells: of.means[group]}));
  const tasks =
      section.tasks.map((task, t) => ({
                          name: task.name,
                          task,
                          title: `${task.name} · ${task.metric || ''}${task.held_in === false ? ' · held-out' : ''}`,
                          cells: of.cells.map(row => row[t])
                        }));
  return [
    ...means, ...[true, false, null].flatMap(held => tasks.filter(column => (column.task.held_in ?? null) === held))
  ];
}

function results_table(section, measure, turned) {
  const of = MEASURES[measure], columns = columns_of(section, measure), allowed = rivals(section.methods);
  const best = columns.map(column => best_of(column.cells, allowed, of.more));
  const cell = (c, m) => {
    const column = columns[c], value = column.cells[m], range = range_text(value, of);
    const inside =
        [el('span', {class: 'value'}, cell_text(value, of)), range && el('span', {class: 'low-high'}, range)];
    const star = section.experts[section.methods[m]]?.[column.name];
    return el(
        'td', {
          class: [best[c].includes(m) && 'best', column.mean && 'mean'].filter(Boolean).join(' ') || null,
          title: star ? `stands for: ${star}` : null
        },
        column.task && known(value?.[0]) ?
            el('button', {class: 'cell', type: 'button', onclick: () => open_rows(section, column.name, m)}, inside) :
            inside);
  };
  const methods = section.methods.map((name, i) => ({name, title: name, i})),
        tasks = columns.map(({name, title}, i) => ({name, title, i}));
  const [lines, across] = turned ? [tasks, methods] : [methods, tasks];
  const at = (line, over) => turned ? [line.i, over.i] : [over.i, line.i];
  const value_at = (line, over) => {
    const [c, m] = at(line, over);
    return columns[c].cells[m]?.[0];
  };
  const body = el('tbody');
  const row = line =>
      el('tr', {}, el('th', {scope: 'row', title: line.name}, line.name), across.map(over => cell(...at(line, over))));
  const fill = rows => body.replaceChildren(...rows.map(row));
  fill(lines);
  const head = sorting_head(
      [turned ? 'task' : 'method', ...across.map(over => over.name)],
      (c, up) => fill(sorted(lines, line => c ? value_at(line, across[c - 1]) : line.name, up)),
      [true, ...across.map(() => !of.more)], ['', ...across.map(over => over.title)]);
  return el(
      'div', {class: 'scroll', tabindex: 0}, el('table', {class: turned ? 'results turned' : 'results'}, head, body));
}
