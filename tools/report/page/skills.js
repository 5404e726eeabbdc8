// Poly's routing table over training.
const FIELDS = {
  discreteness: ['discreteness', '0: every skill half on; 1: each is on or off'],
  active: ['active', 'share of skills that are more on than off'],
  sparsity: ['sparsity', 'share of weights below half of 1/K: skills that a task hardly uses'],
  largest: ['largest weight', 'mean of each head\'s largest weight: 1/K is uniform, 1 is one skill a head'],
  usage: ['usage', '1: all skills are used alike by the tasks; 0: one of them is']
};

function table_figure(section) {
  const order = section.alike ? section.alike.order : section.tasks.map((_, i) => i),
        skills = section.skills || Math.max(1, section.columns / section.heads);
  let site = 0, now = section.tables.length - 1, z = [];
  const columns = Array.from(
      {length: section.columns},
      (_, k) => section.heads > 1 ? `${Math.floor(k / skills) + 1}.${k % skills + 1}` : `${k + 1}`);
  const plot = matrix(
      () => {
        const values = bytes_of(section.tables[now].weights[site], Uint8Array);
        z = order.map(
            t => [...values.subarray(t * section.columns, (t + 1) * section.columns)].map(value => value / 255));
        return {
          rows: order.map(t => section.tasks[t] ?? `task ${t}`),
          columns,
          z,
          max: Math.max(2 / skills, ...z.map(row => Math.max(...row))),
          text: value => digits(value, 2).replace('0.', '.'),
          shapes: Array.from({length: section.heads - 1}, (_, h) => ({
                                                            type: 'line',
                                                            x0: (h + 1) * skills - .5,
                                                            x1: (h + 1) * skills - .5,
                                                            y0: -.5,
                                                            y1: order.length - .5,
                                                            line: {color: css('--muted'), width: 1}
                                                          }))
        };
      },
      (r, c, value) =>
          [section.tasks[order[r]],
           section.heads > 1 ? `head ${Math.floor(c / skills) + 1}, skill ${c % skills + 1}` : `skill ${c + 1}`,
           `weight ${digits(value, 3)}`],
      'routing table');
  return [
    el('h3', {}, 'The table'),
    about(`The weight of each skill${
        section.heads > 1 ?
            ' (head.skill)' :
            ''} in each task's mixture at one site; tasks that route alike in the end stand side by side.`),
    controls(
        choice(
            'site', section.sites.map((name, i) => [i, name]), site,
            value => {
              site = value;
              show(plot);
            },
            true),
        slider(
            'over training', section.tables.length, now, i => section.tables[i].label,
            i => {
              now = i;
              show(plot);
            })),
    plot
  ];
}

draw.skills = (section, host) => {
  let field = 'discreteness';
  const said = about(''), put = () => {
    said.textContent = FIELDS[field][1] + '.';
    show(plot);
  };
  const plot = curves(
      () => Object.entries(section.numbers[field])
                .map(([name, y]) => ({name: name === 'all' ? 'all sites' : name, x: section.steps, y, last: y.at(-1)})),
      () => ({x: 'step', y: FIELDS[field][0], yaxis: field === 'discreteness' ? {rangemode: 'tozero'} : {}}),
      (curve, x, y) => [curve.name, `step ${x}: ${digits(y, 3)}`], {height: 320, name: 'the routing table\'s numbers'});
  add(host, about('Which skills each task mixes, and how that became so. The table begins uniform.'),
      controls(choice('number', Object.keys(FIELDS).map(name => [name, FIELDS[name][0]]), field, value => {
        field = value;
        put();
      }, small())), said, plot);
  if (section.tables.length && section.sites.length) add(host, ...table_figure(section));
  let alike = [];
  if (section.alike) {
    alike = cosine_frames(section.tasks, section.alike, 'cosines of the tasks\' routing', 'avoid each other');
    add(host, el('h3', {}, 'Tasks that route alike'),
        about(
            'Cosines of the tasks\' weights over all sites, the mean over tasks taken off: blue tasks share ' +
            'skills, orange ones avoid each other\'s.'),
        ...alike.filter(Boolean));
  }
  host.after_draw = () => {
    put();
    [...host.children].forEach(part => part !== plot && (part.again ? part.again() : show(part)));
  };
};
