// Results: methods × tasks with the best of each task marked and intervals under the numbers; a click opens the rows behind one.
const MEASURES = { score: { words: "right %", scale: 100, digits: 1, more: true, unit: " %" }, nll: { words: "NLL / token", scale: 1, digits: 3, more: false, unit: "" } };
const SHARES = new Set(["f1", "rouge_l"]);
const GROUPS = { held_in: "mean, held-in", held_out: "mean, held-out", all: "mean" };

// Who knows the task, or was chosen by its test examples, is no rival of those that route.
const rivals = methods => methods.map(method => method !== "oracle");

function best_of(cells, allowed, more) {
  const values = cells.map((cell, i) => allowed[i] && known(cell?.[0]) ? cell[0] : null), there = values.filter(known);
  if (there.length < 2) return [];
  const best = more ? Math.max(...there) : Math.min(...there);
  const who = values.map((value, i) => value === best ? i : -1).filter(i => i >= 0);
  return who.length > there.length / 2 ? [] : who; // what most reach marks nobody
}

const cell_text = (cell, of) => known(cell?.[0]) ? digits(cell[0] * of.scale, of.digits) : "–";
const range_text = (cell, of) => cell && known(cell[1]) && known(cell[2]) ? `${digits(cell[1] * of.scale, of.digits)} – ${digits(cell[2] * of.scale, of.digits)}` : "";

// One line of the picture of rows and columns: {name, title, cells: by method}.
function columns_of(section, measure) {
  const of = section.measures[measure];
  const means = Object.keys(GROUPS).filter(group => of.means[group]?.some(cell => known(cell[0])) && (group === "all" || section.tasks.filter(t => t.held_in === (group === "held_in")).length > 1))
    .map(group => ({ name: GROUPS[group], mean: true, cells: of.means[group] }));
  const tasks = section.tasks.map((task, t) => ({ name: task.name, task, title: `${task.name} · ${task.metric || ""}${task.held_in === false ? " · held-out" : ""}`,
    cells: of.cells.map(row => row[t]) }));
  return [...means, ...[true, false, null].flatMap(held => tasks.filter(column => (column.task.held_in ?? null) === held))];
}

function results_table(section, measure, turned) {
  const of = MEASURES[measure], columns = columns_of(section, measure), allowed = rivals(section.methods);
  const best = columns.map(column => best_of(column.cells, allowed, of.more));
  const cell = (column, c, m) => {
    const value = column.cells[m], inside = [el("span", { class: "value" }, cell_text(value, of)), range_text(value, of) && el("span", { class: "low-high" }, range_text(value, of))];
    const star = section.experts[section.methods[m]]?.[column.name];
    return el("td", { class: [best[c].includes(m) && "best", column.mean && "mean"].filter(Boolean).join(" ") || null, title: star ? `stands for: ${star}` : null },
      column.task && known(value?.[0]) ? el("button", { class: "cell", type: "button", onclick: () => open_rows(section, column.name, m) }, inside) : inside);
  };
  const across = turned ? section.methods.map((name, m) => ({ name, title: name, at: m })) : columns.map((column, c) => ({ name: column.name, title: column.title, at: c }));
  const lines = turned ? columns.map((column, c) => ({ name: column.name, c })) : section.methods.map((name, m) => ({ name, m }));
  const value_at = (line, k) => (turned ? columns[line.c].cells[k] : columns[across[k].at].cells[line.m])?.[0];
  const body = el("tbody");
  const fill = rows => body.replaceChildren(...rows.map(line => el("tr", {}, el("th", { scope: "row", title: line.name }, line.name),
    across.map(over => turned ? cell(columns[line.c], line.c, over.at) : cell(columns[over.at], over.at, line.m)))));
  fill(lines);
  const head = sorting_head([turned ? "task" : "method", ...across.map(over => over.name)], (c, up) => fill(sorted(lines, line => c ? value_at(line, c - 1) : line.name, up)),
    [true, ...across.map(() => !of.more)], ["", ...across.map(over => over.title)]);
  return el("div", { class: "scroll", tabindex: 0 }, el("table", { class: "results" }, head, body));
}

function verdict(score, metric) {
  return score == null ? ["", null] : SHARES.has(metric) ? ["part", digits(score, 2)] : [score === 1 ? "right" : "wrong", null];
}

