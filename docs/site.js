// The chooser of choosing.md: filters and sorts what the registries say; nothing leaves the page.
function choose(form) {
  const chosen = Object.fromEntries([...form.querySelectorAll("select")].map((s) => [s.name, s.value]));
  const rows = JSON.parse(form.querySelector("script").textContent)
    .filter((r) => r.takes[chosen.operator].includes(chosen.noise))
    .filter((r) => chosen.answer === "any" || r.gives === chosen.answer)
    .filter((r) => r.calls <= Number(chosen.budget));
  const db = (r) => r.db[chosen.operator] ?? -1;
  const best_db = Math.max(...rows.map(db));
  const tied = (r) => db(r) > 0 && db(r) >= best_db - 0.3; // as good as the best, in a survey of four photographs
  rows.sort((a, b) => tied(b) - tied(a) || (tied(a) ? a.calls - b.calls : db(b) - db(a)) || a.calls - b.calls);
  const noise = { g: "gaussian:sigma=0.05", n: "noiseless", p: "poisson" }[chosen.noise];
  const operator = form.querySelector("[name=operator]").selectedOptions[0].text;
  const cells = rows.map((r) => {
    const measured = db(r) > 0 ? db(r).toFixed(1) : "–";
    const link = `<a href="../gallery/solvers/#${r.solver.replace("+", "-plus")}">${r.solver}</a>`;
    return `<tr><td>${link}</td><td>${r.gives}</td><td>${r.calls}</td><td>${measured}</td><td>${r.exact || "–"}</td></tr>`;
  });
  const best = rows[0];
  form.querySelector(".chosen").innerHTML = best
    ? `<pre><code>xhat restore y.png --operator ${operator} --noise ${noise} --solver ${best.solver} -o out/</code></pre>` +
      `<table><thead><tr><th>solver</th><th>gives</th><th>calls</th><th>dB</th><th>distance</th></tr></thead>` +
      `<tbody>${cells.join("")}</tbody></table>`
    : "<p>No solver takes this. Allow more calls, or the other kind of answer.</p>";
}
document.querySelectorAll(".chooser").forEach((form) => {
  form.addEventListener("change", () => choose(form));
  choose(form);
});
