// A text coloured by the expert that answered each token.
const SHADES = 7;  // experts of a text that get a colour of their own

function token_span(text, k, colours, section) {
  const shown = text.tokens[k].replace(/\n/g, '↵\n').replace(/\t/g, '⇥'), first = text.first[k],
        answer = (section.parts || [])[text.part?.[k]] === 'answer';
  const shade = first == null ? null : colours.get(first),
        strength = Math.round(18 + 62 * Math.min(1, text.weight[k] || 0));
  const name = i => i == null ? 'none' : section.experts[i] ?? `expert ${i}`;
  const lines = () =>
      [`${JSON.stringify(text.tokens[k])}${answer ? ' (answer)' : ''}`,
       first == null ? 'no expert' : `${name(first)}, weight ${digits(text.weight[k], 3)}`,
       text.second[k] == null ? null : `then ${name(text.second[k])}, weight ${digits(text.second_weight[k], 3)}`];
  const say = event => {
    const box = event.currentTarget.getBoundingClientRect();
    tip({clientX: event.clientX ?? box.left, clientY: event.clientY ?? box.bottom}, lines());
  };
  return el(
      'span', {
        class: 'token' + (answer ? ' answer' : ''),
        tabindex: 0,
        'data-first': first == null ? '' : name(first),
        onmousemove: say,
        onfocus: say,
        onclick: say,
        onmouseleave: no_tip,
        onblur: no_tip,
        style: shade ? {background: `color-mix(in srgb, ${shade} ${strength}%, transparent)`, borderColor: shade} : {}
      },
      shown);
}

draw.texts = (section, host) => {
  const names = Object.keys(section.methods).filter(name => Object.keys(section.methods[name]).length),
        place = el('div');
  let method = names[0], task = Object.keys(section.methods[method])[0];
  const tasks = () => Object.keys(section.methods[method]);
  const put = () => {
    if (!tasks().includes(task)) task = tasks()[0];
    const texts = section.methods[method][task], weight = new Map();
    texts.forEach(
        text => text.first.forEach(
            (first, k) => first != null && weight.set(first, (weight.get(first) || 0) + (text.weight[k] || 0))));
    const order = [...weight].sort((a, b) => b[1] - a[1]).map(([i]) => i),
          whole = [...weight.values()].reduce((a, b) => a + b, 0);
    const colours = new Map(order.slice(0, SHADES).map((i, rank) => [i, color(rank)]));
    order.slice(SHADES).forEach(i => colours.set(i, css('--muted')));
    place.replaceChildren(
        el('div', {class: 'legend'},
           order.slice(0, SHADES).map(
               i =>
                   el('span', {}, el('i', {style: {background: colours.get(i)}}),
                      `${section.experts[i] ?? i} ${digits(100 * weight.get(i) / whole, 0)} %`)),
           order.length > SHADES ?
               el('span', {}, el('i', {style: {background: css('--muted')}}), `${order.length - SHADES} others`) :
               null),
        ...texts.map(
            text =>
                el('div', {class: 'text'}, el('span', {class: 'id'}, text.id),
                   text.tokens.map((_, k) => token_span(text, k, colours, section)))));
  };
  const bar = el('div');
  const choose = () => bar.replaceChildren(controls(choice('method', as_options(names), method, value => {
                                                      method = value;
                                                      choose();
                                                      put();
                                                    }), choice('task', as_options(tasks()), task, value => {
                                                      task = value;
                                                      put();
                                                    }, true)) || '');
  add(host,
      about(
          'The colour is the expert with the most weight on the token, mean over all sites that read it; the ' +
          'stronger, the more weight. The answer is bold. Point at a token, or tap it, for the runner-up.'),
      bar, place,
      section.left_out > 0 &&
          note(`${commas(section.left_out)} more texts are in ${section.file}: the page has no room for them.`));
  choose();
  put();
  host.again = put;
};