function examples(section, task, chosen) {
  const { rows, all } = section.rows[task], metric = section.tasks.find(of => of.name === task).metric;
  const cards = rows.map(row => el("article", { class: "example" }, el("div", { class: "id" }, row.id), el("dl", {},
    el("dt", {}, "prompt"), el("dd", {}, row.prompt ?? "(its task file is not where the config says)"), el("dt", {}, "target"), el("dd", {}, row.target),
    section.methods.flatMap((method, m) => {
      if (!row.answers[m]) return [];
      const [answer, score, nll] = row.answers[m], [kind, part] = verdict(score, metric);
      return [el("dt", { class: m === chosen ? "chosen" : null, title: method }, cut(method, 34)), el("dd", { class: m === chosen ? "chosen" : null },
        el("span", { class: "nll", title: "nats of the whole target" }, known(nll) ? `NLL ${digits(nll, 2)}` : ""), el("span", { class: kind, "data-score": part }, answer ?? "(scored by NLL alone)"))];
    }))));
  return [rows.length < all ? note(`The first ${rows.length} of ${all} examples; all are in ${section.file.replace("results", "predictions")}l.`) : null, ...cards,
    rows.length ? null : note("No predictions lie beside these results.")];
}

function open_rows(section, task, m) {
  const dialog = byId("rows"), rows = section.rows[task] || { rows: [], all: 0 }, of = section.tasks.find(each => each.name === task);
  const inside = rows.table ? [table(rows.columns.map((name, c) => ({ name, kind: c === 0 || c === 5 ? "text" : c === 1 || c === 4 ? "integer" : "number" })), rows.table)] : examples(section, task, m);
  dialog.querySelector(".inside").replaceChildren(el("h2", {}, `${task}, ${section.methods[m]}`), about(`Metric: ${of.metric || "–"}. ${Object.entries(MEASURES).map(([key, measure]) =>
    `${measure.words} ${cell_text(section.measures[key].cells[m][section.tasks.indexOf(of)], measure)}`).join(", ")}.`), ...inside.filter(Boolean));
  dialog.showModal();
  dialog.scrollTop = 0;
}

// The means with their intervals: who is apart from whom.
function means_figure(section, measure) {
  const of = MEASURES[measure], means = section.measures[measure].means, groups = Object.keys(GROUPS).filter(group => means[group]?.some(cell => known(cell[0])));
  const order = section.methods.map((_, m) => m).sort((a, b) => ((means[groups[0]]?.[a]?.[0] ?? -1) - (means[groups[0]]?.[b]?.[0] ?? -1)) * (of.more ? 1 : -1));
  return figure(() => ({ data: groups.map((group, g) => {
    const cells = order.map(m => means[group][m]), value = k => cells.map(cell => known(cell[k]) ? cell[k] * of.scale : null), middle = value(0);
    const gap = k => value(k).map((v, i) => known(v) && known(middle[i]) ? Math.abs(v - middle[i]) : 0);
    return { type: "scatter", mode: "markers", name: GROUPS[group].replace("mean, ", ""), x: middle, y: order.map((_, i) => i + (groups.length > 1 ? (g ? -.14 : .14) : 0)), hoverinfo: "none",
      customdata: order.map(m => [m, group]), marker: { size: 9, color: color(g), symbol: SYMBOLS[g] },
      error_x: { type: "data", symmetric: false, array: gap(2), arrayminus: gap(1), color: color(g), thickness: 1.6, width: 0 } };
  }), layout: { height: Math.max(220, order.length * 24 + 90), ...(groups.length > 1 ? above(groups) : {}),
    xaxis: { title: { text: `${of.words}, mean over tasks` } }, yaxis: { tickvals: order.map((_, i) => i), ticktext: order.map(m => label(section.methods[m], small() ? 16 : 34)), zeroline: false } } }),
  { name: "means over tasks with intervals", hover: point => {
    const [m, group] = point.customdata, cell = means[group][m];
    return [section.methods[m], `${GROUPS[group]}: ${cell_text(cell, of)}${of.unit}`, range_text(cell, of) && `95 % interval ${range_text(cell, of)}`];
  } });
}

