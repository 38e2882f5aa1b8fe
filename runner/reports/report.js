"use strict";
// Zoom, hover and details of report.html. The page is whole without it: everything it shows stands in the page.

const SVG = "http://www.w3.org/2000/svg";
const $ = (root, selector) => root.querySelector(selector);
const $$ = (root, selector) => [...root.querySelectorAll(selector)];
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const number = (element, name) => parseFloat(element.getAttribute(name));
const timelines = new Map();

function element(parent, name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function duration(seconds) {
  const size = Math.abs(seconds);
  if (size === 0) return "0 s";
  if (size < 0.9995) return (seconds * 1e3).toFixed(size < 0.001 ? 2 : size < 0.01 ? 1 : 0) + " ms";
  return seconds.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0) + " s";
}

// The horizontal strokes of a path: [from, to, y], in columns of its lane.
function strokes(path) {
  const found = [];
  let x = 0, y = 0, startX = 0, startY = 0;
  for (const [, command, one, two] of path.getAttribute("d").matchAll(/([MmhvVz])(-?[\d.]+)?(?:,(-?[\d.]+))?/g)) {
    const first = parseFloat(one), second = parseFloat(two);
    if (command === "M") { x = startX = first; y = startY = second; }
    else if (command === "m") { x = startX = startX + first; y = startY = startY + second; }
    else if (command === "V") y = first;
    else if (command === "v") y += first;
    else if (command === "z") { x = startX; y = startY; }
    else if (command === "h") {
      if (first > 0) found.push([x, x + first, y]);
      x += first;
    }
  }
  return found;
}

class Timeline {
  constructor(root) {
    this.root = root;
    this.id = root.dataset.scenario;
    this.seconds = parseFloat(root.dataset.seconds) || 1;
    this.hit = root.dataset.hit === undefined ? null : parseFloat(root.dataset.hit);
    this.scroll = $(root, ".wide");
    this.plots = $(root, ".plots");
    this.axis = $(root, ".axis .plot");
    this.cursor = $(root, ".cursor");
    this.chosen = $(root, ".chosen");
    this.panel = $(root, ".panel");
    this.windows = $$(document, `tr[id^="window-${this.id}-"]`);
    this.from = 0;
    this.to = this.seconds;
    this.selected = null;
    this.strokes = new WeakMap();
    this.pointers = new Map();
    this.drag = null;
    // A bar says all that it can where there is room, else a word: of a member the state, of a step its number.
    this.bars = $$(root, ".plots svg.bar").filter((bar) => $(bar, "text")).map((bar) => {
      const text = $(bar, "text"), title = $(bar, "title").textContent, state = /^(.+?) for ([^:]+)/.exec(title);
      if (bar.closest(".member")) return [bar, text, `${state[1]} ${state[2]}`, state[1]];
      return [bar, text, title.slice(0, title.lastIndexOf(": ")), title.split(" ")[0]];
    });
    // What the browser would show by itself when pointed at is shown by us.
    for (const title of $$(root, "svg title")) {
      const owner = title.parentNode;
      owner.setAttribute("data-say", title.textContent);
      if (owner.matches("a")) owner.setAttribute("aria-label", title.textContent);
      title.remove();
    }
    // On paper everything stands as it was laid out without us.
    this.made = $$(root, ".plots text, .plots circle, .plots .mark, .plots .mark line").map((each) => [each, [...each.attributes].map(({ name, value }) => [name, value]), each.matches("text") && each.textContent]);
    root.classList.add("live");
    const tools = $(root, ".tools"), spans = root.dataset.spans?.trim().split(" ").length;
    tools.append(document.getElementById("tools").content.cloneNode(true));
    tools.hidden = false;
    $(tools, ".hint").id = `hint-${this.id}`;
    if (!spans) $(tools, "[data-do=fault]").remove();
    else if (spans > 1) $(tools, "[data-do=fault]").textContent = "Next fault";
    if (!this.windows.length) $(tools, "[data-do=next]").remove();
    this.range = $(tools, ".range");
    this.listen();
    new ResizeObserver(() => this.settle()).observe(this.axis);
  }

