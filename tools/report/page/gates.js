// What gates have learnt.
const looks_of_gates = () => [
    ['square-open', css('--muted')], ['circle-open', color(1)], ['circle', color(0)], ['line-ns-open', color(2)]];

// Few experts: a line each, from closed to open. Many: each loss against that with gates half open.
function worth_figure(section) {
  const order = [...section.losses].sort((a, b) => (a[3] ?? 0) - (b[3] ?? 0));
  return order.length > 40 && order.some(row => known(row[2])) ? worth_of_many(section.kinds, order) :
                                                                 worth_of_few(section.kinds, order);
}

const worth_words = (kinds, row) => [row[0], ...kinds.map((kind, k) => `${kind}: ${digits(row[k + 1], 3)}`)];

function worth_of_many(kinds, order) {
  const half = order.map(row => row[2]).filter(known), ends = [Math.min(...half), Math.max(...half)],
        shown = [0, 2, 3].filter(k => order.some(row => known(row[k + 1])));
  return figure(
      () => ({
        data: [
          {
            type: 'scatter',
            mode: 'lines',
            x: ends,
            y: ends,
            hoverinfo: 'skip',
            showlegend: false,
            line: {color: css('--muted'), width: 1, dash: 'dot'}
          },
          ...shown.map(k => ({
                         type: 'scatter',
                         mode: 'markers',
                         name: kinds[k],
                         x: order.map(row => row[2]),
                         y: order.map(row => row[k + 1]),
                         hoverinfo: 'none',
                         customdata: order,
                         marker: {size: 6, opacity: .6, symbol: looks_of_gates()[k][0], color: looks_of_gates()[k][1]}
                       }))
        ],
        layout: {
          height: 440,
          ...above(shown.map(k => kinds[k])),
          xaxis: {...log_axis(half), title: {text: 'loss with gates half open'}},
          yaxis: {
            ...log_axis(order.flatMap(row => shown.map(k => row[k + 1])).filter(known)),
            title: {text: 'loss with gates in the other states'}
          }
        }
      }),
      {
        name: 'loss with gates half open against closed, as learnt, open',
        hover: point => worth_words(kinds, point.customdata)
      });
}

function worth_of_few(kinds, order) {
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
          ...kinds.map(
              (kind, k) => ({
                type: 'scatter',
                mode: 'markers',
                name: kind,
                x: order.map(row => row[k + 1]),
                y: order.map((_, i) => i),
                customdata: order,
                hoverinfo: 'none',
                marker: {symbol: looks_of_gates()[k][0], size: 10, color: looks_of_gates()[k][1], line: {width: 2}}
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
      {
        name: 'loss with gates closed, half open, as learnt, open',
        hover: point => worth_words(kinds, point.customdata)
      });
}

draw.gates = (section, host) => {
  if (section.losses.length)
    add(host, el('h3', {}, 'What the gates are worth'),
        about(
            'The loss on validation examples when an expert\'s gates are closed, half open (as training starts ' +
            'them), as learnt, and when the ' +
            'LoRA works without gates. ' +
            (section.losses.length > 40 ?
                 'The dotted line is half open: what is as learnt on it has learnt nothing, since half of the expert ' +
                     'already did the work.' :
                 'Where half open and as learnt meet, the gates have learnt nothing: half of the expert already did ' +
                     'the work.')),
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
