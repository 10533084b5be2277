"use strict";
// What is chosen, and the sections that follow it.

const chosen = { metric: 0, group: 0, task: 0, base: null, a: 0, b: 1 };
const metric = () => D.metrics[chosen.metric];
const here = () => D.cells.filter((c) => c.group === chosen.group);
const tasks = () => [...new Set(here().map((c) => c.task))];
const labels = () => [...new Set(here().map((c) => c.label))];
const cellOf = (task, label) => here().find((c) => c.task === task && c.label === label);
const rowsOf = (cell) => (cell ? D.rows.filter((r) => r.cell === cell.cell) : []);
const number = (cell, name) => (cell && cell.numbers[name] ? cell.numbers[name][0] : null);

function cellShown(cell) {
  if (!cell) return "";
  if (!cell.fits) return [el("span", { class: "none", title: cell.why }, "n/a")];
  const shown = mean(cell.numbers[metric().name], metric().digits);
  return cell.failed ? [...shown, el("span", { class: "failed", title: cell.why }, ` ${cell.failed} failed`)] : shown;
}

function overview() {
  const blocks = ["point", "sample"].map((kind) => labels().filter((l) => here().some((c) => c.label === l && c.returns === kind)));
  const tops = (kind, task) => best(blocks[kind].map((l) => number(cellOf(task, l), metric().name)), metric().higher);
  const top = (cell, kind, task) => { // what is known of a whole set alone, such as FID, has no paired differences
    const name = metric().name, v = number(cell, name);
    const told = blocks[kind].some((l) => (cellOf(task, l) || { top: [] }).top.includes(name));
    return v !== null && (told ? cell.top.includes(name) : v === tops(kind, task));
  };
  const kindOf = (label) => (blocks[0].includes(label) ? 0 : 1);
  const columns = [{ title: "solver", text: true, key: (l) => l, show: (l) => [l, el("span", { class: "half" }, kindOf(l) ? " sample" : " point")] }];
  tasks().forEach((task, i) => columns.push({
    title: task,
    key: (l) => number(cellOf(task, l), metric().name),
    show: (l) => cellShown(cellOf(task, l)),
    mark: (l) => (top(cellOf(task, l), kindOf(l), task) ? "best" : ""),
    click: () => { chosen.task = i; draw(); at("detail").scrollIntoView({ behavior: "smooth", block: "center" }); },
  }));
  at("overview").replaceChildren(table(columns, blocks.filter((b) => b.length)));
}

function detail() {
  const task = tasks()[chosen.task];
  const cells = here().filter((c) => c.task === task);
  const numeric = [...D.metrics, ...D.numbers].filter((n) => cells.some((c) => c.numbers[n.name]));
  const columns = [
    { title: "solver", text: true, key: (c) => c.label, show: (c) => [el("span", { title: c.solver }, c.label)] },
    ...numeric.map((n) => ({ title: n.label, key: (c) => number(c, n.name), show: (c) => mean(c.numbers[n.name], n.digits) })),
    { title: "records", key: (c) => c.records, show: (c) => String(c.records) },
    { title: "failed", key: (c) => c.failed, show: (c) => String(c.failed), mark: (c) => (c.failed ? "failed" : "") },
    { title: "why", text: true, key: (c) => c.why || "", show: (c) => (c.why || "").slice(0, 80) },
  ];
  const one = cells[0];
  at("detail").replaceChildren(table(columns, [cells]));
  at("one").textContent = `One task in full: ${task}`;
  at("physics").textContent = `${one.operator}; ${one.noise}`;
}

function pareto() {
  const m = metric(), task = tasks()[chosen.task];
  const plots = [["network calls an image", (c) => number(c, "forwards") + number(c, "backwards")], ["seconds an image", (c) => number(c, "seconds")]];
  at("pareto").replaceChildren(...plots.map(([name, cost]) => {
    const points = here().filter((c) => c.task === task && c.numbers[m.name] && cost(c) > 0).map((c) => ({
      x: cost(c), y: c.numbers[m.name][0], half: c.numbers[m.name][1], label: c.label, cross: c.returns === "point",
      note: `${c.label}: ${fixed(c.numbers[m.name][0], m.digits)} at ${+cost(c).toPrecision(4)} ${name}`,
    }));
    return points.length ? scatter(points, { title: task, x: name, y: m.label, logx: true, front: m.higher ? "high" : "low", names: true }) : el("p", { class: "note" }, `No ${m.label} with ${name}.`);
  }));
}

