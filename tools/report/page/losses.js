// Losses of all experts over training.
const AXES = {
  step: 'step',
  tokens: 'tokens',
  seconds: 'seconds of training'
};
const PHASES = {
  lora: 'LoRA',
  gate: 'gates',
  mhr: 'MHR',
  poly: 'Poly',
  shared: 'shared',
  private: 'private'
};

// Exponential mean with a memory of a twentieth of the curve, without the pull of its start.
function smooth(values) {
  const keep = 1 - 1 / Math.max(1, values.length / 20);
  let sum = 0, weight = 0;
  return values.map(value => {
    if (!known(value)) return null;
    sum = keep * sum + value, weight = keep * weight + 1;
    return sum / weight;
  });
}

draw.losses = (section, host) => {
  const phases = Object.keys(section.phases);
  let phase = phases[0], axis = 'step', log = true, even = true;
  const now = () => section.phases[phase];
  const along = of => of[axis] || of.step;
  const plot = curves(
      () => now().map(of => ({
                        name: of.name,
                        x: along(of),
                        y: even ? smooth(of.loss) : of.loss,
                        marks: {x: along(of.validation), y: of.validation.loss},
                        last: of.validation.loss.at(-1) ?? of.loss.at(-1)
                      })),
      () => ({x: now()[0]?.[axis] ? AXES[axis] : 'step', y: 'loss, nats per target token', log}),
      (curve, x, y, mark) =>
          [curve.name,
           `${
               mark     ? 'validation' :
                   even ? 'training, smoothed' :
                          'training'} ${digits(y, 4)}`,
           `at ${
               axis === 'step'       ? 'step ' + commas(x) :
                   axis === 'tokens' ? brief(x) + ' tokens' :
                                       span_text(x)}`],
      {name: 'loss curves'});
  add(host,
      about(
          'Lines are training losses, points are losses on validation examples, which count. Point at a curve ' +
          'or a name to bring it to the front, click to keep it there. Beside the names: the last loss on validation ' +
          'examples, else of training.' +
          (section.points ? ` Longer curves are means over neighbouring steps, at ${section.points} points.` : '')),
      controls(
          choice(
              'phase', phases.map(name => [name, PHASES[name] || name]), phase,
              value => {
                phase = value;
                show(plot);
              }),
          choice(
              'over',
              Object.keys(AXES).map(name => [name, name === 'seconds' ? 'time' : name + (name === 'step' ? 's' : '')]),
              axis,
              value => {
                axis = value;
                show(plot);
              }),
          choice(
              'scale', [[true, 'log'], [false, 'linear']], log,
              value => {
                log = value;
                show(plot);
              }),
          choice(
              'lines', [[true, 'smoothed'], [false, 'as measured']], even,
              value => {
                even = value;
                show(plot);
              })),
      plot);
};
