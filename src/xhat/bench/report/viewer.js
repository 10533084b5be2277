"use strict";
// Two pictures of one problem, one over the other, with a slider between them.

const CELL = Object.fromEntries(D.cells.map((c) => [c.cell, c]));
const SEEN = D.rows.filter((r) => D.pictures[r.key]);
const problemOf = (r) => [CELL[r.cell].task, CELL[r.cell].group, r.image, r.seed].join("\u0001");
const PROBLEMS = [...new Set(SEEN.map(problemOf))];
const view = { problem: 0, left: 1, right: 2, part: 50 };

function tilesOf(problem) {
  const rows = SEEN.filter((r) => problemOf(r) === problem);
  const pictures = D.pictures[rows[0].key];
  const metric = D.metrics[0];
  const score = (r) => `${CELL[r.cell].label}, ${fixed(r.n[metric.name], metric.digits)}`;
  return [["truth", pictures.truth], ["measurement", pictures.y], ...rows.map((r) => [score(r), D.pictures[r.key].x, r.key])]
    .filter(([, uri]) => uri);
}

function drawViewer() {
  if (!PROBLEMS.length) {
    at("viewer").replaceChildren(el("p", { class: "note" }, "This run kept no pictures; xhat bench --keep-images does."));
    return;
  }
  const tiles = tilesOf(PROBLEMS[view.problem]);
  view.left = Math.min(view.left, tiles.length - 1);
  view.right = Math.min(view.right, tiles.length - 1);
  const names = PROBLEMS.map((p) => { const [task, group, image, seed] = p.split("\u0001"); return `${task}: ${image}, seed ${seed}` + (D.groups.length > 1 ? ` (${D.groups[+group]})` : ""); });
  const again = (name) => (i) => { view[name] = i; drawViewer(); };
  at("viewer-choice").replaceChildren(
    choose("problem", names, view.problem, again("problem")),
    choose("left", tiles.map((t) => t[0]), view.left, again("left")),
    choose("right", tiles.map((t) => t[0]), view.right, again("right")));
  const [under, over] = [tiles[view.right], tiles[view.left]];
  const stage = el("div", { id: "stage" },
    el("img", { src: under[1], alt: under[0] }), el("img", { src: over[1], alt: over[0], id: "over" }),
    el("div", { class: "edge", id: "edge" }), el("span", { class: "name left" }, over[0]), el("span", { class: "name right" }, under[0]));
  const slide = el("input", { id: "slide", type: "range", min: 0, max: 100, step: 0.5, value: view.part, "aria-label": "left to right", oninput: (e) => part(+e.target.value) });
  const drag = (e) => { const box = stage.getBoundingClientRect(); part(((e.clientX - box.left) / box.width) * 100); };
  stage.addEventListener("pointerdown", (e) => { stage.setPointerCapture(e.pointerId); drag(e); });
  stage.addEventListener("pointermove", (e) => { if (e.buttons) drag(e); });
  function part(percent) {
    view.part = Math.max(0, Math.min(100, percent));
    stage.querySelector("#over").style.clipPath = `inset(0 ${100 - view.part}% 0 0)`;
    stage.querySelector("#edge").style.left = `calc(${view.part}% - 1px)`;
    slide.value = view.part;
  }
  const gallery = el("div", { id: "tiles" }, ...tiles.map(([name, uri], i) =>
    el("figure", { title: name, onclick: () => { view.right = i; drawViewer(); } }, el("img", { src: uri, alt: name }), name)));
  at("viewer").replaceChildren(stage, slide, gallery);
  part(view.part);
}

// Shows a record's picture on the right side, if the page has it.
function show(row) {
  const problem = PROBLEMS.indexOf(problemOf(row));
  if (problem < 0) return;
  view.problem = problem;
  view.right = Math.max(0, tilesOf(PROBLEMS[problem]).findIndex((t) => t[2] === row.key));
  drawViewer();
  at("viewer-section").scrollIntoView({ behavior: "smooth" });
}
