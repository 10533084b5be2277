"use strict";
// Elements, numbers and tables that sort by any column.

const D = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) {
    if (k.startsWith("on")) node.addEventListener(k.slice(2), v);
    else if (v !== null && v !== undefined && v !== false) node.setAttribute(k, v);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}

const fixed = (v, digits) => (v === null || v === undefined ? "–" : v.toFixed(digits));

// A mean with its half-width, as [value, half, images].
function mean(m, digits) {
  if (!m) return [el("span", { class: "none" }, "–")];
  const half = m[1] === null || m[1] === 0 ? [] : [el("span", { class: "half" }, " ± " + fixed(m[1], digits))];
  return [fixed(m[0], digits), ...half];
}

// A labelled <select>; values are indices into `options`, a list of texts.
function choose(label, options, index, change) {
  const select = el("select", { onchange: (e) => change(+e.target.value) });
  options.forEach((text, i) => select.append(el("option", { value: i, selected: i === index ? "" : null }, text)));
  return el("label", {}, label, select);
}

// columns: {title, key: row => sort value, show: row => nodes or text, text: left-aligned}; blocks: lists of rows.
// Rows sort within their block; unknown values stay last in both directions.
function table(columns, blocks, options = {}) {
  const state = { column: options.column ?? -1, down: options.down ?? true };
  const bodies = blocks.map(() => el("tbody"));
  const heads = columns.map((c, i) =>
    el("th", { scope: "col", class: c.text ? "text" : null },
      el("button", { type: "button", onclick: () => {
        state.down = state.column === i ? !state.down : !c.text;
        state.column = i;
        draw();
      } }, c.title)));
  function draw() {
    heads.forEach((h, i) => h.setAttribute("aria-sort", i !== state.column ? "none" : state.down ? "descending" : "ascending"));
    blocks.forEach((rows, b) => {
      const sorted = rows.slice();
      if (state.column >= 0) {
        const key = columns[state.column].key;
        const unknown = (v) => v === null || v === undefined;
        sorted.sort((p, q) => {
          const [x, y] = [key(p), key(q)];
          if (unknown(x) || unknown(y)) return unknown(x) - unknown(y);
          const order = typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
          return state.down ? -order : order;
        });
      }
      bodies[b].replaceChildren(...sorted.map((row) => {
        const click = options.click;
        return el("tr", click ? { class: "link", onclick: () => click(row) } : {}, ...columns.map((c) => {
          const shown = c.show(row);
          const attributes = { class: [c.text ? "text" : "", c.mark ? c.mark(row) : "", c.click ? "link" : ""].join(" ").trim() || null };
          if (c.click) attributes.onclick = () => c.click(row);
          return el("td", attributes, ...(Array.isArray(shown) ? shown : [shown]));
        }));
      }));
    });
  }
  draw();
  return el("table", {}, el("thead", {}, el("tr", {}, ...heads)), ...bodies);
}

function best(values, higher) {
  const known = values.filter((v) => v !== null && v !== undefined);
  return known.length ? (higher ? Math.max(...known) : Math.min(...known)) : null;
}