// Student's t quantiles are in the means already; here a pair's interval needs its own: t for small n, then 1.96.
const T = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042];
const student = (n) => (n <= 30 ? T[n - 1] : 1.96 + 2.4 / n);

function byImage(cell, name) {
  const sums = {};
  for (const r of rowsOf(cell)) if (r.n[name] !== undefined) (sums[r.image] ||= []).push(r.n[name]);
  return Object.fromEntries(Object.entries(sums).map(([k, v]) => [k, v.reduce((p, q) => p + q) / v.length]));
}

function difference(a, b, name) {
  const [x, y] = [byImage(a, name), byImage(b, name)];
  const gaps = Object.keys(x).filter((k) => k in y).map((k) => y[k] - x[k]);
  if (!gaps.length) return null;
  const m = gaps.reduce((p, q) => p + q) / gaps.length;
  const s = Math.sqrt(gaps.reduce((p, q) => p + (q - m) ** 2, 0) / (gaps.length - 1));
  return [m, gaps.length > 1 ? (student(gaps.length - 1) * s) / Math.sqrt(gaps.length) : null, gaps.length];
}

function paired() {
  const all = labels(), m = metric();
  if (chosen.base === null) chosen.base = Math.max(0, all.findIndex((l) => l === D.baseline || l.split(":")[0] === D.baseline));
  const base = all[chosen.base];
  at("paired-choice").replaceChildren(choose("baseline", all, chosen.base, (i) => { chosen.base = i; paired(); }));
  const columns = [{ title: `solver − ${base}`, text: true, key: (l) => l, show: (l) => l }, ...tasks().map((task) => {
    const of = (l) => difference(cellOf(task, base), cellOf(task, l), m.name);
    return { title: task, key: (l) => (of(l) || [null])[0], show: (l) => mean(of(l), m.digits),
      mark: (l) => { const d = of(l); return d && d[1] !== null && Math.abs(d[0]) > d[1] ? "best" : ""; } };
  })];
  at("paired").replaceChildren(table(columns, [all.filter((l) => l !== base)]));
}

function images() {
  const all = labels(), m = metric(), task = tasks()[chosen.task];
  if (all.length < 2) { at("scatter").replaceChildren(); return; }
  [chosen.a, chosen.b] = [Math.min(chosen.a, all.length - 1), Math.min(chosen.b, all.length - 1)];
  at("scatter-choice").replaceChildren(
    choose("across", all, chosen.a, (i) => { chosen.a = i; images(); }), choose("up", all, chosen.b, (i) => { chosen.b = i; images(); }));
  const [a, b] = [cellOf(task, all[chosen.a]), cellOf(task, all[chosen.b])];
  const other = Object.fromEntries(rowsOf(b).map((r) => [`${r.image} ${r.seed}`, r]));
  const points = rowsOf(a).map((r) => [r, other[`${r.image} ${r.seed}`]]).filter(([p, q]) => q && p.n[m.name] !== undefined && q.n[m.name] !== undefined)
    .map(([p, q]) => ({ x: p.n[m.name], y: q.n[m.name], label: b.label, note: `${p.image}, seed ${p.seed}: ${fixed(p.n[m.name], m.digits)} and ${fixed(q.n[m.name], m.digits)}`, click: () => show(q) }));
  at("scatter").replaceChildren(points.length ? scatter(points, { title: `${m.label}: a point is an image`, x: all[chosen.a], y: all[chosen.b], diagonal: true }) : el("p", { class: "note" }, "No image in common."));
}

