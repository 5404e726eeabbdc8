// Results: methods × tasks with the best of each task marked and intervals under the numbers; a click opens the rows
// behind one.
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

function best_of(cells, allowed, more) {
  const values = cells.map((cell, i) => allowed[i] && known(cell?.[0]) ? cell[0] : null), there = values.filter(known);
  if (there.length < 2) return [];
  const best = more ? Math.max(...there) : Math.min(...there);
  const who = values.map((value, i) => value === best ? i : -1).filter(i => i >= 0);
  return who.length > there.length / 2 ? [] : who;  // what most reach marks nobody
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
                  (group === 'all' || section.tasks.filter(t => t.held_in === (group === 'held_in')).length > 1))
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
  const cell = (column, c, m) => {
    const value = column.cells[m], inside = [
      el('span', {class: 'value'}, cell_text(value, of)),
      range_text(value, of) && el('span', {class: 'low-high'}, range_text(value, of))
    ];
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
  const across = turned ? section.methods.map((name, m) => ({name, title: name, at: m})) :
                          columns.map((column, c) => ({name: column.name, title: column.title, at: c}));
  const lines =
      turned ? columns.map((column, c) => ({name: column.name, c})) : section.methods.map((name, m) => ({name, m}));
  const value_at = (line, k) => (turned ? columns[line.c].cells[k] : columns[across[k].at].cells[line.m])?.[0];
  const body = el('tbody');
  const fill = rows => body.replaceChildren(...rows.map(
      line =>
          el('tr', {}, el('th', {scope: 'row', title: line.name}, line.name),
             across.map(
                 over => turned ? cell(columns[line.c], line.c, over.at) : cell(columns[over.at], over.at, line.m)))));
  fill(lines);
  const head = sorting_head(
      [turned ? 'task' : 'method', ...across.map(over => over.name)],
      (c, up) => fill(sorted(lines, line => c ? value_at(line, c - 1) : line.name, up)),
      [true, ...across.map(() => !of.more)], ['', ...across.map(over => over.title)]);
  return el('div', {class: 'scroll', tabindex: 0}, el('table', {class: 'results'}, head, body));
}

draw.results = (section, host) => {
  const has = Object.keys(MEASURES).filter(key => section.measures[key].cells.flat().some(cell => known(cell?.[0])));
  if (!has.length) return add(host, about('No numbers yet: no item of this evaluation is done.'));
  let measure = has[0], turned = section.tasks.length > 8;
  const place = el('div'), picture = el('div'), put = () => {
    place.replaceChildren(results_table(section, measure, turned));
    const drawn = section.curves && new Set(section.curves.map(([, shots]) => shots)).size > 1 ?
        shots_figure(section, measure) :
        means_figure(section, measure);
    picture.replaceChildren(drawn);
    if (host.isConnected) show(drawn);
  };
  const words = section.over_seeds ?
      'Medians over seeds, with the smallest and the largest below. ★ is the best of its column. A click on a ' +
          'number opens its seeds.' :
      'The best of each task is marked ★ (oracle and single experts, which know the task, apart). Below each number is its 95 % ' +
          'interval: how far it would move with other examples. A click on a number opens the examples behind it.';
  add(host, about(words),
      controls(
          choice(
              'show', has.map(key => [key, MEASURES[key].words]), measure,
              value => {
                measure = value;
                put();
              }),
          section.tasks.length > 1 ? choice(
                                         'rows are', [[false, 'methods'], [true, 'tasks']], turned,
                                         value => {
                                           turned = value;
                                           put();
                                         }) :
                                     null),
      place, picture);
  put();
  const oracle = Object.entries(section.experts.oracle || {}).filter(([task, expert]) => task !== expert);
  const parts = [
    oracle.length &&
        note(`oracle on tasks without an expert of their own looks at the test: ${
            oracle.map(([task, expert]) => `${task}: ${expert}`).join(', ')}.`),
    section.missing.length &&
        note(`Without a result: ${section.missing.slice(0, 20).join(', ')}${
            section.missing.length > 20 ? ` and ${section.missing.length - 20} more` : ''}.`),
    ...(section.singles ? singles_figure(section.singles) : []),
    ...(Object.keys(section.shares).length ? shares_figure(section) : [])
  ].filter(Boolean);
  add(host, ...parts);
};