function shots_figure(section, measure) {
  const of = MEASURES[measure], names = [...new Set(section.curves.map(([method]) => method))], means = section.measures[measure].means.all;
  return curves(() => names.map(name => {
    const at = section.curves.map(([method, shots], i) => method === name ? [shots, means[i + 1][0]] : null).filter(point => point && known(point[1]));
    return { name, x: at.map(p => p[0]), y: at.map(p => p[1] * of.scale), last: at.at(-1)?.[1] * of.scale };
  }), () => ({ x: "shots", y: `${of.words}, mean over tasks` }), (curve, x, y) => [curve.name, `${x} shots: ${digits(y, of.digits)}${of.unit}`], { height: 300, name: "scores by shots" });
}

function shares_figure(section) {
  let method = Object.keys(section.shares)[0];
  const plot = figure(() => {
    const shares = section.shares[method].slice(0, 30).reverse();
    return { data: [{ type: "bar", orientation: "h", x: shares.map(s => 100 * s[1]), y: shares.map((_, i) => i), hoverinfo: "none", marker: { color: css("--accent") } }],
      layout: { height: Math.max(160, shares.length * 22 + 70), xaxis: { title: { text: "share of the routing weight, %" } }, yaxis: { tickvals: shares.map((_, i) => i), ticktext: shares.map(s => label(s[0])) } } };
  }, { name: "share of the routing weight by expert", hover: point => { const at = section.shares[method].slice(0, 30).reverse()[point.y]; return [at[0], `${digits(100 * at[1], 1)} % of the routing weight`]; } });
  return [el("h3", {}, "Share of each expert"), controls(choice("method", Object.keys(section.shares).map(name => [name, name]), method, value => { method = value; plot.again(); })), plot];
}

function singles_figure(singles) {
  const least = singles.tasks.map((_, t) => Math.min(...singles.nll.map(row => row[t]).filter(known)));
  return [el("h3", {}, "Each expert alone"), about("Nats per token above the best single expert of the task: white is the best, and a white diagonal says that experts know their own task."),
    matrix(() => ({ rows: singles.names, columns: singles.tasks, z: singles.nll.map(row => row.map((value, t) => known(value) ? value - least[t] : null)), text: value => digits(value, 1) }),
      (r, c) => [`${singles.names[r]} on ${singles.tasks[c]}`, `NLL / token ${digits(singles.nll[r][c], 3)}, ${digits(singles.nll[r][c] - least[c], 3)} above the best`], "experts alone by task")];
}

draw.results = (section, host) => {
  const has = Object.keys(MEASURES).filter(key => section.measures[key].cells.flat().some(cell => known(cell?.[0])));
  if (!has.length) return add(host, about("No numbers yet: no item of this evaluation is done."));
  let measure = has[0], turned = section.tasks.length > 8;
  const place = el("div"), picture = el("div"), put = () => {
    place.replaceChildren(results_table(section, measure, turned));
    const drawn = section.curves && new Set(section.curves.map(([, shots]) => shots)).size > 1 ? shots_figure(section, measure) : means_figure(section, measure);
    picture.replaceChildren(drawn);
    if (host.isConnected) show(drawn);
  };
  const words = section.over_seeds ? "Medians over seeds, with the smallest and the largest below. ★ is the best of its column. A click on a number opens its seeds."
    : "The best of each task is marked ★ (oracle, which knows the task, apart). Below each number is its 95 % interval, by drawing examples anew. A click on a number opens the examples behind it.";
  add(host, about(words), controls(choice("show", has.map(key => [key, MEASURES[key].words]), measure, value => { measure = value; put(); }),
    section.tasks.length > 1 ? choice("rows are", [[false, "methods"], [true, "tasks"]], turned, value => { turned = value; put(); }) : null), place, picture);
  put();
  const oracle = Object.entries(section.experts.oracle || {}).filter(([task, expert]) => task !== expert);
  const parts = [oracle.length && note(`oracle on tasks without an expert of their own looks at the test: ${oracle.map(([task, expert]) => `${task}: ${expert}`).join(", ")}.`),
    section.missing.length && note(`Without a result: ${section.missing.slice(0, 20).join(", ")}${section.missing.length > 20 ? ` and ${section.missing.length - 20} more` : ""}.`),
    ...(section.singles ? singles_figure(section.singles) : []), ...(Object.keys(section.shares).length ? shares_figure(section) : [])].filter(Boolean);
  add(host, ...parts);
};