  // What is seen

  show(from, to) {
    const least = Math.min(this.seconds, Math.max(0.02, this.seconds / 5000));
    const length = clamp(to - from, least, this.seconds);
    this.from = clamp((from + to - length) / 2, 0, this.seconds - length);
    this.to = this.from + length;
    this.plots.style.setProperty("--zoom", this.seconds / length);
    this.plots.style.setProperty("--from", this.from / this.seconds);
    this.settle();
    this.remember();
  }

  get whole() { return this.to - this.from >= this.seconds * (1 - 1e-9); }
  zoom(factor, at = (this.from + this.to) / 2) { this.show(at - (at - this.from) * factor, at + (this.to - at) * factor); }
  pan(share) {
    const step = clamp(share * (this.to - this.from), -this.from, this.seconds - this.to);
    this.show(this.from + step, this.to + step);
  }
  all() { this.show(0, this.seconds); }
  fault() {
    const spans = this.root.dataset.spans?.trim().split(" ").map((span) => span.split(",").map((each) => each / 100 * this.seconds));
    if (!spans?.[0]?.length) return;
    this.nth = this.nth === undefined ? 0 : (this.nth + 1) % spans.length;
    const [from, length] = spans[this.nth];
    this.show(from - 0.06 * length, from + 1.06 * length);
  }
  place(seconds) { return (seconds - this.from) / (this.to - this.from); }
  at(clientX) {
    const box = this.axis.getBoundingClientRect();
    return this.from + (clientX - box.left) / box.width * (this.to - this.from);
  }

  // Lay out for the width and the stretch that there is: ticks, labels of marks, texts of bars.
  settle() {
    const width = this.axis.clientWidth;
    if (!width || this.printing) return;
    this.width = width;
    this.ticks();
    for (const svg of $$(this.plots, "svg[data-rows]")) this.label(svg);
    for (const [bar, text, long, short] of this.bars) {
      const [left, right] = this.visible(number(bar, "x"), number(bar, "width"));
      const fitting = [long, short].find((each) => this.measure(text, each) + 8 < right - left);
      text.textContent = fitting || "";
      text.setAttribute("x", left - this.pixel(number(bar, "x")) + 5);
    }
    for (const link of $$(this.plots, ".probe a")) {
      const bar = $(link, ".window"), text = $(link, ".length"), pointer = $(link, ".pointer");
      const [left, right] = this.visible(number(bar, "x"), number(bar, "width"));
      text.classList.toggle("crowded", this.measure(text, text.textContent) + 8 > right - left);
      text.setAttribute("x", (left + right) / 2 + this.shift);
      pointer?.classList.toggle("crowded", right - left > 12);
    }
    this.range.textContent = this.whole ? `all ${duration(this.seconds)}`
      : `${this.from.toFixed(this.digits + 1)} s to ${this.to.toFixed(this.digits + 1)} s, ${duration(this.to - this.from)}`;
    for (const button of $$(this.root, "[data-do=all], [data-do=out], [data-do=left], [data-do=right]"))
      button.setAttribute("aria-disabled", this.whole);
    this.mark();
  }

  // As it was laid out without us, for a width that we do not know.
  rest() {
    this.all();
    this.printing = true;
    this.root.classList.remove("live");
    for (const [each, attributes, text] of this.made) {
      for (const [name, value] of attributes) each.setAttribute(name, value);
      if (text !== false) each.textContent = text;
    }
  }

  wake() {
    this.printing = false;
    this.root.classList.add("live");
    this.settle();
  }

