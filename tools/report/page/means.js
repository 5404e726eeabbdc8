// Pictures beside the tables of results: means with intervals, scores over shots, shares, experts alone.
// The means with their intervals: who is apart from whom.
function means_figure(section, measure) {
  const of = MEASURES[measure], means = section.measures[measure].means,
        groups = Object.keys(GROUPS).filter(group => means[group]?.some(cell => known(cell[0])));
  if (!groups.length) return null;
  const none = of.more ? -1 : 1e9, value = m => means[groups[0]][m][0] ?? none;
  const order = section.methods.map((_, m) => m)
                    .filter(m => groups.some(group => known(means[group][m][0])))
                    .sort((a, b) => (value(a) - value(b)) * (of.more ? 1 : -1));
  return figure(
      () => ({
        data: groups.map((group, g) => {
          const cells = order.map(m => means[group][m]),
                value = k => cells.map(cell => known(cell[k]) ? cell[k] * of.scale : null), middle = value(0);
          const gap = k => value(k).map((v, i) => known(v) && known(middle[i]) ? Math.abs(v - middle[i]) : 0);
          return {
            type: 'scatter',
            mode: 'markers',
            name: GROUPS[group].replace('mean, ', ''),
            x: middle,
            y: order.map((_, i) => i + (groups.length > 1 ? (g ? -.14 : .14) : 0)),
            hoverinfo: 'none',
            customdata: order.map(m => [m, group]),
            marker: {size: 9, color: color(g), symbol: SYMBOLS[g]},
            error_x: {
              type: 'data',
              symmetric: false,
              array: gap(2),
              arrayminus: gap(1),
              color: color(g),
              thickness: 1.6,
              width: 0
            }
          };
        }),
        layout: {
          height: Math.max(220, order.length * 24 + 90),
          ...(groups.length > 1 ? above(groups) : {}),
          xaxis: {title: {text: `${of.words}, mean over tasks`}},
          yaxis: {
            tickvals: order.map((_, i) => i),
            ticktext: order.map(m => label(section.methods[m], small() ? 16 : 34)),
            zeroline: false
          }
        }
      }),
      {
        name: 'means over tasks with intervals',
        hover: point => {
          const [m, group] = point.customdata, cell = means[group][m];
          return [
            section.methods[m], `${GROUPS[group]}: ${cell_text(cell, of)}${of.unit}`,
            range_text(cell, of) && `95 % interval ${range_text(cell, of)}`
          ];
        }
      });
}

function shots_figure(section, measure) {
  const of = MEASURES[measure], names = [...new Set(section.curves.map(([method]) => method))],
        means = section.measures[measure].means.all;
  const lines =
      names
          .map(name => {
            const at = section.curves.map(([method, shots], i) => method === name ? [shots, means[i + 1][0]] : null)
                           .filter(point => point && known(point[1]));
            return {name, x: at.map(p => p[0]), y: at.map(p => p[1] * of.scale), last: at.at(-1)?.[1] * of.scale};
          })
          .filter(line => line.y.length);
  if (!lines.length) return null;
  const shots = [...new Set(section.curves.map(curve => curve[1]))].sort((a, b) => a - b);
  return curves(
      () => lines, () => ({x: 'shots', y: `${of.words}, mean over tasks`, xaxis: whole_axis(shots)}),
      (curve, x, y) => [curve.name, `${x} shots: ${digits(y, of.digits)}${of.unit}`],
      {height: 300, name: 'scores by shots', value: last => digits(last, of.digits)});
}

// Who has how much of something: [name, share] of the largest ones, the first on top.
function share_bars(make, words, name) {
  const upwards = () => make().slice(0, 25).reverse();
  return figure(() => {
    const of = upwards();
    return {
      data: [{
        type: 'bar',
        orientation: 'h',
        x: of.map(share => 100 * share[1]),
        y: of.map((_, i) => i),
        hoverinfo: 'none',
        marker: {color: css('--accent')}
      }],
      layout: {
        height: Math.max(170, of.length * 22 + 70),
        xaxis: {title: {text: `${words}, %${make().length > of.length ? `; the ${of.length} largest` : ''}`}},
        yaxis: {tickvals: of.map((_, i) => i), ticktext: of.map(share => label(share[0], small() ? 14 : 26))},
        bargap: .25
      }
    };
  }, {name, hover: point => [upwards()[point.y][0], `${digits(100 * upwards()[point.y][1], 1)} %: ${words}`]});
}

function shares_figure(section) {
  const methods = Object.keys(section.shares);
  let method = methods[0];
  const plot = share_bars(() => section.shares[method], 'share of the routing weight', 'share of each expert');
  return [
    el('h3', {}, 'Share of each expert'),
    controls(choice(
        'method', as_options(methods), method,
        value => {
          method = value;
          plot.again();
        })),
    plot
  ];
}

function singles_figure(singles) {
  const least = singles.tasks.map((_, t) => Math.min(...singles.nll.map(row => row[t]).filter(known)));
  return [
    el('h3', {}, 'Each expert alone'),
    about(
        'Nats per token above the best single expert of the task: white is the best, and a white diagonal says ' +
        'that experts know their own task.'),
    matrix(
        () => ({
          rows: singles.names,
          columns: singles.tasks,
          z: singles.nll.map(row => row.map((value, t) => known(value) ? value - least[t] : null)),
          text: value => digits(value, 1)
        }),
        (r, c) =>
            [`${singles.names[r]} on ${singles.tasks[c]}`,
             `NLL / token ${digits(singles.nll[r][c], 3)}, ${digits(singles.nll[r][c] - least[c], 3)} above the best`],
        'experts alone by task')
  ];
}
