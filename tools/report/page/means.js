// Pictures beside the tables of results: means with intervals, scores over shots, shares, experts alone.
// The means with their intervals: who is apart from whom.
function means_figure(section, measure) {
  const of = MEASURES[measure], means = section.measures[measure].means,
        groups = Object.keys(GROUPS).filter(group => means[group]?.some(cell => known(cell[0])));
  const order =
      section.methods.map((_, m) => m)
          .sort(
              (a, b) => ((means[groups[0]]?.[a]?.[0] ?? -1) - (means[groups[0]]?.[b]?.[0] ?? -1)) * (of.more ? 1 : -1));
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
  return curves(
      () => names.map(name => {
        const at = section.curves.map(([method, shots], i) => method === name ? [shots, means[i + 1][0]] : null)
                       .filter(point => point && known(point[1]));
        return {name, x: at.map(p => p[0]), y: at.map(p => p[1] * of.scale), last: at.at(-1)?.[1] * of.scale};
      }),
      () => ({x: 'shots', y: `${of.words}, mean over tasks`}),
      (curve, x, y) => [curve.name, `${x} shots: ${digits(y, of.digits)}${of.unit}`],
      {height: 300, name: 'scores by shots'});
}

function shares_figure(section) {
  let method = Object.keys(section.shares)[0];
  const plot = figure(() => {
    const shares = section.shares[method].slice(0, 30).reverse();
    return {
      data: [{
        type: 'bar',
        orientation: 'h',
        x: shares.map(s => 100 * s[1]),
        y: shares.map((_, i) => i),
        hoverinfo: 'none',
        marker: {color: css('--accent')}
      }],
      layout: {
        height: Math.max(160, shares.length * 22 + 70),
        xaxis: {title: {text: 'share of the routing weight, %'}},
        yaxis: {tickvals: shares.map((_, i) => i), ticktext: shares.map(s => label(s[0]))}
      }
    };
  }, {
    name: 'share of the routing weight by expert',
    hover: point => {
      const at = section.shares[method].slice(0, 30).reverse()[point.y];
      return [at[0], `${digits(100 * at[1], 1)} % of the routing weight`];
    }
  });
  return [
    el('h3', {}, 'Share of each expert'),
    controls(choice(
        'method', Object.keys(section.shares).map(name => [name, name]), method,
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