  get shift() { return this.from / (this.to - this.from) * this.width; }
  pixel(percent) { return this.place(percent / 100 * this.seconds) * this.width; }
  visible(x, width) { return [Math.max(0, this.pixel(x)), Math.min(this.width, this.pixel(x + width))]; }
  measure(text, words) {
    this.measures ??= new Map();
    const key = `${text.getAttribute("class")} ${text.parentNode.getAttribute("class")} ${words}`;
    if (!this.measures.has(key)) {
      const before = text.textContent, hidden = text.classList.contains("crowded");
      text.textContent = words;
      text.classList.remove("crowded");
      this.measures.set(key, text.getComputedTextLength());
      text.textContent = before;
      text.classList.toggle("crowded", hidden);
    }
    return this.measures.get(key);
  }

  ticks() {
    const length = this.to - this.from, most = clamp(Math.floor(this.width / 70), 3, 14);
    let step = 10 ** Math.floor(Math.log10(length / most));
    step *= [1, 2, 5, 10].find((factor) => length / (step * factor) <= most);
    this.digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const at = [];
    for (let nth = Math.ceil(this.from / step - 1e-9); nth * step <= this.to + 1e-9; nth++) at.push(nth * step);
    const lines = $(this.plots, ".grid .ticks");
    lines.replaceChildren();
    for (const each of at) {
      const x = each / this.seconds * 100 + "%";
      element(lines, "line", { x1: x, x2: x, y1: 22, y2: "100%" });
    }
    for (const svg of $$(this.plots, ".axis svg")) {
      svg.replaceChildren();
      at.forEach((each, nth) => {
        const share = this.place(each);
        const anchor = share < 0.02 ? "start" : share > 0.98 ? "end" : "middle";
        element(svg, "text", { x: each / this.seconds * 100 + "%", y: 14, "text-anchor": anchor }, each.toFixed(this.digits) + (nth ? "" : " s"));
      });
    }
  }

  label(svg) {
    const pitch = number(svg, "data-pitch"), rows = number(svg, "data-rows");
    const taken = Array.from({ length: rows }, () => []);
    for (const mark of $$(svg, ".mark")) {
      const text = $(mark, "text"), x = this.pixel(number(text, "x")), gap = text.classList.contains("flag") ? 8 : 5;
      const width = this.measure(text, text.textContent) + gap + 6;
      const end = x + width > this.width, left = end ? x - width : x, right = end ? x : x + width;
      const seen = x >= -1 && x <= this.width + 1 && left >= 0;
      const row = seen ? taken.findIndex((spans) => spans.every(([from, to]) => right + 4 <= from || left >= to + 4)) : -1;
      if (row >= 0) taken[row].push([left, right]);
      text.classList.toggle("crowded", row < 0);
      const dot = $(mark, "circle"), tick = $(mark, "line");
      if (dot) dot.setAttribute("cy", Math.max(row, 0) * pitch + 9);
      mark.classList.toggle("lone", row < 0);
      if (tick) {
        tick.setAttribute("y1", Math.max(row, 0) * pitch + 3);
        tick.setAttribute("y2", Math.max(row, 0) * pitch + 14);
      }
      text.setAttribute("y", Math.max(row, 0) * pitch + 13);
      text.setAttribute("dx", end ? -gap : gap);
      text.setAttribute("text-anchor", end ? "end" : "start");
    }
  }

  // What is pointed at

  point(event) {
    const box = this.axis.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    const row = event.target.closest(".row");
    if (share < 0 || share > 1 || !row || row.classList.contains("grid")) return this.unpoint();
    const seconds = this.at(event.clientX);
    this.cursor.hidden = false;
    this.cursor.style.left = event.clientX - this.plots.getBoundingClientRect().left + "px";
    const digits = clamp(this.digits + 2, 2, 4);
    let text = seconds.toFixed(digits) + " s";
    if (this.hit !== null) text += ` (${seconds < this.hit ? "-" : "+"}${Math.abs(seconds - this.hit).toFixed(digits)} s from the fault)`;
    const said = this.says(row, seconds, event.target.closest("[data-say]"));
    tip.textContent = said ? `${text}\n${said}` : text;
    tip.hidden = false;
    const size = tip.getBoundingClientRect();
    tip.style.left = clamp(event.clientX + 14, 4, Math.max(4, innerWidth - size.width - 4)) + "px";
    tip.style.top = (event.clientY + 18 + size.height > innerHeight ? event.clientY - size.height - 12 : event.clientY + 18) + "px";
  }

