// The map of experts: who is near whom.
// Where each name stands without covering another or a sign, above or below its own; null: nowhere. places: [x, y] in pixels.
function name_places(places, names) {
  const taken = places.map(([x, y]) => ({left: x - 6, right: x + 6, low: y - 6, high: y + 6}));
  return places.map(([x, y], i) => {
    const half = 3.2 * names[i].length;
    for (const [words, low] of [['top center', 7], ['bottom center', -21]]) {
      const box = {left: x - half, right: x + half, low: y + low, high: y + low + 14};
      if (taken.some(of => of.left < box.right && box.left < of.right && of.low < box.high && box.low < of.high))
        continue;
      taken.push(box);
      return words;
    }
    return null;
  });
}

// A range with room for names beside its ends, and its length.
function range_of(values, share) {
  const low = Math.min(...values), high = Math.max(...values), beside = ((high - low) || 1) * share;
  return [low - beside, high + beside];
}

draw.map = (section, host) => {
  const kinds = Object.keys(section.maps), categories = [...new Set(section.categories)].sort(),
        named = categories.length > 1;
  let kind = kinds[0];
  const many = section.names.length > 40, said = el('p', {class: 'note'});
  const plot = figure(host => {
    const at = section.maps[kind], most = small() ? 12 : 26, names = section.names.map(name => cut(name, most));
    const legend = named ? above(categories.map(category => cut(category || 'no category', most))) : {},
          height = (small() ? 300 : 410) + (legend.margin?.t ?? 14), x = range_of(at.x, .15), y = range_of(at.y, .1);
    const scale =
        Math.min((host.clientWidth - 40) / (x[1] - x[0]), (height - (legend.margin?.t ?? 14) - 20) / (y[1] - y[0]));
    const where = many ? [] : name_places(at.x.map((_, i) => [at.x[i] * scale, at.y[i] * scale]), names),
          hidden = where.filter(place => place === null).length;
    const axis = {showticklabels: false, zeroline: false, ticks: '', showgrid: false, showline: true, mirror: true};
    said.textContent = [
      known(at.kept) && `Two dimensions keep ${digits(100 * at.kept, 0)} % of the squared distances.`,
      (hidden || many) && 'Point at a sign for its name.',
      section.no_weights &&
          'A map by weights is left out, as so many of them take long: gaggle analyse compares them, and its analysis.json ' +
              'is drawn here.'
    ].filter(Boolean).join(' ');
    return {
      data: categories.map((category, c) => {
        const who = section.names.map((_, i) => i).filter(i => section.categories[i] === category);
        return {
          type: 'scatter',
          mode: many ? 'markers' : 'markers+text',
          name: label(category || 'no category', most),
          x: who.map(i => at.x[i]),
          y: who.map(i => at.y[i]),
          customdata: who,
          hoverinfo: 'none',
          text: many ? null : who.map(i => where[i] ? plain(names[i]) : ''),
          textposition: many ? null : who.map(i => where[i] || 'top center'),
          textfont: {size: 11, color: css('--muted')},
          cliponaxis: false,
          marker: {
            size: many ? 7 : 12,
            opacity: many ? .8 : 1,
            color: named ? color(c) : css('--accent'),
            symbol: named ? SYMBOLS[Math.floor(c / 8 + c) % 8] : 'circle',
            line: {width: 1, color: css('--panel')}
          }
        };
      }),
      layout: {
        height,
        ...legend,
        margin: {l: 14, r: 14, b: 14, t: legend.margin?.t ?? 14},
        xaxis: {...axis, range: x},
        yaxis: {...axis, range: y, scaleanchor: 'x'}
      }
    };
  }, {
    name: 'map of the experts',
    hover: point =>
        [section.names[point.customdata],
         section.categories[point.customdata] && `category: ${section.categories[point.customdata]}`]
  });
  add(host,
      about(`Near is alike. Distances are those of cosines${
          named ? '; colour and sign are the task\'s category' : ''}. Axes have no meaning of their own.`),
      controls(choice('by', as_options(kinds), kind, value => {
        kind = value;
        show(plot);
      }, false)), plot, said);
};
