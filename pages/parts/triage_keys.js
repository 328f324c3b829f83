/* The keys of Triage where a page alone would lose one: a key that comes before the next pair is there waits for it, in
   its turn; Enter presses what has the focus, and opens Inspect where nothing has it; a note lets go of the keys. */
const KEYS = {
  1: "triage_keep", 2: "triage_mismatch", 3: "triage_fix", 4: "triage_unsure", u: "triage_undo",
  k: "triage_back", j: "triage_on", enter: "triage_inspect",
};
const MOST = 50; // keys that wait
const SOON = 100; // ms until a button that is being drawn is looked for again
const DRAWN = 5000; // ms after which a button that isn't there, or can't be pressed, takes the keys with it
const PATIENCE = 60000; // ms for an answer, after which a key goes out as if nothing were on its way
const CONTROL = 'button, a[href], summary, label, [role="button"], [role="option"], [role="menuitem"], [role="tab"]';
const NOTE = '[class*="st-key-triage_note_"] input';
const JUDGING = "[class*='st-key-triage_verdicts'] button, [class*='st-key-triage_moves'] button";
const YEAR = 31536000; // seconds

const typing = (node) => node.isContentEditable || ["TEXTAREA", "SELECT"].includes(node.tagName)
  || (node.tagName === "INPUT" && !["checkbox", "radio", "range", "button", "file"].includes(node.type));
const control = (node) => node.closest?.(CONTROL);

class Hands {
  constructor(parent) {
    this.told = parent.querySelector(".told");
    this.queue = left; left = []; this.turn = null; this.sent = 0; this.words = "{count}";
    this.onKey = (event) => this.key(event);
    this.onRest = (event) => this.rest(event);
    this.onClick = (event) => this.click(event);
    window.addEventListener("keydown", this.onKey, true);
    document.body.addEventListener("keydown", this.onRest); // below the document, where shortcuts listen
    document.body.addEventListener("click", this.onClick);
  }

  close() {
    window.clearTimeout(this.later);
    const page = location.pathname;
    const keys = left = this.queue; // the page may draw this part anew at once: then they go on, and not elsewhere
    window.setTimeout(() => location.pathname !== page && keys.splice(0));
    window.setTimeout(() => left === keys && keys.splice(0), DRAWN);
    window.removeEventListener("keydown", this.onKey, true);
    document.body.removeEventListener("keydown", this.onRest);
    document.body.removeEventListener("click", this.onClick);
  }

  take(data) {
    this.words = data.waiting;
    if (data.cookie) this.remember(data.cookie, data.who);
    if (data.failed) this.queue = [];
    if (data.turn !== this.turn) { // the answer: the pair on the page is the next one
      this.turn = data.turn; this.sent = 0;
      this.looking = true; // a key that comes before the next one goes out stands behind it
      window.setTimeout(() => this.next());
    }
    this.tell();
  }

  remember(name, who) {
    const age = who ? YEAR : 0;
    document.cookie = `${name}=${encodeURIComponent(who)}; path=/; max-age=${age}; samesite=lax`;
  }

  get waits() { return this.looking || (this.sent > 0 && performance.now() - this.sent < PATIENCE); }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const name = KEYS[event.key.toLowerCase()];
    if (!name || typing(event.target) || (event.key === "Enter" && control(event.target))) return;
    event.preventDefault();
    event.stopPropagation(); // one hand on the keys: a shortcut of the page would not know of those that wait
    const moves = name === "triage_on" || name === "triage_back";
    if (event.repeat && (!moves || this.waits)) return;
    if (!this.waits) this.queue = []; // of keys that no answer came to
    if (this.queue.length < MOST) this.queue.push(name);
    if (!this.waits) this.next();
    this.tell();
  }

  next(since = performance.now()) {
    window.clearTimeout(this.later);
    const name = this.queue[0], button = name && document.querySelector(`.st-key-${name} button`);
    if (name && (!button || button.disabled) && performance.now() - since < DRAWN) {
      this.looking = true;
      this.later = window.setTimeout(() => this.next(since), SOON);
      return;
    }
    this.looking = false;
    if (!button || button.disabled) { this.queue = []; this.tell(); return; }
    this.queue.shift();
    if (name !== "triage_inspect") this.sent = performance.now();
    button.click();
    this.tell();
  }

  rest(event) {
    if (event.target.matches?.(NOTE) && ["Enter", "Escape"].includes(event.key)) {
      const box = event.target;
      window.setTimeout(() => box.blur()); // once the page has taken what was typed
    } else if (event.key === "Enter" && control(event.target)) {
      event.stopPropagation();
    }
  }

  click(event) { // a button that was clicked keeps no focus: the keys go on as without a mouse
    const button = event.detail > 0 && event.target.closest?.(JUDGING);
    if (!button) return;
    button.blur();
    if (!button.closest(".st-key-triage_inspect")) this.sent = performance.now();
  }

  tell() {
    const count = this.queue.length;
    this.told.textContent = count ? this.words.replace("{count}", count) : "";
  }
}

const HANDS = new Map();
let left = []; // keys of a part that has just gone

export default function ({ parentElement, data }) {
  if (!HANDS.has(parentElement)) HANDS.set(parentElement, new Hands(parentElement));
  HANDS.get(parentElement).take(data);
  return () => {
    HANDS.get(parentElement)?.close();
    HANDS.delete(parentElement);
  };
}
