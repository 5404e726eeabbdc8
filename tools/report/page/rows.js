// The rows behind a number: what was asked, what was right, what each method answered; of an adaptation its seeds.
function verdict(score, metric) {
  return score == null   ? ['', null] :
      SHARES.has(metric) ? ['part', digits(score, 2)] :
                           [score === 1 ? 'right' : 'wrong', null];
}

const cut_words = section => section.cut ?
    `Texts are cut to their first ${section.cut} characters, as the page has no room for more: ${
        section.answers} and the task files have all of them.` :
    '';

function examples(section, task, chosen) {
  const {rows, all} = section.rows[task], metric = section.tasks.find(of => of.name === task).metric;
  const cards = rows.map(
      row =>
          el('article', {class: 'example'}, el('div', {class: 'id'}, row.id),
             el('dl', {}, el('dt', {}, 'prompt'),
                el('dd', {}, row.prompt ?? '(its task file is not where the config says)'), el('dt', {}, 'target'),
                el('dd', {}, row.target), section.methods.flatMap((method, m) => {
                  if (!row.answers[m]) return [];
                  const [answer, score, nll] = row.answers[m], [kind, part] = verdict(score, metric);
                  return [
                    el('dt', {class: m === chosen ? 'chosen' : null, title: method}, cut(method, 34)),
                    el('dd', {class: m === chosen ? 'chosen' : null},
                       el('span', {class: 'nll', title: 'nats of the whole target'},
                          known(nll) ? `NLL ${digits(nll, 2)}` : ''),
                       el('span', {class: kind, 'data-score': part}, answer ?? '(scored by NLL alone)'))
                  ];
                }))));
  return [
    rows.length < all ? note(`The first ${rows.length} of ${all} examples; all are in ${section.answers}.`) : null,
    note(cut_words(section)), ...cards,
    rows.length ? null : note(`${section.answers} does not lie beside these results.`)
  ];
}

function open_rows(section, task, m) {
  const dialog = byId('rows'), rows = section.rows[task] || {rows: [], all: 0},
        of = section.tasks.find(each => each.name === task);
  const inside = rows.table ?
      [table(
          rows.columns.map(
              (name, c) =>
                  ({name,
                    kind: c === 0 || c === 5 ? 'text' :
                        c === 1 || c === 4   ? 'integer' :
                                               'number'})),
          rows.table)] :
      examples(section, task, m);
  dialog.querySelector('.inside').replaceChildren(
      el('h2', {}, `${task}, ${section.methods[m]}`),
      about(`Metric: ${of.metric || '–'}. ${
          Object.entries(MEASURES)
              .map(
                  ([key, measure]) => `${measure.words} ${
                      cell_text(section.measures[key].cells[m][section.tasks.indexOf(of)], measure)}`)
              .join(', ')}.`),
      ...inside.filter(Boolean));
  dialog.showModal();
  dialog.scrollTop = 0;
}
