// A section of results: its table, the pictures beside it, what is missing; a click opens the rows behind a number.
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
        note(`Without a mean, as some of their tasks have no such number: ${some_of(without, 20)}.`)
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
