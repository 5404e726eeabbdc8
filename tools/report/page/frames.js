// A matrix of cosines over training, ordered so that neighbours are alike, with a slider over its frames.
const UNKNOWN = -128;  // of cosines in hundredths

// [tasks][tasks] in the given order; null on the diagonal and for pairs that were never in one batch.
function unpacked(frame, order) {
  const values = bytes_of(frame.cosine, Int8Array), count = order.length;
  const at = (i, j) => i === j || values[i * count + j] === UNKNOWN ? null : values[i * count + j] / 100;
  return order.map(i => order.map(j => at(i, j)));
}

// Of all frames, so that a colour means the same in each.
function largest(frames) {
  let most = 5;
  for (const frame of frames) {
    const values = bytes_of(frame.cosine, Int8Array), side = Math.round(Math.sqrt(values.length));
    values.forEach((value, k) => {
      if (value !== UNKNOWN && k % (side + 1) !== 0) most = Math.max(most, Math.abs(value));
    });
  }
  return most / 100;
}

// The closest pairs and those furthest apart.
function pair_table(names, z) {
  const all = z.flatMap((row, r) => row.slice(0, r).map((value, c) => [cut(names[c], 20), cut(names[r], 20), value]));
  const order = all.filter(pair => known(pair[2])).sort((a, b) => b[2] - a[2]);
  const few = order.length > 10 ? [...order.slice(0, 5), ...order.slice(-5)] : order;
  const columns = [['task', 'text'], ['and task', 'text'], ['cosine', 'number']];
  return order.length < 2 ? '' : table(columns.map(([name, kind]) => ({name, kind, digits: 2})), few);
}

// of: {order, frames, sketch_error}; against: what two tasks do whose cosine is below zero.
function cosine_frames(tasks, of, name, against) {
  let now = of.frames.length - 1, z = [];
  const names = of.order.map(i => tasks[i] ?? `task ${i}`), said = el('p', {class: 'note'}), pairs = el('div');
  const max = largest(of.frames), text = value => signed(value, 2).replace('0.', '.');
  const plot = matrix(
      () => {
        z = unpacked(of.frames[now], of.order);
        return {rows: names, columns: names, z, sides: true, square: true, marks: true, max, text};
      },
      (r, c, value) => {
        const words =
            !known(value) ? 'never in one batch' : `cosine ${signed(value, 2)}${value < 0 ? `: they ${against}` : ''}`;
        return r === c ? null : [`${names[r]} and ${names[c]}`, words];
      },
      name);
  const wide = el('div', {class: names.length <= 24 ? 'beside pairs' : ''}, plot, pairs);
  wide.again = () => {
    plot.again();
    const frame = of.frames[now], sign = plot.signed ? ', marked ×' : '';
    const error =
        known(of.sketch_error) ? `; measured on sketches, standard error about ${brief(of.sketch_error)}` : '';
    said.textContent =
        `${capital(frame.label)}: ${frame.conflicting} of ${frame.pairs} pairs ${against} (cosine below 0${sign}), ` +
        `mean cosine ${signed(frame.mean, 3)}${error}.`;
    pairs.replaceChildren(pair_table(names, z));
  };
  const step = i => {
    now = i;
    wide.again();
  };
  return [controls(slider('over training', of.frames.length, now, i => of.frames[i].label, step)), wide, said];
}
