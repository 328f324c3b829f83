/* Stories on the whole window, from what was stored: no request, no answer of a server is waited for. */
const PAUSE = 4200, WORD = 1500; // ms that a screen, and a word, stay while it plays

function make(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

class Deck {
  constructor(parent) {
    this.root = make("div", "deck");
    this.root.tabIndex = -1;
    this.root.popover = "manual"; // the browser's own top layer: no message of the page lies above a stage
    parent.querySelector(".host").append(this.root);
    this.at = 0; this.step = 0; this.word = -1; this.timer = 0;
    this.onKey = (event) => this.key(event);
    window.addEventListener("keydown", this.onKey, true);
    const start = Number(new URLSearchParams(window.location.search).get("at"));
    if (Number.isInteger(start) && start > 0) this.at = start;
  }

  take(data) {
    this.data = data;
    if (!this.root.matches(":popover-open")) this.root.showPopover();
    this.at = Math.min(this.at, data.screens.length - 1);
    this.show();
    this.root.focus({ preventScroll: true });
  }

  close() {
    this.stop();
    window.removeEventListener("keydown", this.onKey, true);
    this.root.remove();
  }

  get screen() { return this.data.screens[this.at]; }
  get steps() { return (this.screen.bars || this.screen.places || []).length; }

  go(at, step = 1, word = -1) {
    this.at = Math.max(0, Math.min(this.data.screens.length - 1, at));
    this.step = Math.min(step, this.steps);
    this.word = word;
    const url = new URL(window.location.href);
    if (this.at) url.searchParams.set("at", String(this.at)); else url.searchParams.delete("at");
    window.history.replaceState(window.history.state, "", url);
    this.show();
  }

  next() {
    if (this.step < this.steps) { this.step += 1; this.show(); }
    else if (this.at + 1 < this.data.screens.length) this.go(this.at + 1);
    else this.go(0);
  }

  back() {
    if (this.step > 1) { this.step -= 1; this.show(); }
    else if (this.at > 0) { this.go(this.at - 1); this.step = this.steps; this.show(); }
  }

  walk(by) {
    const count = (this.screen.words || []).length;
    if (!this.screen.walk || !count) return false;
    this.word = this.word < 0 && by < 0 ? count - 1 : this.word + by;
    if (this.word < 0 || this.word >= count) { this.word = -1; this.show(); return false; }
    this.show();
    return true;
  }

  play() {
    if (this.timer) { this.stop(); this.show(); return; }
    if (this.at === 0) this.go(1);
    this.playing = true;
    this.wait();
    this.show();
  }

  wait() {
    const walking = this.screen.walk;
    this.timer = window.setTimeout(() => {
      if (walking && this.walk(1)) { this.wait(); return; }
      if (this.at + 1 >= this.data.screens.length && this.step >= this.steps) { this.stop(); this.go(0); return; }
      this.next();
      this.wait();
    }, walking ? WORD : PAUSE);
  }

  stop() { window.clearTimeout(this.timer); this.timer = 0; }

  leave() {
    this.stop();
    const url = new URL(window.location.href);
    url.searchParams.delete("mode");
    url.searchParams.delete("at");
    window.location.assign(url);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const known = {
      ArrowRight: () => this.next(), PageDown: () => this.next(), " ": () => this.next(),
      Enter: () => (this.root.getRootNode().activeElement?.tagName === "BUTTON" ? false : this.next()),
      ArrowLeft: () => this.back(), PageUp: () => this.back(), Backspace: () => this.back(),
      ArrowDown: () => this.walk(1), ArrowUp: () => this.walk(-1), Home: () => this.go(0),
      p: () => this.play(), P: () => this.play(), Escape: () => this.leave(),
    };
    const story = this.data.starts[Number(event.key) - 1];
    const act = story !== undefined ? () => this.go(story) : known[event.key];
    if (!act) return;
    if (this.timer && !["p", "P", "Escape"].includes(event.key)) this.stop();
    if (act() !== false) { event.preventDefault(); event.stopPropagation(); }
  }

  // Drawing: everything that a person wrote goes in as text.

  show() {
    const { words, screens } = this.data, screen = this.screen;
    this.root.replaceChildren();
    this.root.dataset.look = screen.look;
    const top = make("header");
    top.append(make("span", "story", screen.title || words.title), make("span", "stored", words.stored));
    const leave = make("button", "leave", words.leave);
    leave.addEventListener("click", () => this.leave());
    top.append(leave);
    const main = make("main");
    main.setAttribute("aria-live", "polite");
    if (screen.look === "menu") this.menu(main); else this.story(main, screen);
    const foot = make("footer");
    foot.append(
      this.button("back", words.back, () => { this.stop(); this.back(); }, this.at === 0),
      this.button(`play${this.timer ? " on" : ""}`, this.timer ? words.pause : words.play, () => this.play()),
      this.button("next", words.next, () => { this.stop(); this.next(); }),
    );
    const dots = make("div", "dots");
    screens.forEach((one, i) => dots.append(make("i", i === this.at ? "now" : i < this.at ? "gone" : "")));
    foot.append(dots, make("span", "keys", words.keys));
    this.root.append(top, main, foot);
  }

  button(name, text, act, disabled = false) {
    const made = make("button", name, text);
    made.disabled = disabled;
    made.addEventListener("click", act);
    return made;
  }

  menu(main) {
    const { words, stories } = this.data;
    main.append(make("h1", "", words.title), make("p", "note", words.lead));
    const list = make("ol", "cards");
    stories.forEach((story, i) => {
      const item = make("li"), card = make("button", "card");
      card.append(this.image(story.image, ""), make("b", "", `${i + 1}. ${story.title}`), make("span", "", story.tell));
      card.addEventListener("click", () => this.go(this.data.starts[i]));
      item.append(card);
      list.append(item);
    });
    main.append(list);
  }

  story(main, screen) {
    main.append(make("h1", "", screen.line));
    const body = make("div", "body");
    if (screen.images) {
      const images = make("div", "images");
      screen.images.forEach((one) => {
        const box = make("figure"), frame = make("div", "frame");
        frame.append(this.image(one.src, one.alt));
        if (screen.looks && this.word >= 0) frame.append(this.heat(screen.looks[this.word]));
        box.append(frame);
        if (one.name) box.append(make("figcaption", "", one.name));
        images.append(box);
      });
      body.append(images);
    }
    const side = make("div", "side");
    if (screen.words) side.append(this.sentence(screen));
    if (screen.bars) side.append(this.bars(screen.bars));
    if (screen.places) side.append(this.places(screen.places));
    if (side.children.length) body.append(side);
    main.append(body);
    if (screen.note) main.append(make("p", "note", screen.note));
  }

  image(src, alt) {
    const made = make("img");
    made.src = this.data.pictures[src];
    made.alt = alt || "";
    return made;
  }

  heat(row) {
    const grid = make("div", "heat"), side = Math.round(Math.sqrt(row.length)), most = Math.max(...row);
    grid.style.setProperty("--side", side);
    row.forEach((value) => {
      const cell = make("i");
      cell.style.opacity = String(0.85 * (1 - value / most));
      grid.append(cell);
    });
    return grid;
  }

  sentence(screen) {
    const line = make("p", "sentence");
    screen.words.forEach((word, i) => {
      const now = this.word === i, all = this.word < 0;
      const span = make("span", `word${now ? " now" : ""}${(all || now) && word.high ? " high" : ""}`);
      span.append(make("b", "", word.text));
      if (word.label) span.append(make("small", all ? (word.high ? "" : "far") : now ? "" : "far", word.label));
      if (word.value >= 0.03) span.style.setProperty("--v", `${Math.round(100 * word.value)}%`);
      line.append(span, document.createTextNode(" "));
    });
    return line;
  }

  bars(rows) {
    const list = make("dl", "bars");
    rows.forEach((row, i) => {
      const on = i < this.step, name = make("dt", on ? "" : "off"), value = make("dd", on ? row.kind || "" : "off");
      if (row.src) name.append(this.image(row.src, ""));
      name.append(make("span", "", row.name));
      const fill = make("i");
      fill.style.width = `${Math.max(0.6, 100 * row.value)}%`;
      const track = make("span", "track");
      track.append(fill);
      value.append(track, make("b", "", row.text));
      list.append(name, value);
    });
    return list;
  }

  places(rows) {
    const list = make("ul", "places");
    rows.forEach((row, i) => {
      const item = make("li", i < this.step ? row.kind || "" : "off");
      item.append(make("span", "", row.name), make("b", "", row.text), make("small", "", row.under || ""));
      list.append(item);
    });
    return list;
  }
}

const DECKS = new Map();

export default function ({ parentElement, data }) {
  if (!DECKS.has(parentElement)) DECKS.set(parentElement, new Deck(parentElement));
  DECKS.get(parentElement).take(data);
  return () => {
    DECKS.get(parentElement)?.close();
    DECKS.delete(parentElement);
  };
}
