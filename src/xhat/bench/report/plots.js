"use strict";
// Scatter plots as SVG.

const COLOURS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf", "#bcbd22", "#7f7f7f"];
const LABELS = [...new Set(D.cells.map((c) => c.label))];
const colour = (label) => COLOURS[LABELS.indexOf(label) % COLOURS.length];

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(attributes)) {
    if (k.startsWith("on")) node.addEventListener(k.slice(2), v);
    else if (v !== null) node.setAttribute(k, v);
  }
  node.append(...children);
  return node;
}

// About n round numbers that span [low, high]; powers of ten with 2 and 5 between on a log axis.
function ticks(low, high, log) {
  if (log) {
    const out = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
      for (const m of [1, 2, 5]) if (m * 10 ** e >= low && m * 10 ** e <= high) out.push(m * 10 ** e);
    return out.length > 8 ? out.filter((v) => /^[1.0]+(e|$)/.test(v.toExponential())) : out;
  }
  const rough = (high - low) / 5 || 1, unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * unit).find((s) => s >= rough);
  const out = [];
  for (let v = Math.ceil(low / step) * step; v <= high + 1e-9; v += step) out.push(+v.toPrecision(12));
  return out;
}

// points: {x, y, half?, label, note, cross?, click?}; options: {title, x, y, logx, front: "high"|"low", diagonal, names}
function scatter(points, options) {
  const W = 440, H = 320, L = 52, R = 16, T = 26, B = 40;
  const xs = points.map((p) => p.x), ys = points.flatMap((p) => [p.y - (p.half || 0), p.y + (p.half || 0)]);
  let [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  if (options.diagonal) [x0, x1, y0, y1] = [Math.min(x0, y0), Math.max(x1, y1), Math.min(x0, y0), Math.max(x1, y1)];
  const f = options.logx ? Math.log10 : (v) => v;
  const padX = (f(x1) - f(x0)) * 0.08 || 0.3, padY = (y1 - y0) * 0.08 || 0.5;
  const [a, b, c, d] = [f(x0) - padX, f(x1) + padX, y0 - padY, y1 + padY];
  const X = (v) => L + ((f(v) - a) / (b - a)) * (W - L - R);
  const Y = (v) => H - B - ((v - c) / (d - c)) * (H - T - B);
  const out = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": options.title });
  out.append(svg("text", { x: L, y: 16, "font-weight": 600 }, options.title));
  for (const v of ticks(options.logx ? 10 ** a : a, options.logx ? 10 ** b : b, options.logx)) {
    out.append(svg("line", { class: "axis", x1: X(v), x2: X(v), y1: T, y2: H - B }));
    out.append(svg("text", { class: "tick", x: X(v), y: H - B + 14, "text-anchor": "middle" }, String(+v.toPrecision(6))));
  }
  for (const v of ticks(c, d, false)) {
    out.append(svg("line", { class: "axis", x1: L, x2: W - R, y1: Y(v), y2: Y(v) }));
    out.append(svg("text", { class: "tick", x: L - 5, y: Y(v) + 4, "text-anchor": "end" }, String(v)));
  }
  out.append(svg("text", { class: "tick", x: (L + W - R) / 2, y: H - 8, "text-anchor": "middle" }, options.x));
  out.append(svg("text", { class: "tick", x: 12, y: (T + H - B) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(T + H - B) / 2})` }, options.y));
  if (options.diagonal) out.append(svg("line", { x1: X(x0), y1: Y(x0), x2: X(x1), y2: Y(x1), stroke: "#888", "stroke-dasharray": "4 3" }));
  if (options.front) {
    const sign = options.front === "high" ? 1 : -1;
    const kept = points.filter((p) => !points.some((q) => q !== p && q.x <= p.x && sign * q.y >= sign * p.y && (q.x !== p.x || q.y !== p.y)));
    kept.sort((p, q) => p.x - q.x);
    out.append(svg("polyline", { points: kept.map((p) => `${X(p.x)},${Y(p.y)}`).join(" "), fill: "none", stroke: "#888", "stroke-width": 1.2 }));
  }
  const placed = [];
  for (const p of points) {
    const [x, y, ink] = [X(p.x), Y(p.y), colour(p.label)];
    const mark = svg("g", { class: "dot", onclick: p.click || null }, svg("title", {}, p.note));
    if (p.half) mark.append(svg("line", { x1: x, x2: x, y1: Y(p.y - p.half), y2: Y(p.y + p.half), stroke: ink, opacity: 0.5 }));
    if (p.cross) mark.append(svg("path", { d: `M${x - 4} ${y - 4}L${x + 4} ${y + 4}M${x + 4} ${y - 4}L${x - 4} ${y + 4}`, stroke: ink, "stroke-width": 2 }));
    else mark.append(svg("circle", { cx: x, cy: y, r: 4, fill: ink, "fill-opacity": 0.85 }));
    out.append(mark);
    if (!options.names) continue;
    const width = p.label.length * 5.6, right = x + 7 + width < W;
    const left = right ? x + 7 : x - 7 - width;
    let down = 0; // down until no other name is in the way
    while (down < 60 && placed.some((q) => Math.abs(q.y - (y + down)) < 11 && q.x < left + width && left < q.x + q.w)) down += 4;
    placed.push({ x: left, y: y + down, w: width });
    out.append(svg("text", { x: right ? x + 7 : x - 7, y: y + 4 + down, "text-anchor": right ? "start" : "end" }, p.label));
  }
  return out;
}
