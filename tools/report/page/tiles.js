// The few numbers that a page begins with, of what its sections hold: [value, words].
function gate_tile(section) {
  const losses = section?.losses || [], loss = k => mean(losses.map(row => row[k]).filter(known));
  if (!known(loss(1)) || !known(loss(3))) return [];
  return [[
    `${digits(loss(1), 2)} → ${digits(loss(3), 2)}`,
    `mean validation loss of ${losses.length} experts: the base, then with gates`
  ]];
}

function result_tiles(section) {
  const means = section.measures.score.means,
        words = {held_in: ' of held-in tasks', held_out: ' of held-out tasks', all: ''};
  const group = Object.keys(words).find(name => means[name]?.some(cell => known(cell[0])));
  if (!group) return [];
  const right = m => `${digits(100 * means[group][m][0], 1)} %`, oracle = section.methods.indexOf('oracle');
  const best = leaders(means[group], rivals(section.methods), true),
        of = words[group] + (section.so_far ? ' so far' : ''),
        who = some_of(best.map(m => cut(section.methods[m], 40)), 3);
  return [
    best.length &&
        [right(best[0]), `right${of} by ${who}${best.length > 1 ? ' alike, the best methods' : ', the best method'}`],
    known(means[group][oracle]?.[0]) && [right(oracle), `right${of} by oracle, which knows the task`]
  ].filter(Boolean);
}

function alignment_tile(section) {
  const space = section?.spaces.skill || section?.spaces.mixed, frame = space?.frames.at(-1);
  if (!frame?.pairs) return [];
  return [[
    `${digits(100 * frame.conflicting / frame.pairs, 0)} %`,
    `of ${frame.pairs} pairs of tasks conflict in their gradients at the end`
  ]];
}

function work_tiles(places) {
  const speeds =
      places.flatMap(place => place.workers).map(worker => mean(worker.rates.map(rate => rate[1]).filter(known)));
  const sum = count => places.reduce((all, place) => all + count(place), 0), there = speeds.filter(known);
  const aside = sum(place => place.aside.length), lost = sum(place => place.lost);
  return [
    there.length ?
        [
          brief(mean(there)),
          there.length > 1 ? `tokens/s of a worker in training, mean of ${there.length}` : 'tokens/s in training'
        ] :
        null,
    aside ? [commas(aside), 'items set aside: see Work'] : null,
    lost ? [commas(lost), 'times a worker was lost at an item'] : null
  ].filter(Boolean);
}

function tiles(subject) {
  const of = name => subject.sections.filter(section => section.draw === name);
  const found = [
    ...gate_tile(of('gates')[0]), ...of('results').slice(0, 2).flatMap(result_tiles),
    ...alignment_tile(of('alignment').find(section => !section.spaces.start)),
    ...work_tiles(of('work').flatMap(section => section.places))
  ];
  const tile = ([value, words]) =>
      el('div', {class: 'tile'}, el('div', {class: 'value'}, value), el('div', {class: 'label'}, words));
  return found.length ? el('div', {class: 'tiles'}, found.map(tile)) : null;
}
