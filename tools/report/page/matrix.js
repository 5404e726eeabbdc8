// A matrix as a picture: [rows][columns] of numbers, dark for much, or blue and orange for two sides of zero.
const MOST_WRITTEN = 16;  // rows and columns up to which numbers stand in the cells
const MOST_MARKED = 48;   // rows up to which what is below zero has a sign

// Beside many rows some names alone are written, below many columns none: the pointer says them.
function ticks(names, most, room, all = false) {
  const every = all && names.length > room ? Infinity : Math.ceil(names.length / room);
  const at = names.map((_, i) => i).filter(i => Number.isFinite(every) && i % every === 0);
  return {tickvals: at, ticktext: at.map(i => label(names[i], most)), showgrid: false, zeroline: false, ticks: ''};
}

// Pixels of a row; a square matrix of few rows has room for numbers.
function row_height(rows, square) {
  if (square && rows <= MOST_WRITTEN) return rows <= 8 ? 46 : 34;
  return rows > 150 ? 4 : rows > 60 ? 9 : rows > 30 ? 16 : 24;
}

const largest_of = z => z.reduce((most, row) => row.reduce((a, b) => Math.max(a, Math.abs(b) || 0), most), 1e-9);

function heat_of({rows, columns, z, sides, max, text, percent}, written) {
  const most = max ?? largest_of(z);
  const numbers = () => z.map(row => row.map(value => known(value) ? plain(text(value)) : ''));
  return {
    type: 'heatmap',
    z,
    zmin: sides ? -most : 0,
    zmax: most,
    colorscale: scale(sides ? 'sides' : 'much'),
    hoverinfo: 'none',
    hoverongaps: false,
    xgap: columns.length < 60 ? 1 : 0,
    ygap: rows.length < 60 ? 1 : 0,
    showscale: !small() && !written,
    colorbar: {thickness: 10, outlinewidth: 0, len: 1, tickfont: {size: 11}, tickformat: percent ? '~p' : ''},
    ...(written ? {text: numbers(), texttemplate: '%{text}', textfont: {size: 11}} : {})
  };
}

function signs_of({rows, z}) {
  const below = (row, r) => row.map((value, c) => known(value) && value < 0 && r !== c ? [c, r] : null);
  const at = z.flatMap(below).filter(Boolean), size = rows.length > 24 ? 4 : 7;
  return {
    type: 'scatter',
    mode: 'markers',
    x: at.map(place => place[0]),
    y: at.map(place => place[1]),
    hoverinfo: 'skip',
    marker: {symbol: 'x-thin', size, line: {width: 1, color: css('--ink')}}
  };
}

// of() → {rows, columns, z, sides, max, marks: show a sign on what is below zero, square, shapes, text(value), percent: it
// gives those};
// say(row, column, value) → lines of the tip.
function matrix(of, say, name) {
  return figure(host => {
    const now = of(), {rows, columns, square} = now, narrow = small(), line = row_height(rows.length, square);
    const across = (host.clientWidth - (narrow ? 110 : 260)) / columns.length,
          cell = square ? Math.min(line, across) : across;
    const written = now.text && rows.length <= MOST_WRITTEN && columns.length <= MOST_WRITTEN && cell >= 30;
    const signs = now.marks && !written && rows.length <= MOST_MARKED;
    host.signed = Boolean(signs);
    const slanted = columns.some(column => 8 * String(column).length > cell), fixed = square && !narrow;
    return {
      data: [heat_of(now, written), ...(signs ? [signs_of(now)] : [])],
      layout: {
        height: Math.max(170, Math.min(900, rows.length * line + 96)),
        margin: {l: 40, r: 10, t: 10, b: 40},
        plot_bgcolor: css('--unknown'),  // what is not known
        shapes: now.shapes || [],
        xaxis: {
          ...ticks(columns, narrow ? 12 : 20, narrow ? 24 : 60, true),
          tickangle: slanted ? -40 : 0,
          ...(fixed ? {constrain: 'domain', constraintoward: 'left'} : {})
        },
        yaxis: {
          ...ticks(rows, narrow ? 14 : 30, 60),
          autorange: 'reversed',
          ...(fixed ? {scaleanchor: 'x', constrain: 'domain', constraintoward: 'top'} : {})
        }
      }
    };
  }, {hover: point => say(point.pointIndex?.[0] ?? point.y, point.pointIndex?.[1] ?? point.x, point.z), name});
}
