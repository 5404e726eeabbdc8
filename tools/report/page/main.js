// The page itself: one subject at a time, its sections drawn when they come near, both themes, print.
const subjects = [...document.querySelectorAll('script.subject')];
const parsed = new Map();
const subject = i => parsed.get(i) ?? parsed.set(i, JSON.parse(subjects[i].textContent)).get(i);
let waiting = [];

draw.unreadable = (section, host) => add(host, about(section.why));

function draw_now(host) {
  if (host.drawn) return;
  host.drawn = true;
  host.style.minHeight = '';
  try {
    draw[host.section.draw](host.section, host.body);
    if (host.body.after_draw)
      host.body.after_draw();
    else
      show(host.body);
  } catch (error) {  // one section that cannot be drawn does not take the others with it
    host.body.append(note(`This section could not be drawn (${error.message}).`));
    console.error(error);
  }
}
const draw_all = () => waiting.forEach(draw_now);
const near = new IntersectionObserver(
    entries => entries.forEach(entry => entry.isIntersecting && draw_now(entry.target)), {rootMargin: '500px'});
const here = new IntersectionObserver(
    entries => entries.forEach(entry => entry.target.link.classList.toggle('here', entry.isIntersecting)),
    {rootMargin: '-110px 0px -70% 0px'});

function open_subject(i) {
  const of = subject(i), main = byId('main'), bar = byId('sections');
  near.disconnect(), here.disconnect(), no_tip();
  figures.forEach(host => host.heard && Plotly.purge(host));
  figures.clear();
  const badge = of.state ?
      el('span', {class: `badge ${of.state.split(' ')[0]}${of.state.includes('aside') ? ' aside' : ''}`}, of.state) :
      null;
  main.replaceChildren(...[el('div', {class: 'what'}, el('h1', {}, of.name, badge),
                              el('div', {class: 'path'}, `${of.kind} · ${of.path}`),
                              el('div', {class: 'lines'}, of.lines.map(line => el('p', {}, line)))),
                           tiles(of)]
                           .filter(Boolean));
  bar.replaceChildren();
  waiting = of.sections.map((section, s) => {
    const host =
        el('section', {id: `s${s}`},
           el('h2', {}, section.title, section.of ? el('span', {class: 'of'}, section.of) : null));
    host.section = section, host.body = host.appendChild(el('div'));
    host.style.minHeight = '220px';
    host.link = bar.appendChild(el('a', {href: `#s${s}`}, section.link || section.title));
    main.append(host);
    near.observe(host), here.observe(host);
    return host;
  });
  if (!waiting.length)
    main.append(el('section', {}, about('There is nothing to draw yet: nothing was finished in this folder.')));
  const list = byId('subjects').querySelector('select');
  if (list) list.selectedIndex = i;
  waiting.slice(0, 1).forEach(draw_now);
}

function set_theme(name) {
  document.documentElement.dataset.theme = name;
  figures.forEach(host => host.isConnected && host.heard && host.again());
  waiting.forEach(host => host.body.again && host.body.again());
}

function start() {
  document.documentElement.dataset.theme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  matchMedia('(prefers-color-scheme: dark)')
      .addEventListener('change', event => set_theme(event.matches ? 'dark' : 'light'));
  byId('theme').addEventListener('click', () => set_theme(theme() === 'dark' ? 'light' : 'dark'));
  byId('rows').querySelector('.close').addEventListener('click', () => byId('rows').close());
  byId('rows').addEventListener('click', event => event.target === byId('rows') && byId('rows').close());
  const list =
      el('select', {
        'aria-label': 'subject',
        onchange: () => {
          open_subject(list.selectedIndex);
          scrollTo(0, 0);
        }
      },
         subjects.map(of => el('option', {}, of.dataset.name)));
  byId('subjects').replaceChildren(...subjects.length > 1 ? [list] : []);
  let before = null;
  addEventListener('beforeprint', () => {
    draw_all();
    before = theme();
    set_theme('light');
  });
  addEventListener('afterprint', () => before && set_theme(before));
  addEventListener('scroll', no_tip, {passive: true});
  open_subject(0);
}
window.report = {
  draw_all,
  open_subject,
  set_theme,
  count: subjects.length
};
start();
