// What gates have learnt.
// Few experts: a line each, from closed to open. Many: half open against what was learnt.
function worth_figure(section) {
  const kinds = section.kinds, order = [...section.losses].sort((a, b) => (a[3] ?? 0) - (b[3] ?? 0)),
        many = order.length > 40;
  const words = row => [row[0], ...kinds.map((kind, k) => `${kind}: ${digits(row[k + 1], 3)}`)];
  if (many) {
    const values = order.flatMap(row => [row[2], row[3]]).filter(known),
          ends = [Math.min(...values), Math.max(...values)];
    return figure(
        () => ({
          data: [
            {
              type: 'scatter',
              mode: 'lines',
              x: ends,
              y: ends,
              hoverinfo: 'skip',
              line: {color: css('--muted'), width: 1, dash: 'dot'}
            },
            {
              type: 'scatter',
              mode: 'markers',
              x: order.map(row => row[2]),
              y: order.map(row => row[3]),
              hoverinfo: 'none',
              customdata: order,
              marker: {size: 6, opacity: .7, color: css('--accent')}
            }
          ],
          layout: {
            height: 420,
            xaxis: {...log_axis(values), title: {text: 'loss with gates half open'}},
            yaxis: {...log_axis(values), title: {text: 'loss with gates as learnt'}}
          }
        }),
        {name: 'loss half open against as learnt', hover: point => words(point.customdata)});
  }
  const looks =
      [['square-open', css('--muted')], ['circle-open', color(1)], ['circle', color(0)], ['line-ns-open', color(2)]];
  return figure(
      () => ({
        data: [
          {
            type: 'scatter',
            mode: 'lines',
            hoverinfo: 'skip',
            showlegend: false,
            line: {color: css('--line'), width: 5},
            x: order.flatMap(row => [row[2], row[3], null]),
            y: order.flatMap((_, i) => [i, i, null])
          },
          ...kinds.map((kind, k) => ({
                         type: 'scatter',
                         mode: 'markers',
                         name: kind,
                         x: order.map(row => row[k + 1]),
                         y: order.map((_, i) => i),
                         customdata: order,
                         hoverinfo: 'none',
                         marker: {
                           symbol: looks[k][0],
                           size: 10,
                           color: [css('--muted'), color(1), color(0), color(2)][k],
                           line: {width: 2}
                         }
                       }))
        ],
        layout: {
          height: Math.max(230, order.length * 26 + 130),
          ...above(kinds),
          xaxis: {
            ...log_axis(order.flatMap(row => row.slice(1).filter(known))),
            title: {text: 'validation loss, nats per token'}
          },
          yaxis: {
            tickvals: order.map((_, i) => i),
            ticktext: order.map(row => label(row[0], small() ? 14 : 28)),
            autorange: 'reversed',
            zeroline: false
          }
        }
      }),
      {name: 'loss with gates closed, half open, as learnt, open', hover: point => words(point.customdata)});
}

draw.gates = (section, host) => {
  if (section.losses.length)
    add(host, el('h3', {}, 'What the gates are worth'),
        about(
            'The loss on validation examples when an expert\'s gates are closed, half open (as training starts ' +
            'them), as learnt, and when the ' +
            'LoRA works without gates. Where half open and as learnt meet, the gates have learnt nothing: half ' +
            'of the expert already did the work.'),
        worth_figure(section));
  if (section.depth.length) {
    const plot = curves(
        () => section.depth.map(of => ({
                                  name: of.name,
                                  x: section.layers.map((_, i) => i),
                                  y: of.values,
                                  last: mean(of.values.filter(known))
                                })),
        () => ({
          x: 'layer',
          y: 'mean |v| of the layer\'s gates',
          xaxis: section.layers.length <= 16 || typeof section.layers[0] === 'string' ?
              {tickvals: section.layers.map((_, i) => i), ticktext: section.layers} :
              {}
        }),
        (curve, x, y) => [curve.name, `layer ${section.layers[x]}: |v| ${digits(y, 3)}`],
        {height: 330, name: 'gate norms by depth'});
    add(host, el('h3', {}, 'Norms by depth'),
        about(
            'Gates start at zero, so the length of v says how much a gate has learnt there. Beside the names: ' +
            'the mean over layers.'),
        plot);
  }
};