  unpoint() {
    this.cursor.hidden = true;
    tip.hidden = true;
  }

  says(row, seconds, told) {
    const lines = [], name = $(row, ".label")?.textContent.trim();
    const states = $(row, ".states"), curve = $(row, ".curve");
    const find = (svg, path) => {
      const column = (seconds / this.seconds * 100 - number(svg, "x")) / number(svg, "width") * svg.viewBox.baseVal.width;
      if (!this.strokes.has(path)) this.strokes.set(path, strokes(path));
      return this.strokes.get(path).find(([from, to]) => column >= from && column < to);
    };
    if (states) {
      const state = $$(states, "path").find((path) => find(states, path));
      if (state) lines.push({ good: "good", bad: "bad", slow: "slow: right, but too late", blind: "blind: no evidence" }[state.getAttribute("class")]);
      else lines.push("nothing was sent");
    }
    if (curve) {
      const low = number(curve, "data-low"), high = number(curve, "data-high"), tall = curve.viewBox.baseVal.height;
      const value = (path) => {
        const found = find(curve, path);
        return found && "about " + (low * (high / low) ** ((tall - found[2]) / tall) * 1e3).toPrecision(2).replace(/^(\d+)e\+(\d)$/, (_, digit, power) => digit * 10 ** power) + " ms";
      };
      const median = value($(curve, ".p50")), slowest = value($(curve, ".area"));
      lines.push(slowest ? `median ${median}, slowest ${slowest}` : "no answer");
    }
    if (told) lines.push(told.dataset.say);
    return lines.length ? (name ? name + ": " : "") + lines.join("\n") : "";
  }

  // What is chosen

  choose(row, quiet) {
    this.selected = row;
    for (const each of this.windows) each.classList.toggle("selected", each === row);
    this.panel.hidden = !row;
    this.panel.replaceChildren();
    if (row) {
      const bar = document.createElement("div");
      bar.className = "title";
      const cells = $$(row, "td").map((cell) => cell.textContent);
      const heading = document.createElement("h4");
      heading.textContent = `${cells[0]} down ${cells[1]}`;
      const edges = document.createElement("span");
      edges.textContent = `from ${cells[2]} to ${cells[3]}`;
      edges.className = "soft";
      const buttons = document.createElement("div");
      buttons.className = "buttons";
      for (const [act, text] of [["closer", "Zoom to it"], ["previous", "Previous"], ["next", "Next"], ["copy", "Copy link"], ["close", "Close"]]) {
        const button = document.createElement("button");
        button.type = "button";
        button.dataset.do = act;
        button.textContent = text;
        buttons.append(button);
      }
      bar.append(heading, edges, buttons);
      const look = row.nextElementSibling?.matches(".closer") ? $(row.nextElementSibling, ".look").cloneNode(true) : document.createElement("p");
      if (!look.hasChildNodes()) look.textContent = `${cells[4]}. Its samples are in the sample file.`;
      this.panel.append(bar, look);
    }
    this.mark();
    this.remember();
    if (row && !quiet) this.panel.focus({ preventScroll: true });
  }

  mark() {
    const row = this.selected;
    this.chosen.hidden = !row;
    if (!row) return;
    const left = this.pixel(row.dataset.from / this.seconds * 100), right = this.pixel(row.dataset.to / this.seconds * 100);
    const origin = this.axis.getBoundingClientRect().left - this.plots.getBoundingClientRect().left;
    const from = clamp(left, 0, this.width), to = clamp(right, 0, this.width);
    this.chosen.hidden = right < 0 || left > this.width;
    this.chosen.style.left = origin + from + "px";
    this.chosen.style.width = Math.max(2, to - from) + "px";
  }

