// The map of experts: who is near whom.
draw.map = (section, host) => {
  const kinds = Object.keys(section.maps), categories = [...new Set(section.categories)].sort(),
        named = categories.length > 1;
  let kind = kinds[0];
  const many = section.names.length > 40, said = el('p', {class: 'note'});
  const plot = figure(() => {
    const at = section.maps[kind];
    const of = categories.map(
        (category, c) =>
            ({category, c, who: section.names.map((_, i) => i).filter(i => section.categories[i] === category)}));
    said.textContent =
        known(at.kept) ? `Two dimensions keep ${digits(100 * at.kept, 0)} % of the squared distances.` : '';
    return {
      data: of.map(({category, c, who}) => ({
                     type: 'scatter',
                     mode: many ? 'markers' : 'markers+text',
                     name: label(category || 'no category'),
                     x: who.map(i => at.x[i]),
                     y: who.map(i => at.y[i]),
                     customdata: who,
                     hoverinfo: 'none',
                     text: many ? null : who.map(i => label(section.names[i], small() ? 12 : 26)),
                     textposition: 'top center',
                     textfont: {size: 11, color: css('--muted')},
                     marker: {
                       size: many ? 7 : 12,
                       opacity: many ? .8 : 1,
                       color: named ? color(c) : css('--accent'),
                       symbol: named ? SYMBOLS[Math.floor(c / 8 + c) % 8] : 'circle',
                       line: {width: 1, color: css('--panel')}
                     }
                   })),
      layout: {
        height: small() ? 380 : 460,
        ...(named ? above(categories) : {}),
        xaxis: {showticklabels: false, zeroline: false, ticks: '', showgrid: false, showline: true, mirror: true},
        yaxis: {
          showticklabels: false,
          zeroline: false,
          ticks: '',
          showgrid: false,
          showline: true,
          mirror: true,
          scaleanchor: 'x'
        }
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
      controls(choice('by', kinds.map(name => [name, name]), kind, value => {
        kind = value;
        show(plot);
      }, false)), plot, said);
};