function worst() {
  const m = metric(), sign = m.higher ? 1 : -1, list = [];
  for (const task of tasks()) {
    const rows = here().filter((c) => c.task === task).flatMap(rowsOf);
    const known = rows.map((r) => r.n[m.name]).filter((v) => v !== undefined);
    const mid = known.reduce((p, q) => p + q, 0) / known.length;
    const s = Math.sqrt(known.reduce((p, q) => p + (q - mid) ** 2, 0) / Math.max(1, known.length - 1)) || 1;
    for (const r of rows) {
      if (r.status === "n/a") continue;
      list.push({ r, c: CELL[r.cell], z: r.n[m.name] === undefined ? -1e9 : (sign * (r.n[m.name] - mid)) / s });
    }
  }
  list.sort((p, q) => p.z - q.z);
  const columns = [
    { title: "image", text: true, key: (w) => w.r.image, show: (w) => w.r.image },
    { title: "task", text: true, key: (w) => w.c.task, show: (w) => w.c.task },
    { title: "solver", text: true, key: (w) => w.c.label, show: (w) => w.c.label },
    { title: m.label, key: (w) => w.r.n[m.name], show: (w) => fixed(w.r.n[m.name], m.digits) },
    { title: "against the task", key: (w) => (w.z > -1e8 ? w.z : null), show: (w) => (w.z > -1e8 ? fixed(w.z, 1) + " s" : "–") },
    { title: "residual / expected", key: (w) => w.r.n.residual_ratio, show: (w) => fixed(w.r.n.residual_ratio, 2) },
    { title: "seed", key: (w) => w.r.seed, show: (w) => String(w.r.seed) },
    { title: "status", text: true, key: (w) => w.r.status, show: (w) => (w.r.error ? `${w.r.status}: ${w.r.error.slice(0, 90)}` : w.r.status), mark: (w) => (w.r.status === "ok" ? "" : "failed") },
  ];
  at("worst").replaceChildren(table(columns, [list.slice(0, 30)], { click: (w) => show(w.r) }));
}

function published() {
  at("published").replaceChildren(...D.published.flatMap((p) => {
    const columns = [{ title: "method", text: true, key: (r) => r.method, show: (r) => r.method }, ...p.tasks.flatMap((task, i) => [
      { title: `${task}, published`, key: (r) => r.cells[i].theirs, show: (r) => fixed(r.cells[i].theirs, p.digits) },
      { title: "here", key: (r) => (r.cells[i].ours || [null])[0], show: (r) => mean(r.cells[i].ours, p.digits) },
    ])];
    const note = `${p.source}. Published on other weights and other images${p.data ? ` (${p.data})` : ""}: not to be ranked against the numbers measured here.`;
    return [el("h2", {}, `Published beside measured: ${p.metric}`), el("p", { class: "note" }, note), el("div", { class: "wide" }, table(columns, [p.rows]))];
  }));
}

function head() {
  const f = D.facts;
  at("about").textContent = D.about;
  at("groups").textContent = D.groups.length > 1 ? `Priors and data: ${D.groups.join("; ")}.` : `Prior and data: ${D.groups[0]}.`;
  at("facts").textContent = `${f.records} records of ${f.images} images, ${f.seeds} seed${f.seeds === 1 ? "" : "s"}; ${f.failed} failed, ${f.unfit} of problems a solver is not written for. xhat ${f.versions.xhat}, torch ${f.versions.torch}, ${f.devices}, ${f.threads} threads, ${f.hosts} host${f.hosts === 1 ? "" : "s"}; last ${f.last}.`;
  if (f.mixed.length) at("warning").textContent = `The records come from different versions (${f.mixed.join(", ")}): xhat bench --fresh makes the old ones again.`;
  at("choice").replaceChildren(
    choose("metric", D.metrics.map((m) => m.label), chosen.metric, (i) => { chosen.metric = i; draw(); }),
    choose("task", tasks(), chosen.task, (i) => { chosen.task = i; draw(); }),
    ...(D.groups.length > 1 ? [choose("prior and data", D.groups, chosen.group, (i) => { Object.assign(chosen, { group: i, task: 0, base: null }); draw(); })] : []));
}

function draw() {
  for (const section of [head, overview, detail, pareto, paired, images, worst]) section();
}

draw();
published();
drawViewer();
