// Looking: which part of the points is on screen, what stands round them, and what one of them is called.
const KEPT = Symbol.for("fusionscope.clouds");
const TOOLS = ["lasso", "box", "move"];
const REACH = 12; // pixels from a pointer to the point that it means

class Looking {
  constructor(root) {
    const find = (name) => root.querySelector(name);
    this.root = root;
    this.stage = find(".stage");
    this.points = find(".points");
    this.over = find(".over");
    this.tip = find(".tip");
    this.legend = find(".legend");
    this.look = { zoom: 1, x: 0, y: 0 }; // data in the middle
    this.hidden = new Set();
    this.path = []; // of the choice, data coordinates
    this.tool = matchMedia("(pointer: coarse)").matches ? "move" : "lasso";
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.stage);
    globalThis[KEPT] ??= { clouds: new Map(), came: new EventTarget() };
    this.came = () => this.take(this.data);
    globalThis[KEPT].came.addEventListener("cloud", this.came);
  }

  close() {
    this.watch.disconnect();
    globalThis[KEPT].came.removeEventListener("cloud", this.came);
  }

  /** What the server says now. The points may come before or after it. */
  take(data) {
    if (!data) return;
    const words = JSON.stringify([data.words, data.legend, data.scale, data.chosen]);
    this.data = data;
    if (words !== this.words) this.dress();
    this.words = words;
    this.points.setAttribute("aria-label", data.alt);
    this.bits = data.bits ? Uint8Array.from(atob(data.bits), (sign) => sign.charCodeAt(0)) : null;
    if (data.named && data.named.row !== this.dismissed) this.pinned = data.named;
    if (!data.chosen && this.sent) [this.path, this.sent] = [[], false];
    if (data.points !== this.digest) {
      this.cloud = globalThis[KEPT].clouds.get(data.points);
      if (!this.cloud) return;
      this.digest = data.points;
      this.hidden.clear();
      this.dress();
      this.path = [];
      this.reset();
    }
    this.draw();
  }

  /** Buttons, legend and words. */
  dress() {
    const { words, legend, scale, note, lines, rings, placed, chosen, colours } = this.data;
    const button = (name, act, pressed) => {
      const made = document.createElement("button");
      made.type = "button";
      made.textContent = words[name] ?? name;
      made.dataset.act = name;
      if (words[`${name}.tell`]) made.title = made.ariaLabel = words[`${name}.tell`];
      if (pressed !== undefined) made.ariaPressed = String(pressed);
      made.onclick = act;
      return made;
    };
    const tools = this.root.querySelector(".tools");
    tools.ariaLabel = words.tools;
    tools.replaceChildren(...TOOLS.map((tool) => button(tool, () => this.use(tool), tool === this.tool)));
    const acts = this.root.querySelector(".acts");
    acts.ariaLabel = words.view;
    acts.replaceChildren(
      button("closer", () => this.zoom(1.5)), button("farther", () => this.zoom(1 / 1.5)),
      button("reset", () => (this.reset(), this.draw())), button("all", () => this.chooseView()),
      button("clear", () => this.clear()), button("save", () => this.save()),
    );
    this.stage.ariaLabel = words.keys;
    const entry = (text, style, kind = "") => {
      const sign = document.createElement("i");
      Object.assign(sign.style, style);
      sign.className = kind;
      const span = document.createElement("span");
      span.append(sign, text);
      return span;
    };
    this.legend.replaceChildren(
      ...(scale ? [this.bar(scale)] : []),
      ...legend.map(({ code, name }) => {
        const made = button("", () => this.toggle(code), !this.hidden.has(code));
        made.replaceChildren(...entry(name, { background: colours[code] }).childNodes);
        return made;
      }),
      ...(rings.length ? [entry(chosen, {}, "ring")] : chosen ? [entry(chosen, {}, "none")] : []),
      ...(lines.length ? [entry(words.lines, {}, "line")] : []),
      ...(placed.length ? [entry(words.yours, { background: placed[0].colour }, "ring")] : []),
    );
    this.root.querySelector(".note").textContent = note;
    this.hint();
  }

  bar({ name, low, high, colours }) {
    const made = document.createElement("span");
    made.className = "scale";
    const [title, strip] = [document.createElement("b"), document.createElement("i")];
    title.textContent = name;
    strip.style.background = `linear-gradient(to right, ${colours.join(", ")})`;
    made.append(title, low, strip, high);
    return made;
  }

  use(tool) {
    this.tool = tool;
    this.stage.dataset.tool = tool;
    for (const made of this.root.querySelectorAll(".tools button"))
      made.ariaPressed = String(made.dataset.act === tool);
    this.hint();
  }

  hint() {
    this.stage.dataset.tool = this.tool;
    this.root.querySelector(".hint").textContent = this.data.words[`${this.tool}.hint`];
  }

  toggle(code) {
    this.hidden[this.hidden.has(code) ? "delete" : "add"](code);
    this.dress();
    this.draw();
  }

  // Looking

  reset() {
    const [left, right, low, high] = this.cloud.bounds;
    this.look = { zoom: 1, x: (left + right) / 2, y: (low + high) / 2 };
  }

  /** Pixels of the screen (CSS) to one unit. */
  scale() {
    const [left, right, low, high] = this.cloud.bounds;
    const { clientWidth: width, clientHeight: height } = this.stage;
    const fit = Math.min((width - 24) / (right - left || 1), (height - 24) / (high - low || 1));
    return fit * this.look.zoom;
  }

  at(x, y) {
    const [scale, { clientWidth: width, clientHeight: height }] = [this.scale(), this.stage];
    return [width / 2 + (x - this.look.x) * scale, height / 2 - (y - this.look.y) * scale];
  }

  from(x, y) {
    const [scale, { clientWidth: width, clientHeight: height }] = [this.scale(), this.stage];
    return [this.look.x + (x - width / 2) / scale, this.look.y - (y - height / 2) / scale];
  }

  zoom(by, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const [before, above] = this.from(x, y);
    this.look.zoom = Math.min(5000, Math.max(0.5, this.look.zoom * by));
    const [after, below] = this.from(x, y);
    this.pan(before - after, above - below);
  }

  pan(right, up) {
    this.look.x += right;
    this.look.y += up;
    this.draw();
  }

  draw() {
    if (!this.cloud || this.asked) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      if (this.stage.clientWidth) this.paint();
    });
  }

  paint() {
    const began = performance.now();
    const ratio = Math.min(2, devicePixelRatio || 1);
    const width = Math.round(this.stage.clientWidth * ratio);
    const height = Math.round(this.stage.clientHeight * ratio);
    if (this.sheet?.width !== width || this.sheet.height !== height) {
      this.sheet = sheet(width, height);
      for (const canvas of [this.points, this.over]) [canvas.width, canvas.height] = [width, height];
    }
    const shown = new Uint8Array(256).fill(1);
    for (const code of this.hidden) shown[code] = 0;
    const colours = new Uint8Array(768);
    this.data.colours.forEach((hex, code) => {
      for (let i = 0; i < 3; i++) colours[3 * code + i] = parseInt(hex.slice(1 + 2 * i, 3 + 2 * i), 16);
    });
    const [left, top] = this.at(0, 0);
    const place = { scale: this.scale() * ratio, left: left * ratio, top: top * ratio };
    const size = sizeOf(this.cloud.count, this.look.zoom, ratio);
    const look = { colours, shown, bits: this.bits, quiet: this.data.quiet };
    const drawn = paint(this.sheet, this.cloud, place, look, size);
    this.points.getContext("2d").putImageData(this.sheet.image, 0, 0);
    this.ratio = ratio;
    this.paintLines();
    Object.assign(this.stage.dataset, { drawn, chosen: this.data.chosen, ms: Math.round(performance.now() - began) });
  }

  paintLines() {
    if (!this.ratio) return;
    const pen = this.over.getContext("2d");
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, this.stage.clientWidth, this.stage.clientHeight);
    const theme = getComputedStyle(this.stage);
    const colours = { paper: theme.getPropertyValue("--st-background-color") || "white", text: theme.color };
    pen.font = `600 13px ${theme.fontFamily}`;
    const path = this.path.map(([x, y]) => this.at(x, y));
    paintOver(pen, this.data, (x, y) => this.at(x, y), path, !this.drawing, colours);
    if (this.pinned) this.say(this.pinned.row, this.pinned.text);
  }

  // Naming

  /** Say what a point is, beside it. */
  say(row, text) {
    const [x, y] = this.at(this.cloud.xy[2 * row], this.cloud.xy[2 * row + 1]);
    this.tip.textContent = text;
    this.tip.hidden = !text || x < 0 || y < 0 || x > this.stage.clientWidth || y > this.stage.clientHeight;
    const { offsetWidth: width, offsetHeight: height } = this.tip;
    this.tip.style.left = `${Math.max(0, Math.min(x + 10, this.stage.clientWidth - width))}px`;
    this.tip.style.top = `${Math.max(0, y - height - 10 < 0 ? y + 14 : y - height - 10)}px`;
  }

  pin(row, text) {
    this.pinned = { row, text };
    this.say(row, text);
  }

  unpin() {
    this.dismissed = this.pinned?.row; // the server may name it again with other news
    this.pinned = null;
    this.tip.hidden = true;
  }

  told(row) {
    const kind = this.data.legend.find(({ code }) => code === this.cloud.code[row])?.name;
    return [this.cloud.names?.[row], kind].filter(Boolean).join(" · ");
  }

  under(x, y) {
    const scaled = [x, y, REACH].map((length) => Math.round(length * this.ratio));
    return this.ratio ? nearest(this.sheet, ...scaled) : -1;
  }

  hover(x, y) {
    if (this.pinned) return;
    const row = this.under(x, y);
    if (row < 0) this.tip.hidden = true;
    else this.say(row, this.told(row));
  }

  click(x, y) {
    this.unpin();
    const row = this.under(x, y);
    if (row < 0) return;
    this.dismissed = -1;
    this.pin(row, this.told(row));
    if (!this.cloud.names) this.send("asked", row);
  }
}
