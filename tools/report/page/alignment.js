// How well the tasks' gradients agree: the matrix over training, and numbers by step and by layer.
// Lines over `xs`, of [name, values]; `say`: what a point is of.
function lines_figure(lines, xs, {name, x, y, yaxis, colours, height = 290, say}) {
  return figure(
      () => ({
        data: lines.map(([name, values], i) => ({
                          type: 'scatter',
                          mode: 'lines+markers',
                          name,
                          x: xs,
                          y: values,
                          hoverinfo: 'none',
                          line: {color: colours ? colours()[i] : color(i), width: 2, dash: i ? 'dot' : 'solid'},
                          marker: {size: 5, symbol: SYMBOLS[i]}
                        })),
        layout: {
          height,
          ...(lines.length > 1 ? above(lines.map(line => line[0])) : {}),
          xaxis: {...whole_axis(xs), title: {text: x}},
          yaxis: {title: {text: y}, ...yaxis}
        }
      }),
      {name, hover: point => say(point)});
}

const MEANS = ['mean cosine', 'noise-free median'];

function alignment_numbers(of) {
  const lines = MEANS.map(name => [name, of.numbers[name]]).filter(([, values]) => values.some(known));
  return el(
      'div', {class: 'pair'},
      el('div', {}, el('h3', {}, 'Agreement over training'), lines_figure(lines, of.numbers.step, {
           name: 'agreement over training',
           x: 'step',
           y: 'cosine',
           yaxis: {zeroline: true},
           say: point => [lines[point.curveNumber][0], `step ${point.x}: ${signed(point.y, 3)}`]
         })),
      el('div', {}, el('h3', {}, 'Share of conflicting pairs'),
         lines_figure([['conflicting', of.numbers.conflicting.map(v => known(v) ? 100 * v : null)]], of.numbers.step, {
           name: 'conflicting pairs over training',
           x: 'step',
           y: '% of the pairs of a batch',
           yaxis: {rangemode: 'tozero'},
           colours: () => [css('--mark')],
           say: point => [`step ${point.x}`, `${digits(point.y, 1)} % of the pairs conflict`]
         })));
}

function by_depth(of) {
  const lines = MEANS.map((name, k) => [name, of.layers.map(layer => layer[k + 1])]).filter(([, y]) => y.some(known));
  return [
    el('h3', {}, 'By depth'), lines_figure(lines, of.layers.map(layer => +layer[0]), {
      name: 'agreement by depth',
      x: 'layer, at the last measurement',
      y: 'cosine',
      yaxis: {zeroline: true},
      height: 270,
      say: point => [`layer ${point.x}`, `${lines[point.curveNumber][0]}: ${signed(point.y, 3)}`]
    })
  ];
}

const SPACES = {
  skill: 'the shared skills',
  mixed: 'each task\'s mixed adapter',
  start: 'the common start'
};

draw.alignment = (section, host) => {
  const spaces = Object.keys(section.spaces)
                     .filter(name => section.spaces[name].frames.length || section.spaces[name].numbers),
        place = el('div');
  let space = spaces[0];
  const put = () => {
    const of = section.spaces[space];
    place.replaceChildren(
        ...[...of.frames.length ?
                cosine_frames(section.tasks, of, 'cosines of the tasks\' gradients', 'conflict') :
                [note('These lines were written before single pairs were kept: only means are there.')],
            of.numbers?.step.length > 1 ? alignment_numbers(of) : null, ...of.layers.length > 1 ? by_depth(of) : []]
            .flat()
            .filter(Boolean));
    if (host.isConnected)
      for (const part of place.children) part.again ? part.again() : show(part);
  };
  add(host,
      about(
          'Cosines of the tasks\' gradients. Blue: a step for one task helps the other. Orange: they conflict. ' +
          'Tasks that agree stand side by side. ' +
          'Cosines of small batches are noisy and pulled towards zero; noise-free ones come from two halves of ' +
          'each batch.'),
      controls(choice('gradients of', spaces.map(name => [name, SPACES[name] || name]), space, value => {
        space = value;
        put();
      }, false)), place);
  host.after_draw = put;
};
