// A matrix as a picture: [rows][columns] of numbers, dark for much, or blue and orange for two sides of zero.
// Beside many rows some names alone are written, below many columns none: the pointer says them.
function ticks(names, most, room, all = false) {
  const every = all && names.length > room ? Infinity : Math.ceil(names.length / room),
        at = names.map((_, i) => i).filter(i => Number.isFinite(every) && i % every === 0);
  return {tickvals: at, ticktext: at.map(i => label(names[i], most)), showgrid: false, zeroline: false, ticks: ''};
}

// of() → {rows, columns, z, sides, max, marks: show a sign on what is below zero, shapes, text(value)}; say(row,
// column, value) → lines of the tip.
function matrix(of, say, name) {
  let now;
  return figure(() => {
    now = of();
    const {rows, columns, z, sides, square} = now, values = z.flat().filter(known);
    const most = now.max ??
        Math.max(
            1e-9,
            ...(values.length > 1e5 ? [values.reduce((a, b) => Math.max(a, Math.abs(b)), 0)] : values.map(Math.abs)));
    const narrow = small(), text = now.text && rows.length <= 16 && columns.length <= (narrow ? 7 : 16);
    const heat = {
      type: 'heatmap',
      z,
      zmin: sides ? -most : 0,
      zmax: most,
      colorscale: scale(sides ? 'sides' : 'much'),
      hoverinfo: 'none',
      hoverongaps: false,
      xgap: columns.length < 60 ? 1 : 0,
      ygap: rows.length < 60 ? 1 : 0,
      showscale: !narrow,
      colorbar: {thickness: 10, outlinewidth: 0, len: 1, tickfont: {size: 11}}
    };
    if (text)
      Object.assign(heat, {
        text: z.map(row => row.map(value => known(value) ? plain(now.text(value)) : '')),
        texttemplate: '%{text}',
        textfont: {size: 11}
      });
    const data = [heat];
    if (now.marks && !text && rows.length <= 48) {
      const at = z.flatMap((row, r) => row.map((value, c) => known(value) && value < 0 && r !== c ? [c, r] : null))
                     .filter(Boolean);
      data.push({
        type: 'scatter',
        mode: 'markers',
        x: at.map(p => p[0]),
        y: at.map(p => p[1]),
        hoverinfo: 'skip',
        marker: {symbol: 'x-thin', size: rows.length > 24 ? 4 : 7, line: {width: 1, color: css('--ink')}}
      });
    }
    const line = rows.length > 150  ? 4 :
        rows.length > 60            ? 9 :
        rows.length > 30            ? 16 :
        square && rows.length <= 8  ? 46 :
        square && rows.length <= 16 ? 32 :
                                      24;
    return {
      data,
      layout: {
        height: Math.max(170, Math.min(900, rows.length * line + 96)),
        margin: {l: 40, r: 10, t: 10, b: 40},
        shapes: now.shapes || [],
        xaxis: {
          ...ticks(columns, narrow ? 12 : 20, narrow ? 24 : 60, true),
          tickangle: columns.some(c => String(c).length > 3) ? -40 : 0,
          ...(square && !narrow ? {constrain: 'domain', constraintoward: 'left'} : {})
        },
        yaxis: {
          ...ticks(rows, narrow ? 14 : 30, 60),
          autorange: 'reversed',
          ...(square && !narrow ? {scaleanchor: 'x', constrain: 'domain'} : {})
        }
      }
    };
  }, {hover: point => say(point.pointIndex?.[0] ?? point.y, point.pointIndex?.[1] ?? point.x, point.z), name});
}
