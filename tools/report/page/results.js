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
  return el(
      'div', {class: 'scroll', tabindex: 0}, el('table', {class: turned ? 'results turned' : 'results'}, head, body));
}

function results_words(section) {
  if (section.over_seeds)
    return 'Medians over seeds, with the smallest and the largest below. ★ is the best of its column. A click on a ' +
        'number opens its seeds.';
  const so_far = section.so_far ? `${commas(section.so_far[0])} of ${commas(section.so_far[1])} items are done. ` : '';
  return so_far +
      'The best of each task is marked ★ (oracle and single experts, which know the task, apart). Below each number is its ' +
      '95 % interval: how far it would move with other examples. A click on a number opens the examples behind it.';
}

// The means as a picture, of what has one; what has none is named.
function picture_of(section, measure) {
  const shots = section.curves && new Set(section.curves.map(([, of]) => of)).size > 1;
  const drawn = shots && shots_figure(section, measure) || means_figure(section, measure);
  const without = section.methods.filter(
      (_, m) => Object.values(section.measures[measure].means).every(cells => !known(cells[m]?.[0])));
  return [
    drawn,
    without.length && section.tasks.length > 1 &&
        note(`Without a mean, as not all of their tasks have a result: ${some_of(without, 20)}.`)
  ].filter(Boolean);
}

draw.results = (section, host) => {
  const has = Object.keys(MEASURES).filter(key => section.measures[key].cells.flat().some(cell => known(cell?.[0])));
  if (!has.length) return add(host, about('No numbers yet: no method has a result on a whole task.'));
  let measure = has[0], turned = section.tasks.length > 8;
  const place = el('div'), picture = el('div'), put = () => {
    place.replaceChildren(results_table(section, measure, turned));
    picture.replaceChildren(...picture_of(section, measure));
    if (host.isConnected) show(...picture.children);
  };
  add(host, about(results_words(section)),
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
    section.missing.length && note(`Without a result: ${some_of(section.missing, 20)}.`), note(cut_words(section)),
    ...(section.singles ? singles_figure(section.singles) : []),
    ...(Object.keys(section.shares).length ? shares_figure(section) : [])
  ].filter(Boolean);
  add(host, ...parts);
};
