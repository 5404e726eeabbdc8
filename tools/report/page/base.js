'use strict';
// Small things that all drawings share. Text of others goes into the page by textContent, and into Plotly by plain().
const draw = {};  // who draws a section, by its "draw"
const byId = id => document.getElementById(id);
const small = () => window.matchMedia('(max-width: 640px)').matches;

function el(tag, about = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(about)) {
    if (name.startsWith('on'))
      made.addEventListener(name.slice(2), value);
    else if (name === 'style')
      Object.assign(made.style, value);
    else if (value === true)
      made.setAttribute(name, '');
    else if (value !== false && value != null)
      made.setAttribute(name, value);
  }
  for (const part of inside.flat())
    if (part != null && part !== false) made.append(part);
  return made;
}

// Plotly reads some tags, entities and TeX in labels.
const plain = text => String(text)
                          .replace(/[\u0000-\u001f]+/g, ' ')
                          .replace(/&/g, '&amp;')
                          .replace(/</g, '&lt;')
                          .replace(/>/g, '&gt;')
                          .replace(/\$/g, '&#36;');
// Long names are cut in the middle: their ends tell them apart.
const cut = (text, most = 26) => {
  const signs = [...String(text)];
  return signs.length <= most ?
      String(text) :
      signs.slice(0, Math.ceil(most / 2) - 1).join('') + '…' + signs.slice(1 - Math.floor(most / 2)).join('');
};
const label = (text, most) => plain(cut(text, most));

const known = value => typeof value === 'number' && Number.isFinite(value);
const digits = (value, count) => known(value) ? value.toFixed(count).replace('-', '−') : '–';
const commas = value => known(value) ? Math.round(value).toLocaleString('en') : '–';
const signed = (value, count) => known(value) ? (value < 0 ? '−' : '+') + Math.abs(value).toFixed(count) : '–';
const brief = value => !known(value)      ? '–' :
    Math.abs(value) >= 1e6                ? (value / 1e6).toPrecision(3) + ' M' :
    Math.abs(value) >= 1e4                ? (value / 1e3).toPrecision(3) + ' k' :
    value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(1) :
                                            String(+value.toPrecision(4));
const span_text = s => s >= 3600 ? `${Math.floor(s / 3600)}:${String(Math.floor(s / 60) % 60).padStart(2, '0')}:${
                                       String(Math.floor(s) % 60).padStart(2, '0')}` :
    s >= 60 ? `${Math.floor(s / 60)}:${String(Math.floor(s) % 60).padStart(2, '0')} min` :
              `${+ s.toPrecision(3)} s`;
const capital = text => text.charAt(0).toUpperCase() + text.slice(1);
// "a, b and c", of many the first ones.
const some_of = (names, most) => names.length > most ?
    `${names.slice(0, most).join(', ')} and ${commas(names.length - most)} more` :
    names.length > 1 ? `${names.slice(0, -1).join(', ')} and ${names.at(-1)}` :
                       names.join('');
// Options of a choice whose words are their values.
const as_options = names => names.map(name => [name, name]);
const mean = values => values.length && values.every(known) ? values.reduce((a, b) => a + b, 0) / values.length : null;

const bytes_of = (text, Type) => {
  const raw = Uint8Array.from(atob(text), sign => sign.charCodeAt(0));
  return new Type(raw.buffer);
};

// Colours that colour-blind eyes tell apart (Okabe and Ito, 2008; the yellow left out, which paper swallows).
const PALETTE = {
  light: ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#7a5c00', '#5b5b5b'],
  dark: ['#4ea8de', '#f08a3c', '#2fc49a', '#e39cc3', '#f0b93a', '#8fd0f7', '#c9a84c', '#b0b0b0']
};
const SYMBOLS = ['circle', 'square', 'diamond', 'triangle-up', 'cross', 'x', 'star', 'pentagon'];
const theme = () => document.documentElement.dataset.theme;
const color = i => PALETTE[theme()][i % 8];
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const faint = count =>
    `rgba(${theme() === 'dark' ? '160,175,190' : '60,75,90'},${Math.max(.07, Math.min(.4, 12 / count))})`;
// From nothing to much: one hue. Between two sides: orange for against, blue for together.
const SCALES = {
  light: {
    much: [[0, '#ffffff'], [.08, '#e3eef8'], [.3, '#9ecae1'], [.6, '#3b87c0'], [1, '#08306b']],
    sides: [[0, '#a34a00'], [.25, '#f0a35a'], [.5, '#f7f7f7'], [.75, '#6fa8d6'], [1, '#08519c']]
  },
  dark: {
    much: [[0, '#171c22'], [.08, '#1b2f42'], [.3, '#22587f'], [.6, '#3d9bd6'], [1, '#d6efff']],
    sides: [[0, '#ffb266'], [.25, '#a85a14'], [.5, '#232a32'], [.75, '#2b6ca3'], [1, '#8fd0ff']]
  }
};
const scale = name => SCALES[theme()][name];

function tip(event, lines) {
  const box = byId('tip');
  box.replaceChildren(...lines.filter(line => line != null && line !== '').map(line => el('div', {}, line)));
  box.hidden = false;
  const {width, height} = box.getBoundingClientRect(), x = event.clientX + 14, y = event.clientY + 16;
  box.style.left = Math.max(4, Math.min(x, innerWidth - width - 8)) + 'px';
  box.style.top = (y + height > innerHeight - 6 ? Math.max(4, event.clientY - height - 12) : y) + 'px';
}
const no_tip = () => {
  byId('tip').hidden = true;
};

// One of several: buttons where they are few and short, else a list. options: [value, words].
function choice(
    words, options, value, changed, as_list = options.length > 4 || options.some(([, text]) => text.length > 22)) {
  if (options.length < 2) return null;
  if (as_list) {
    const list =
        el('select', {onchange: () => changed(options[list.selectedIndex][0])},
           options.map(([, text]) => el('option', {}, cut(text, 70))));
    list.selectedIndex = Math.max(0, options.findIndex(([of]) => of === value));
    return el('label', {}, words, list);
  }
  const buttons = options.map(
      ([of, text]) =>
          el('button', {
            type: 'button',
            'aria-pressed': String(of === value),
            onclick: event => {
              buttons.forEach(button => button.setAttribute('aria-pressed', String(button === event.currentTarget)));
              changed(of);
            }
          },
             text));
  return el('label', {}, words, el('span', {class: 'choice', role: 'group', 'aria-label': words}, buttons));
}

// Steps of training: a slider with its words behind it.
function slider(words, count, value, text, changed) {
  if (count < 2) return null;
  const said = el('output', {}, text(value));
  const input = el('input', {
    type: 'range',
    min: 0,
    max: count - 1,
    step: 1,
    value,
    'aria-label': words,
    oninput: () => {
      said.textContent = text(+input.value);
      changed(+input.value);
    }
  });
  return el('label', {class: 'slider'}, words, input, said);
}

const add = (host, ...parts) =>
    host.append(...parts.flat().filter(part => part != null && part !== false && part !== ''));
const about = text => el('p', {class: 'about'}, text);
const note = text => text ? el('p', {class: 'note'}, text) : null;
const controls = (...parts) => parts.flat().some(Boolean) ? el('div', {class: 'controls'}, parts) : null;
