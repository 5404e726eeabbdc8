// Who worked on what when, how fast, and what was set aside and why.
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
