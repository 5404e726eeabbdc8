// What routing chooses: experts by task, by site, by depth.
function site_matrix(section, state) {
  const map = () => section.methods[state.method].maps[state.task];
  let z = [];
  return matrix(
      () => {
        const now = map();
        if (!now) return {rows: [], columns: [], z: [[]]};  // hidden
        const values = bytes_of(now.weights, Uint16Array), width = now.experts.length,
              kinds = [...new Set(section.sites.map(site => site[1]))];
        state.order = section.sites.map((_, s) => s)
                          .sort(
                              (a, b) => state.by === 'depth' ?
                                  a - b :
                                  kinds.indexOf(section.sites[a][1]) - kinds.indexOf(section.sites[b][1]) || a - b);
        z = state.order.map(s => [...values.subarray(s * width, (s + 1) * width)].map(value => value / 65535));
        return {
          rows: state.order.map(s => `${section.sites[s][2]} ${section.sites[s][1]}`),
          columns: now.experts.map(i => section.experts[i]),
          z,
          text: value => digits(100 * value, 0),
          percent: true
        };
      },
      (r, c) =>
          [section.experts[map().experts[c]], section.sites[state.order[r]][0],
           `${digits(100 * z[r][c], 1)} % of the weight there`],
      'weight by site and expert');
}

// Rows and columns of one name side by side, so that own experts stand on the diagonal.
function task_order(section) {
  const own = section.tasks.map(task => section.experts.indexOf(task));
  return section.tasks.map((_, t) => t).sort((a, b) => (own[a] < 0 ? 1e9 : own[a]) - (own[b] < 0 ? 1e9 : own[b]));
}

function share_matrix(section, state) {
  const order = task_order(section), of = () => section.methods[state.method].share;
  return matrix(
      () => ({
        rows: order.map(t => section.tasks[t]),
        columns: section.experts,
        z: order.map(t => of()[t] || section.experts.map(() => null)),
        text: value => digits(100 * value, 0),
        percent: true
      }),
      (r, c,
       z) => [`${section.tasks[order[r]]} → ${section.experts[c]}`, `${digits(100 * z, 1)} % of the routing weight`],
      'share of each expert by task');
}

function total_bars(section, state) {
  const totals = () => {
    const rows = section.methods[state.method].share.filter(Boolean);
    return section.experts
        .map((name, i) => [name, rows.reduce((sum, row) => sum + (row[i] || 0), 0) / Math.max(1, rows.length)])
        .sort((a, b) => b[1] - a[1]);
  };
  return share_bars(totals, 'mean share over tasks', 'share of each expert');
}

function entropy_curves(section, state) {
  const layers = [...new Set(section.sites.map(site => site[2]))];
  return curves(
      () => section.tasks
                .map((name, t) => {
                  const y = section.methods[state.method][state.entropy][t] || [];
                  return {name, x: y.map((_, i) => i), y, last: mean(y.filter(known))};
                })
                .filter(curve => curve.y.length),
      () => ({x: 'layer', y: 'entropy, nats', xaxis: whole_axis(layers), yaxis: {rangemode: 'tozero'}}),
      (curve, x, y) => [curve.name, `layer ${x}: ${digits(y, 3)} nats`], {height: 320, name: 'entropy by depth'});
}

draw.routing = (section, host) => {
  const names = Object.keys(section.methods), order = task_order(section);
  const state = {
    method: names[0],
    task: order.find(t => section.methods[names[0]].maps[t]) ?? order[0],
    entropy: 'entropy',
    by: 'depth'
  };
  const share = share_matrix(section, state), bars = total_bars(section, state), sites = site_matrix(section, state),
        entropy = entropy_curves(section, state), worth = el('div'),
        unmapped = note(`The page has no map of this task and method; ${section.file} has what there is.`);
  const put_sites = () => {
    const there = Boolean(section.methods[state.method].maps[state.task]);
    sites.hidden = !there, unmapped.hidden = there;
    if (there) show(sites);
  };
  const put = () => {
    show(share, bars, entropy);
    put_sites();
    const cost = section.methods[state.method].knock_out;
    worth.replaceChildren(
        ...cost ?
            [
              el('h3', {}, 'What an expert is worth'),
              about(
                  'Nats per token that a task loses when an expert is taken out of the collection (gaggle ' +
                  'analyse --knock-out). Orange: the task is better off without it.'),
              matrix(
                  () => ({
                    rows: order.map(t => section.tasks[t]),
                    columns: section.experts,
                    z: order.map(t => cost[t]),
                    sides: true,
                    text: value => signed(value, 2)
                  }),
                  (r, c,
                   z) => [`${section.tasks[order[r]]} without ${section.experts[c]}`, `${signed(z, 3)} nats per token`],
                  'cost of leaving an expert out')
            ] :
            []);
    show(worth);
  };
  const own = section.methods[state.method].own_first.filter(known);
  add(host,
      about(`Which experts answer which tasks. ${
          own.length ? `The task's own expert is the first choice for ${digits(100 * mean(own), 0)} % of its tokens (${
                           state.method}, all sites).` :
                       ''}`),
      controls(choice(
          'method', as_options(names), state.method,
          value => {
            state.method = value;
            put();
          })),
      el('div', {class: 'pair'}, el('div', {}, el('h3', {}, 'Tasks × experts, % of the weight'), share),
         el('div', {}, el('h3', {}, 'Share of each expert'), bars)),
      el('h3', {}, 'Sites × experts'),
      about(`A row is an adapted linear of the base, from the first layer down${
          section.experts.length > 24 ? '; the 24 experts with the most weight on this task' : ''}.`),
      controls(
          choice(
              'task',
              order.filter(t => names.some(name => section.methods[name].maps[t])).map(t => [t, section.tasks[t]]),
              state.task,
              value => {
                state.task = value;
                put_sites();
              }),
          choice(
              'order', [['depth', 'by depth'], ['kind', 'by kind of site']], state.by,
              value => {
                state.by = value;
                put_sites();
              })),
      sites, unmapped, el('h3', {}, 'Entropy by depth'),
      about(
          'High: many experts share the work of the layer. “Mean weights” pools a task\'s tokens first: high ' +
          'there and low for single tokens means that different tokens go to different experts. Beside the names: the mean ' +
          'over layers.'),
      controls(choice(
          'of', [['entropy', 'mean weights of a task'], ['token_entropy', 'single tokens']], state.entropy,
          value => {
            state.entropy = value;
            show(entropy);
          },
          false)),
      entropy, worth);
  host.after_draw = put;
};