  closer() {
    if (!this.selected) return;
    const from = +this.selected.dataset.from, to = +this.selected.dataset.to, room = Math.max((to - from) * 0.6, 0.1);
    this.show(from - room, to + room);
  }

  step(by) {
    if (!this.windows.length) return;
    const order = [...this.windows].sort((one, two) => one.dataset.from - two.dataset.from);
    const now = order.indexOf(this.selected);
    this.choose(order[now < 0 ? (by > 0 ? 0 : order.length - 1) : (now + by + order.length) % order.length], true);
    if (!this.whole) this.closer();
  }

  // Where we are, as a link

  get fragment() {
    const view = this.whole ? "" : `@${this.from.toFixed(3)}-${this.to.toFixed(3)}`;
    if (this.selected) return `#${this.selected.id}${view}`;
    return view && `#scenario-${this.id}${view}`;
  }

  remember() {
    if (!restoring) history.replaceState(null, "", this.fragment || location.pathname + location.search);
  }

  async copy(button) {
    const link = location.href.split("#")[0] + this.fragment;
    try {
      await navigator.clipboard.writeText(link);
      button.textContent = "Copied";
    } catch {
      button.textContent = "It is in the address bar";
    }
  }

  // Hands

  act(what, button) {
    const acts = {
      in: () => this.zoom(0.5), out: () => this.zoom(2), left: () => this.pan(-0.25), right: () => this.pan(0.25),
      all: () => this.all(), fault: () => this.fault(), closer: () => this.closer(), next: () => this.step(1),
      previous: () => this.step(-1), copy: () => this.copy(button), close: () => this.close(),
    };
    acts[what]?.();
  }

  close() {
    const row = this.selected;
    this.choose(null);
    if (row) $(this.plots, `a[href="#${row.id}"]`)?.focus({ preventScroll: true });
  }

