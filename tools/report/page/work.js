// Who worked on what when: a line a worker; deaths, and what was taken up again; speed; what was set aside and why.
const ENDS = {
  committed: 'done',
  running: 'at work',
  stopped: 'stopped in time, saved',
  failed: 'failed',
  aside: 'set aside',
  lost: 'worker was lost',
  dropped: 'taken by another'
};
const looks = () => ({
  committed: [color(0), ''],
  running: [color(5), ''],
  stopped: [color(7), ''],
  failed: [color(4), '/'],
  aside: [color(1), 'x'],
  lost: [color(1), '\\'],
  dropped: [color(7), '/']
});

function timeline(place) {
  const workers = place.workers,
        spans = workers.flatMap((worker, w) => worker.spans.map(span => ({...span, w, worker})));
  const ms = seconds => new Date(seconds * 1000).toISOString().replace('Z', ''),
        row = workers.length > 60 ? 7 :
      workers.length > 24         ? 14 :
                                    28;
  return figure(() => {
    const data = Object.keys(ENDS).filter(how => spans.some(span => span.how === how)).map(how => {
      const of = spans.filter(span => span.how === how), named = of.length <= 40;
      return {
        type: 'bar',
        orientation: 'h',
        name: ENDS[how],
        base: of.map(span => ms(span.from)),
        x: of.map(span => Math.max(1, 1000 * (span.to - span.from))),
        y: of.map(span => span.w),
        customdata: of,
        hoverinfo: 'none',
        text: named ? of.map(span => label(span.item, 22)) : null,
        textposition: 'inside',
        insidetextanchor: 'start',
        textfont: {size: 11},
        constraintext: 'none',
        cliponaxis: true,
        textangle: 0,
        marker: {
          color: looks()[how][0],
          pattern: {fillmode: 'overlay', shape: looks()[how][1], fgcolor: css('--panel'), size: 5, solidity: .3},
          line: {width: 1, color: css('--panel')}
        }
      };
    });
    data.forEach(trace => {
      if (trace.text)
        trace.text = trace.text.map(
            (words, i) =>
                trace.customdata[i].to - trace.customdata[i].from > (place.end - place.begun) / 12 ? words : '');
    });
    const again = spans.filter(span => span.again),
          dead = workers.map((worker, w) => ({worker, w})).filter(({worker}) => !worker.finished && !worker.alive);
    if (again.length)
      data.push({
        type: 'scatter',
        mode: 'markers',
        name: 'taken up again',
        x: again.map(span => ms(span.from)),
        y: again.map(span => span.w),
        hoverinfo: 'skip',
        marker: {symbol: 'triangle-right', size: 11, color: css('--ink'), line: {width: 1, color: css('--panel')}}
      });
    if (dead.length)
      data.push({
        type: 'scatter',
        mode: 'markers',
        name: 'last word of a lost worker',
        x: dead.map(d => ms(d.worker.end)),
        y: dead.map(d => d.w),
        customdata: dead.map(d => ({dead: d.worker})),
        hoverinfo: 'none',
        marker: {symbol: 'x', size: 11, color: css('--mark'), line: {width: 1, color: css('--panel')}}
      });
    return {
      data,
      layout: {
        height: Math.max(150, Math.min(1100, workers.length * row + 110)),
        barmode: 'overlay',
        bargap: .18,
        ...above(data.map(trace => trace.name)),
        xaxis: {...dates(), title: {text: 'UTC'}},
        yaxis: {
          tickvals: workers.length <= 60 ? workers.map((_, w) => w) : [],
          ticktext: workers.map(worker => label(worker.name, small() ? 10 : 24)),
          autorange: 'reversed',
          zeroline: false,
          showgrid: false
        }
      }
    };
  }, {
    name: 'timeline of workers',
    hover: point => {
      const span = point.customdata;
      if (span?.dead) return [span.dead.name, 'was lost: its journal ends here, without a goodbye'];
      return [
        span.item, `${ENDS[span.how]} by ${span.worker.name} (rank ${span.worker.rank}, ${span.worker.host})`,
        span_text(span.to - span.from) + (span.again ? ', taken up again' : ''), span.detail
      ];
    }
  });
}

function speed(place) {
  const workers = place.workers.filter(worker => worker.rates.length > 1);
  if (!workers.length) return [];
  const has_share = workers.some(worker => worker.rates.some(rate => rate[2] > 0));
  let which = 1;
  const plot = curves(
      () => workers.map(worker => {
        const y = worker.rates.map(rate => known(rate[which]) ? rate[which] * (which === 2 ? 100 : 1) : null);
        return {
          name: worker.name,
          x: worker.rates.map(rate => new Date(rate[0] * 1000).toISOString().replace('Z', '')),
          y,
          last: mean(y.filter(known))
        };
      }),
      () => ({
        x: 'UTC',
        y: which === 1 ? 'tokens / s' : '% of the rate measured at the start',
        xaxis: dates(),
        yaxis: {rangemode: 'tozero'}
      }),
      (curve, x, y) =>
          [curve.name,
           which === 1 ? `${brief(y)} tokens/s` : `${digits(y, 1)} % of the rate of a large product of matrices there`],
      {height: 280, name: 'speed over time', value: last => which === 1 ? brief(last) : `${digits(last, 0)} %`});
  return [
    el('h3', {}, 'Speed'),
    about(
        'What each worker reported, a running mean over its last steps. The rate is that of a large product of ' +
        'matrices, measured when the run began. Beside the names: the mean.'),
    controls(
        has_share ? choice(
                        'show', [[1, 'tokens / s'], [2, 'share of the rate']], which,
                        value => {
                          which = value;
                          show(plot);
                        }) :
                    null),
    plot
  ];
}

function work_block(place) {
  place.begun = Math.min(...place.workers.map(worker => worker.begun)),
  place.end = Math.max(...place.workers.map(worker => worker.end));
  const facts = [
    `${commas(place.done)} of ${commas(place.items)} items done`, place.requeued && `${place.requeued} taken up again`,
    place.lost && `${place.lost} lost with their worker`, place.aside.length && `${place.aside.length} set aside`
  ];
  return [
    el('h3', {}, capital(place.kind)),
    about(
        facts.filter(Boolean).join(', ') + '.' +
        (place.left_out ? ` ${commas(place.left_out)} more spans are not drawn.` : '')),
    place.workers.length ? timeline(place) : null, ...speed(place),
    ...place.aside.length ?
        [
          el('h3', {}, 'Set aside, and why'),
          table(
              [
                {name: 'item', kind: 'text'}, {name: 'reason', kind: 'words'}, {name: 'attempts', kind: 'integer'},
                {name: 'each attempt', kind: 'words'}
              ],
              place.aside),
          note('--retry takes them up again.')
        ] :
        []
  ].filter(Boolean);
}

draw.work = (section, host) =>
    add(host, about('A bar is an item from being taken to its end, on its worker\'s line, by the clock of its host.'),
        ...section.places.flatMap(work_block));
