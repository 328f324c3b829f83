// Hands: dragging, keys and buttons. It sends the line drawn round points, in the points' own coordinates, no points.
const MAPS = new WeakMap();
const MOST_CORNERS = 200;
const STILL = 5; // pixels that a finger may tremble in a click

class CloudMap extends Looking {
  constructor(root) {
    super(root);
    this.fingers = new Map();
    this.listen();
  }

  // Choosing

  choose(path) {
    this.path = path;
    this.sent = true;
    this.paintLines();
    this.send("drawn", { polygon: path, hidden: [...this.hidden] });
  }

  chooseView() {
    const [width, height] = [this.stage.clientWidth, this.stage.clientHeight];
    this.choose([[0, 0], [width, 0], [width, height], [0, height]].map(([x, y]) => this.from(x, y)));
  }

  clear() {
    const tell = this.sent || this.data.chosen;
    [this.path, this.drawing, this.sent] = [[], false, false];
    this.unpin();
    this.paintLines();
    if (tell) this.send("drawn", { polygon: [], hidden: [] });
  }

  save() {
    const page = document.createElement("canvas");
    [page.width, page.height] = [this.points.width, this.points.height];
    const pen = page.getContext("2d");
    pen.fillStyle = getComputedStyle(this.stage).getPropertyValue("--st-background-color") || "white";
    pen.fillRect(0, 0, page.width, page.height);
    for (const canvas of [this.points, this.over]) pen.drawImage(canvas, 0, 0);
    const link = document.createElement("a");
    [link.href, link.download] = [page.toDataURL("image/png"), "map.png"];
    link.click();
  }

  // Hands

  listen() {
    const { stage } = this;
    const place = (event) => {
      const box = stage.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    stage.addEventListener("pointerdown", (event) => {
      if (!this.cloud || event.button) return;
      stage.focus({ preventScroll: true });
      stage.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, place(event));
      this.press(place(event));
    });
    stage.addEventListener("pointermove", (event) => {
      if (!this.cloud) return;
      if (this.fingers.has(event.pointerId)) this.drag(event.pointerId, place(event));
      else if (event.pointerType === "mouse") this.hover(...place(event));
    });
    const up = (event) => {
      if (this.fingers.delete(event.pointerId)) this.release(place(event), event.type === "pointercancel");
    };
    stage.addEventListener("pointerup", up);
    stage.addEventListener("pointercancel", up);
    stage.addEventListener("pointerleave", () => this.pinned || (this.tip.hidden = true));
    stage.addEventListener("wheel", (event) => {
      const meant = event.ctrlKey || event.metaKey || this.tool === "move" || this.root.activeElement === stage;
      if (!this.cloud || !meant) return; // a page that scrolls past must not be caught
      event.preventDefault();
      this.zoom(Math.exp(-Math.max(-100, Math.min(100, event.deltaY)) / 300), ...place(event));
    }, { passive: false });
    stage.addEventListener("dblclick", () => this.cloud && (this.reset(), this.draw()));
    stage.addEventListener("keydown", (event) => this.key(event));
  }

  press([x, y]) {
    this.start = [x, y];
    this.still = this.fingers.size === 1;
    if (this.fingers.size > 1 && this.drawing) [this.path, this.drawing] = [[], false];
    this.tip.hidden = true;
  }

  drag(id, [x, y]) {
    const [px, py] = this.fingers.get(id);
    const others = [...this.fingers].filter(([other]) => other !== id).map(([, at]) => at);
    this.fingers.set(id, [x, y]);
    const scale = this.scale();
    if (others.length) {
      const [ox, oy] = others[0];
      this.still = false;
      this.zoom(Math.hypot(x - ox, y - oy) / Math.max(1, Math.hypot(px - ox, py - oy)), (x + ox) / 2, (y + oy) / 2);
      return this.pan((px - x) / 2 / scale, (y - py) / 2 / scale);
    }
    if (this.still && Math.hypot(x - this.start[0], y - this.start[1]) < STILL) return;
    this.still = false;
    if (this.tool === "move") return this.pan((px - x) / scale, (y - py) / scale);
    if (!this.drawing) [this.path, this.drawing] = [[this.from(...this.start)], true];
    if (this.tool === "lasso") this.path.push(this.from(x, y));
    else {
      const [sx, sy] = this.start;
      this.path = [[sx, sy], [x, sy], [x, y], [sx, y]].map(([right, down]) => this.from(right, down));
    }
    this.paintLines();
  }

  release([x, y], stopped) {
    if (this.drawing) {
      this.drawing = false;
      if (stopped || this.path.length < 3) this.path = [];
      else this.choose(thinned(this.path));
    } else if (this.still && !stopped) this.click(x, y);
    this.still = false;
  }

  key(event) {
    if (!this.cloud || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = 40 / this.scale();
    const acts = {
      ArrowLeft: () => this.pan(-step, 0), ArrowRight: () => this.pan(step, 0), ArrowUp: () => this.pan(0, step),
      ArrowDown: () => this.pan(0, -step), "+": () => this.zoom(1.5), "=": () => this.zoom(1.5),
      "-": () => this.zoom(1 / 1.5), 0: () => (this.reset(), this.draw()), Escape: () => this.clear(),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  }
}

/** A line of few corners: of a long one, evenly spaced ones. */
function thinned(path) {
  if (path.length <= MOST_CORNERS) return path;
  return Array.from({ length: MOST_CORNERS }, (_, i) => path[Math.floor((i * path.length) / MOST_CORNERS)]);
}

export default function ({ parentElement, data, setTriggerValue }) {
  if (!MAPS.has(parentElement)) MAPS.set(parentElement, new CloudMap(parentElement));
  const map = MAPS.get(parentElement);
  map.send = setTriggerValue;
  map.take(data);
  return () => {
    map.close();
    MAPS.delete(parentElement);
  };
}
