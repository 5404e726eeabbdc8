// A Plotly figure that is drawn anew, in the colours of the page, whenever something changes.
const figures = new Set();

function themed(layout) {
  const axis = {
    gridcolor: css('--line'),
    zerolinecolor: css('--line'),
    linecolor: css('--line'),
    automargin: true,
    title: {standoff: 8, font: {size: 13, color: css('--muted')}},
    tickfont: {size: 12}
  };
  const made = {
    paper_bgcolor: 'rgba(0,0,0,0)',
    plot_bgcolor: 'rgba(0,0,0,0)',
    font: {color: css('--ink'), family: 'system-ui, sans-serif', size: 13},
    margin: {l: 52, r: 14, t: 12, b: 44},
    hovermode: 'closest',
    showlegend: false,
    dragmode: small() ? false : 'zoom',
    autosize: true,
    ...layout
  };
  for (const name of Object.keys(made).filter(key => /^[xy]axis/.test(key)))
    made[name] = {...axis, ...made[name], title: {...axis.title, ...made[name].title}};
  if (!made.xaxis) made.xaxis = axis;
  if (!made.yaxis) made.yaxis = axis;
  return made;
}

// A log axis whose ticks are round numbers, also where it spans less than a decade.
function log_axis(values) {
  const there = values.filter(value => value > 0), low = Math.min(...there), high = Math.max(...there);
  if (!there.length || high / low > 1e5) return {type: 'log'};
  if (high / low < 1.001) return {type: 'log', tickvals: [low], ticktext: [String(+low.toPrecision(4))]};
  let at = [];
  if (high / low > 12)
    for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); ++e)
      at.push(...(small() ? [1] : [1, 2, 5]).map(k => k * 10 ** e));
  else {
    const rough = (high - low) / 5 || high, unit = 10 ** Math.floor(Math.log10(rough)),
          step = [1, 2, 5, 10].find(k => k * unit >= rough) * unit;
    for (let value = Math.ceil(low / step) * step; value <= high + step / 2; value += step)
      at.push(+value.toPrecision(6));
  }
  return {type: 'log', tickvals: at, ticktext: at.map(value => String(+value.toPrecision(4)))};
}

// Whole numbers alone, such as layers.
const whole_axis = values => values.length <= 16 ? {tickvals: values, ticktext: values.map(String)} : {};

// A legend above the picture, in a margin that is as high as its names need: Plotly's own sometimes never settles.
// Names that need more than one row stand in columns as wide as the widest.
function above(names) {
  const width = small() ? innerWidth - 90 : 760, widths = names.map(name => 7 * String(name).length + 48),
        columns =
            widths.reduce((a, b) => a + b, 0) <= width ? names.length : Math.floor(width / Math.max(...widths)) || 1,
        rows = Math.ceil(names.length / Math.max(1, columns)) || 1;
  return {
    showlegend: true,
    legend: {orientation: 'h', x: 0, yref: 'container', y: 1, yanchor: 'top', maxheight: 1, font: {size: 12}},
    margin: {l: 52, r: 14, t: 14 + 20 * rows, b: 44}
  };
}
const dates = () => ({type: 'date', nticks: small() ? 4 : 9, tickangle: 0});

const CONFIG = {
  responsive: true,
  displaylogo: false,
  modeBarButtonsToRemove: ['select2d', 'lasso2d', 'autoScale2d', 'zoomIn2d', 'zoomOut2d']
};

// make(host) → {data, layout}; the figure's height is layout's. hover(point, event) → lines of the tip, or null; out():
// the pointer has left.
function figure(make, {hover, out, click, name = 'figure'} = {}) {
  const host = el('div', {class: 'plot', role: 'img', 'aria-label': name});
  host.again = () => {
    const {data, layout} = make(host);
    host.style.height = (layout.height || 380) + 'px';
    Plotly.react(host, data, themed(layout), {...CONFIG, displayModeBar: small() ? false : 'hover'});
    if (host.heard) return;
    host.heard = true;
    host.on('plotly_hover', event => {
      const lines = hover && hover(event.points[0], event.event);
      if (lines && event.event && event.event.clientX != null) tip(event.event, lines);
    });
    host.on('plotly_unhover', () => {
      no_tip();
      if (out) out();
    });
    if (click) host.on('plotly_click', event => click(event.points[0]));
  };
  figures.add(host);
  return host;
}

// Plotly needs the place in the page: what is appended is drawn after it stands there.
const show = (...parts) => parts.flat().filter(Boolean).forEach(part => {
  if (part.again)
    part.again();
  else
    part.querySelectorAll?.('.plot').forEach(inside => inside.again && inside.again());
});
