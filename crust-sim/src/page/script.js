"use strict";
// A test looks whether anything went wrong here.
addEventListener("error", (event) => document.documentElement.setAttribute("data-error", event.message));

const all = (selector, within) => [...(within || document).querySelectorAll(selector)];

// The cell whose run is shown.
function mark() {
  for (const link of all(".matrix a, .contents a")) {
    if (link.getAttribute("href") === location.hash) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}
addEventListener("hashchange", mark);
mark();

// What a cell tells, under the matrix; arrow keys go from cell to cell.
for (const matrix of all(".matrix")) {
  const readout = matrix.querySelector(".readout");
  const asks = readout.textContent;
  const tell = (event) => {
    const titled = event.target.closest("td [title], td[title]");
    readout.textContent = titled ? titled.title : asks;
  };
  matrix.addEventListener("mouseover", tell);
  matrix.addEventListener("focusin", tell);
  matrix.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const cell = event.target.closest("td");
    if (!step || !cell) return;
    const rows = cell.closest("table").rows;
    let row = cell.parentNode.rowIndex;
    let column = cell.cellIndex;
    for (;;) {
      row += step[0];
      column += step[1];
      const next = rows[row] && rows[row].cells[column];
      if (!next) return;
      const link = next.querySelector("a");
      if (link) {
        event.preventDefault();
        link.focus();
        return;
      }
    }
  });
}

// What a packet is, beside the diagram; arrow keys go from packet to packet.
for (const run of all(".run")) {
  const detail = run.querySelector(".detail");
  const packets = all(".j", run);
  let kept = null;
  const show = (packet) => {
    detail.hidden = !packet;
    detail.textContent = packet ? packet.querySelector("title").textContent : "";
    for (const shown of all(".j.shown", run)) shown.classList.remove("shown");
    if (packet) packet.classList.add("shown");
  };
  const at = (event) => event.target.closest && event.target.closest(".j");
  run.addEventListener("mouseover", (event) => { if (at(event)) show(at(event)); });
  run.addEventListener("mouseleave", () => show(kept));
  run.addEventListener("focusin", (event) => { if (at(event)) show(kept = at(event)); });
  run.addEventListener("click", (event) => { if (!at(event) && !detail.contains(event.target)) show(kept = null); });
  run.addEventListener("keydown", (event) => {
    if (event.key === "Escape") show(kept = null);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const next = step && at(event) && packets[packets.indexOf(at(event)) + step];
    if (!next) return;
    event.preventDefault();
    for (const packet of packets) packet.setAttribute("tabindex", packet === next ? "0" : "-1");
    next.focus();
  });
}

// Values under the pointer.
for (const plot of all(".plot")) {
  const svg = plot.querySelector("svg");
  const output = plot.querySelector("output");
  const number = (name) => Number(svg.dataset[name]);
  const [left, right, top, bottom] = svg.dataset.box.split(" ").map(Number);
  const curves = all("polyline", svg).map((line) => ({ name: line.dataset.name, points: [...line.points] }));
  const ruler = document.createElementNS("http://www.w3.org/2000/svg", "line");
  ruler.setAttribute("class", "ruler");
  ruler.setAttribute("y1", top);
  ruler.setAttribute("y2", bottom);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = Math.min(right, Math.max(left, (event.clientX - box.left) * (svg.viewBox.baseVal.width / box.width)));
    ruler.setAttribute("x1", x);
    ruler.setAttribute("x2", x);
    svg.append(ruler);
    const seconds = number("from") + ((x - left) / (right - left)) * (number("to") - number("from"));
    const values = curves.map(({ name, points }) => {
      const point = points.findLast((point) => point.x <= x);
      if (!point) return "";
      const value = ((bottom - point.y) / (bottom - top)) * number("top");
      return `${name} ${value.toPrecision(3)} ${svg.dataset.unit}`;
    });
    output.textContent = [`${seconds.toFixed(3)} s`, ...values.filter(Boolean)].join(" · ");
  });
  svg.addEventListener("pointerleave", () => {
    ruler.remove();
    output.textContent = "";
  });
}
