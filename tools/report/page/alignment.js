// How well the tasks' gradients agree: the matrix over training, and numbers by step and by layer.
function alignment_numbers(of) {
  const lines = ['mean cosine', 'noise-free median'].filter(name => of.numbers[name].some(known));
  return el(
      'div', {class: 'pair'},
      el('div', {}, el('h3', {}, 'Agreement over training'),
         figure(
             () => ({
               data: lines.map((name, i) => ({
                                 type: 'scatter',
                                 mode: 'lines+markers',
                                 name,
                                 x: of.numbers.step,
                                 y: of.numbers[name],
                                 hoverinfo: 'none',
                                 line: {color: color(i), width: 2, dash: i ? 'dot' : 'solid'},
                                 marker: {size: 5, symbol: SYMBOLS[i]}
                               })),
               layout: {
                 height: 290,
                 ...above(lines),
                 xaxis: {title: {text: 'step'}},
                 yaxis: {title: {text: 'cosine'}, zeroline: true}
               }
             }),
             {
               name: 'agreement over training',
               hover: point => [lines[point.curveNumber], `step ${point.x}: ${signed(point.y, 3)}`]
             })),
      el('div', {}, el('h3', {}, 'Share of conflicting pairs'),
         figure(
             () => ({
               data: [{
                 type: 'scatter',
                 mode: 'lines+markers',
                 x: of.numbers.step,
                 y: of.numbers.conflicting.map(v => known(v) ? 100 * v : null),
                 hoverinfo: 'none',
                 line: {color: css('--mark'), width: 2},
                 marker: {size: 5}
               }],
               layout: {
                 height: 290,
                 xaxis: {title: {text: 'step'}},
                 yaxis: {title: {text: '% of the pairs of a batch'}, rangemode: 'tozero'}
               }
             }),
             {
               name: 'conflicting pairs over training',
               hover: point => [`step ${point.x}`, `${digits(point.y, 1)} % of the pairs conflict`]
             })));
}

function by_depth(of) {
  return [
    el('h3', {}, 'By depth'),
    figure(
        () => ({
          data: [1, 2]
                    .map(k => ({
                           type: 'scatter',
                           mode: 'lines+markers',
                           name: ['', 'mean cosine', 'noise-free median'][k],
                           x: of.layers.map(l => +l[0]),
                           y: of.layers.map(l => l[k]),
                           hoverinfo: 'none',
                           line: {color: color(k - 1), width: 2, dash: k > 1 ? 'dot' : 'solid'},
                           marker: {size: 5, symbol: SYMBOLS[k - 1]}
                         }))
                    .filter(trace => trace.y.some(known)),
          layout: {
            height: 270,
            ...above(['mean cosine', 'noise-free median']),
            xaxis: {...whole_axis(of.layers.map(l => +l[0])), title: {text: 'layer, at the last measurement'}},
            yaxis: {title: {text: 'cosine'}, zeroline: true}
          }
        }),
        {name: 'agreement by depth', hover: point => [`layer ${point.x}`, signed(point.y, 3)]})
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
