// Who worked on what when: a line a worker; deaths, and what was taken up again.
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

const clock_of = seconds => new Date(seconds * 1000).toISOString().replace('Z', '');

// The spans of one end; names stand in those that are wide enough.
function bars_of(how, of, least) {
  return {
    type: 'bar',
    orientation: 'h',
    name: ENDS[how],
    base: of.map(span => clock_of(span.from)),
    x: of.map(span => Math.max(1, 1000 * (span.to - span.from))),
    y: of.map(span => span.w),
    customdata: of,
    hoverinfo: 'none',
    text: of.length <= 40 ? of.map(span => span.to - span.from > least ? label(span.item, 22) : '') : null,
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
}

// places: [worker's line, seconds].
function signs_at(name, places, symbol, colour, about) {
  return {
    type: 'scatter',
    mode: 'markers',
    name,
    x: places.map(place => clock_of(place[1])),
    y: places.map(place => place[0]),
    marker: {symbol, size: 11, color: css(colour), line: {width: 1, color: css('--panel')}},
    ...about
  };
}

function timeline_data(place) {
  const spans = place.workers.flatMap((worker, w) => worker.spans.map(span => ({...span, w, worker})));
  const again = spans.filter(span => span.again), least = (place.end - place.begun) / 12,
        dead = place.workers.map((worker, w) => ({worker, w})).filter(({worker}) => !worker.finished && !worker.alive);
  return [
    ...Object.keys(ENDS)
        .map(how => [how, spans.filter(span => span.how === how)])
        .filter(([, of]) => of.length)
        .map(([how, of]) => bars_of(how, of, least)),
    again.length &&
        signs_at(
            'taken up again', again.map(span => [span.w, span.from]), 'triangle-right', '--ink', {hoverinfo: 'skip'}),
    dead.length &&
        signs_at(
            'last word of a lost worker', dead.map(of => [of.w, of.worker.end]), 'x', '--mark',
            {hoverinfo: 'none', customdata: dead.map(of => ({dead: of.worker}))})
  ].filter(Boolean);
}

function timeline(place) {
  const workers = place.workers, row = workers.length > 60 ? 7 : workers.length > 24 ? 14 : 28;
  return figure(() => {
    const data = timeline_data(place);
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