  listen() {
    this.root.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) return this.act(button.dataset.do, button);
      const link = event.target.closest(".plots a");
      if (!link) return;
      event.preventDefault();
      if (!this.dragged) this.choose(document.getElementById(link.getAttribute("href").slice(1)));
    });
    this.root.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const acts = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "all", Home: "all", f: "fault", n: "next", p: "previous", Escape: this.selected ? "close" : "all" };
      const act = acts[event.key];
      if (!act || (event.target.closest(".panel") && event.key.startsWith("Arrow"))) return;
      event.preventDefault();
      this.act(act);
    });
    this.plots.addEventListener("wheel", (event) => {
      const unit = event.deltaMode ? 30 : 1;
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        this.zoom(Math.exp(clamp(event.deltaY * unit, -300, 300) / 300), this.at(event.clientX));
      } else if (!this.whole && (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))) {
        event.preventDefault();
        this.pan((event.deltaX || event.deltaY) * unit / this.width);
      }
    }, { passive: false });
    this.plots.addEventListener("dblclick", () => this.all());
    this.plots.addEventListener("dragstart", (event) => event.preventDefault());
    this.plots.addEventListener("pointerdown", (event) => this.press(event));
    this.plots.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) this.plots.addEventListener(end, (event) => this.release(event));
    this.plots.addEventListener("pointerleave", () => this.unpoint());
    this.plots.addEventListener("focusin", (event) => {
      const link = event.target.closest("a");
      if (!link || !link.matches(":focus-visible")) return;
      const row = document.getElementById(link.getAttribute("href").slice(1));
      if (row.dataset.to < this.from || row.dataset.from > this.to) this.all();
    });
  }

  press(event) {
    const box = this.axis.getBoundingClientRect();
    if (event.button || event.clientX < box.left || event.clientX > box.right) return;
    this.dragged = false;
    this.pointers.set(event.pointerId, event.clientX);
    const pan = event.shiftKey || event.pointerType === "touch";
    this.drag = { x: event.clientX, at: this.at(event.clientX), from: this.from, to: this.to, pan };
    const every = [...this.pointers.values()];
    if (every.length === 2) this.pinch = { apart: Math.abs(every[0] - every[1]), from: this.from, to: this.to, at: this.at((every[0] + every[1]) / 2) };
  }

  move(event) {
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, event.clientX);
    if (this.pinch && this.pointers.size === 2) {
      const [one, two] = [...this.pointers.values()], { from, to, at, apart } = this.pinch;
      const factor = apart / Math.max(1, Math.abs(one - two));
      this.dragged = true;
      return this.show(at - (at - from) * factor, at + (to - at) * factor);
    }
    const drag = this.drag;
    if (!drag) return this.point(event);
    if (Math.abs(event.clientX - drag.x) < 5 && !this.dragged) return;
    if (!this.dragged) this.plots.setPointerCapture(event.pointerId);
    this.dragged = true;
    if (drag.pan) {
      const by = (drag.x - event.clientX) / this.width * (drag.to - drag.from);
      const step = clamp(by, -drag.from, this.seconds - drag.to);
      return this.show(drag.from + step, drag.to + step);
    }
    const left = this.axis.getBoundingClientRect().left, origin = left - this.plots.getBoundingClientRect().left;
    const [one, two] = [drag.x - left, event.clientX - left].map((x) => clamp(x, 0, this.width)).sort((a, b) => a - b);
    this.chosen.hidden = false;
    this.chosen.style.left = origin + one + "px";
    this.chosen.style.width = two - one + "px";
    this.unpoint();
  }

  release(event) {
    this.pointers.delete(event.pointerId);
    if (this.pointers.size < 2) this.pinch = null;
    const drag = this.drag;
    this.drag = null;
    if (!drag || !this.dragged || drag.pan) return;
    const [one, two] = [drag.at, this.at(event.clientX)].map((each) => clamp(each, 0, this.seconds)).sort((a, b) => a - b);
    if (event.type === "pointerup") this.show(one, two);
    else this.mark();
  }
}

const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
tip.setAttribute("role", "status");
document.body.append(tip);
let restoring = true;

function restore() {
  const found = /^#(?:window-(\d+)-\d+|scenario-(\d+))(?:@([\d.]+)-([\d.]+))?$/.exec(location.hash);
  if (!found) return;
  const root = document.getElementById(`timeline-${found[1] || found[2]}`);
  const timeline = root && wake(root);
  if (!timeline) return;
  restoring = true;
  const row = found[1] && document.getElementById(location.hash.slice(1).split("@")[0]);
  if (found[3] !== undefined) timeline.show(+found[3], +found[4]);
  else if (row) timeline.all();
  timeline.choose(row || null, true);
  restoring = false;
  if (row || found[3] !== undefined) timeline.root.scrollIntoView();
}

function wake(root) {
  const id = root.dataset.scenario;
  if (!timelines.has(id)) {
    const before = restoring;
    restoring = true;
    timelines.set(id, new Timeline(root));
    restoring = before;
  }
  return timelines.get(id);
}

// Of many scenarios, those come alive that are about to be seen.
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    wake(target);
  }
}, { rootMargin: "600px" });
for (const root of $$(document, ".timeline")) $(document, ".many") ? seen.observe(root) : wake(root);
restoring = false;
restore();
addEventListener("hashchange", restore);
addEventListener("beforeprint", () => {
  for (const details of $$(document, "details:not([open])")) {
    details.open = true;
    details.dataset.shut = "";
  }
  for (const timeline of timelines.values()) {
    timeline.before = [timeline.from, timeline.to];
    timeline.rest();
  }
});
addEventListener("afterprint", () => {
  for (const details of $$(document, "details[data-shut]")) {
    details.open = false;
    delete details.dataset.shut;
  }
  for (const timeline of timelines.values()) {
    timeline.wake();
    timeline.show(...timeline.before);
  }
});
