// Many curves of one kind: all of them faint (of eight or fewer each in its colour), the one that is pointed at on
// top, and a list of names beside them.
const COLOURED = 8;

// curves() → [{name, x, y, marks: {x, y}, last}]; axes() → {x, y titles, log, category ticks}; say(curve, x, y,
// is_mark) → lines of the tip.
function curves(make, axes, say, {height = 400, name = 'curves', value = last => digits(last, 3)} = {}) {
  let all = [], pinned = null, owners = [];
  const few = () => all.length <= COLOURED;
  const line_of = (curve, of) => ({
    type: 'scatter',
    mode: curve.y.length === 1 ? 'markers' : 'lines',
    x: curve.x,
    y: curve.y,
    hoverinfo: 'none',
    connectgaps: false,
    ...of
  });
  // Faint ones are one trace with gaps: five hundred traces would take seconds.
  const joined = (key, of) => {
    const x = [], y = [], owner = [];
    all.forEach((curve, i) => {
      const from = key === 'marks' ? curve.marks : curve;
      if (!from || !from.y.length) return;
      for (let k = 0; k < from.y.length; ++k) x.push(from.x[k]), y.push(from.y[k]), owner.push(i);
      x.push(null), y.push(null), owner.push(i);
    });
    owners.push(owner);
    return {type: 'scatter', x, y, hoverinfo: 'none', connectgaps: false, ...of};
  };
  const colour = i => few() ? color(i) : css('--accent');
  const top = i => {
    const curve = i == null ? null : all[i];
    return [
      {
        x: curve ? curve.x : [],
        y: curve ? curve.y : [],
        'line.color': i == null ? '#000' :
            few()               ? color(i) :
                                  css('--mark')
      },
      {
        x: curve?.marks ? curve.marks.x : [],
        y: curve?.marks ? curve.marks.y : [],
        'marker.color': i == null ? '#000' :
            few()                 ? color(i) :
                                    css('--mark')
      }
    ];
  };
  const plot = figure(() => {
    all = make(), owners = [];
    if (pinned != null && pinned >= all.length) pinned = null;
    const ax = axes(),
          data = few() ? all.map((curve, i) => line_of(curve, {line: {color: color(i), width: 1.6}})) :
                         [joined('line', {mode: 'lines', line: {color: faint(all.length), width: 1}})];
    if (few()) owners = all.map(curve => curve.y.map((_, k) => all.indexOf(curve)));
    const marks = all.some(curve => curve.marks?.y.length);
    if (marks) {
      const trace = joined('marks', {
        mode: 'markers',
        marker: {size: few() ? 8 : 4, symbol: 'circle', line: {width: few() ? 1.5 : 0, color: css('--panel')}}
      });
      trace.marker.color = few() ? owners.at(-1).map(color) : css('--accent');
      if (!few()) trace.marker.opacity = .55;
      data.push(trace);
    }
    plot.first_mark = marks ? data.length - 1 : -1;
    plot.top = data.length;
    const [line, dots] = top(pinned);
    data.push(
        {
          type: 'scatter',
          mode: 'lines',
          x: line.x,
          y: line.y,
          hoverinfo: 'skip',
          line: {color: line['line.color'], width: 3.2}
        },
        {
          type: 'scatter',
          mode: 'markers',
          x: dots.x,
          y: dots.y,
          hoverinfo: 'skip',
          marker: {size: 11, color: dots['marker.color'], line: {width: 2, color: css('--panel')}}
        });
    return {
      data,
      layout: {
        height,
        xaxis: {title: {text: plain(ax.x)}, zeroline: false, ...ax.xaxis},
        yaxis: {
          title: {text: plain(ax.y)},
          zeroline: false,
          ...(ax.log ? log_axis(all.flatMap(curve => [...curve.y, ...(curve.marks?.y || [])])) : {}),
          ...ax.yaxis
        }
      }
    };
  }, {
    name,
    out: () => raise(pinned),
    click: point => pin(owner_of(point)),
    hover: point => {
      const i = owner_of(point);
      if (i == null) return null;
      raise(i);
      return say(all[i], point.x, point.y, point.curveNumber === plot.first_mark);
    }
  });
  const owner_of = point => owners[point.curveNumber]?.[point.pointNumber ?? point.pointIndex] ?? null;
  let raised = null;
  function raise(i) {
    if (i === raised) return;
    raised = i;
    const [line, dots] = top(i),
                 wrap = of => Object.fromEntries(Object.entries(of).map(([key, value]) => [key, [value]]));
    Plotly.restyle(plot, wrap(line), [plot.top]);
    Plotly.restyle(plot, wrap(dots), [plot.top + 1]);
    items.querySelectorAll('li').forEach(item => item.classList.toggle('on', +item.dataset.i === i));
  }
  function pin(i) {
    pinned = pinned === i ? null : i;
    raised = undefined;
    raise(pinned);
  }
  const items = el('ol'),
        search = el(
            'input', {type: 'search', placeholder: 'find a name', 'aria-label': 'find a name', oninput: () => fill()});
  function fill() {
    const order = sorted(all.map((curve, i) => ({...curve, i})), curve => curve.last, true)
                      .filter(curve => curve.name.toLowerCase().includes(search.value.toLowerCase()));
    items.replaceChildren(...order.slice(0, 600).map(
        curve =>
            el('li', {
              'data-i': curve.i,
              title: curve.name,
              tabindex: 0,
              onmouseenter: () => raise(curve.i),
              onmouseleave: () => raise(pinned),
              onfocus: () => raise(curve.i),
              onclick: () => pin(curve.i)
            },
               el('i', {style: {background: few() ? color(curve.i) : css('--accent')}}), el('span', {}, curve.name),
               el('b', {}, value(curve.last)))));
  }
  const names = el('div', {class: 'names'}, search, items), draw_plot = plot.again;
  plot.again = () => {
    draw_plot();
    raised = pinned;
    search.hidden = all.length <= 12;
    fill();
  };
  return el('div', {class: 'beside'}, plot, names);
}
