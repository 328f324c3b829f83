// Painting: how many points fall on each pixel, their mean colour, and a strength that grows with their number.
const FAINT = 0.55; // strength of a lone point, so that it is seen on either background
const FADED = 0.22; // of what was not chosen, beside what was
const PALE = 0.4; // of the quiet kind, below all others
const STRONG = 1.6; // of the few that lie above it
const SHAPES = { // sides, and how far they are turned
  diamond: [4, 0], square: [4, 45], "triangle-up": [3, -90], "triangle-down": [3, 90], pentagon: [5, -90], hexagon: [6, 0],
};

/** Offsets of the pixels of a disc, as [right, down]. */
function disc(size) {
  const half = (size - 1) / 2;
  const found = [];
  for (let down = 0; down < size; down++)
    for (let right = 0; right < size; right++)
      if ((right - half) ** 2 + (down - half) ** 2 <= (size / 2) ** 2)
        found.push([right - (size >> 1), down - (size >> 1)]);
  return found;
}

/** Pixels across one point: small for many, larger when one looks close. */
function sizeOf(count, zoom, ratio) {
  const usual = count > 200000 ? 1 : count > 60000 ? 1.5 : count > 10000 ? 2.4 : 4;
  return Math.max(1, Math.min(9 * ratio, Math.round(usual * ratio * Math.max(1, zoom) ** 0.6)));
}

/** Sums for a picture of a size, kept from one drawing to the next. */
function sheet(width, height) {
  return { width, height, sum: new Float32Array(4 * width * height), row: new Int32Array(width * height),
    image: new ImageData(width, height) };
}

/**
 * Paint the points that are looked at. place: {scale, left, top}, so that pixel = x * scale + left, top - y * scale.
 * look: {colours: [red, green, blue, ...] by code, shown: by code, bits: chosen points or null, quiet: the code of the
 * kind that lies pale below all others, -1 without one}. -> points drawn
 */
function paint(on, cloud, place, look, size) {
  new Uint32Array(on.image.data.buffer).fill(0);
  on.row.fill(-1);
  const quiet = look.quiet;
  const kinds = (shown) => look.shown.map((yes, code) => yes && shown(code));
  const below = { ...look, shown: kinds((code) => code === quiet) };
  const above = { ...look, shown: kinds((code) => code !== quiet) };
  const [large, strong] = quiet < 0 ? [size, 1] : [size + 2, STRONG];
  let drawn = 0;
  for (const [wanted, strength] of look.bits ? [[0, FADED], [1, 1]] : [[-1, 1]]) {
    if (quiet >= 0) drawn += layer(on, cloud, place, below, size, wanted, PALE * strength);
    drawn += layer(on, cloud, place, above, large, wanted, strong * strength);
  }
  return drawn;
}

function layer(on, cloud, place, look, size, wanted, strength) {
  const { width, height, sum, row } = on;
  const { xy, code, count } = cloud;
  const { colours, shown, bits } = look;
  const { scale, left, top } = place;
  const edge = size >> 1;
  const steps = disc(size).map(([right, down]) => 4 * (down * width + right));
  const across = steps.length;
  let most = 1;
  let drawn = 0;
  sum.fill(0);
  for (let i = 0; i < count; i++) {
    const kind = code[i];
    if (!shown[kind] || (wanted >= 0 && ((bits[i >> 3] >> (i & 7)) & 1) !== wanted)) continue;
    const x = xy[2 * i] * scale + left;
    const y = top - xy[2 * i + 1] * scale;
    if (!(x >= edge && x < width - edge && y >= edge && y < height - edge)) continue;
    const pixel = (y | 0) * width + (x | 0);
    const red = colours[3 * kind];
    const green = colours[3 * kind + 1];
    const blue = colours[3 * kind + 2];
    row[pixel] = i;
    drawn++;
    for (let k = 0; k < across; k++) {
      const at = 4 * pixel + steps[k];
      sum[at] += red;
      sum[at + 1] += green;
      sum[at + 2] += blue;
      if (++sum[at + 3] > most) most = sum[at + 3];
    }
  }
  colour(on, most, strength);
  return drawn;
}

/** Sums to colours; the strength grows with the logarithm of the number, so that crowds differ from larger crowds. */
function colour(on, most, strength) {
  const { sum, image } = on;
  const pixels = new Uint32Array(image.data.buffer);
  const known = new Uint8Array(Math.min(most, 65535) + 1);
  const full = Math.log(Math.max(most, 8));
  for (let n = 1; n < known.length; n++)
    known[n] = Math.min(255, Math.round(255 * strength * (FAINT + ((1 - FAINT) * Math.log(n)) / full)));
  for (let p = 0, at = 0; p < pixels.length; p++, at += 4) {
    const n = sum[at + 3];
    if (!n) continue;
    const alpha = known[Math.min(n, known.length - 1)];
    pixels[p] = ((alpha << 24) | ((sum[at + 2] / n) << 16) | ((sum[at + 1] / n) << 8) | (sum[at] / n)) >>> 0;
  }
}

/** The row of the point nearest to a pixel within a reach, -1 without one; only what is drawn can be found. */
function nearest(on, x, y, reach) {
  let best = -1;
  let closest = reach * reach + 1;
  for (let down = Math.max(0, y - reach); down <= Math.min(on.height - 1, y + reach); down++)
    for (let right = Math.max(0, x - reach); right <= Math.min(on.width - 1, x + reach); right++) {
      const row = on.row[down * on.width + right];
      const far = (right - x) ** 2 + (down - y) ** 2;
      if (row >= 0 && far < closest) [best, closest] = [row, far];
    }
  return best;
}

/** What lies over the points: pair lines, rings, a sample of one's own, the line being drawn. to: data -> [x, y] */
function paintOver(pen, over, to, path, closed, colours) {
  const stroke = (width, colour) => {
    pen.strokeStyle = colours.paper;
    pen.lineWidth = width + 2;
    pen.globalAlpha = 0.7;
    pen.stroke();
    pen.globalAlpha = 1;
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.stroke();
  };
  pen.beginPath();
  for (const [ax, ay, bx, by] of over.lines) {
    pen.moveTo(...to(ax, ay));
    pen.lineTo(...to(bx, by));
  }
  if (over.lines.length) stroke(1, over.ink);
  for (const [x, y] of over.rings) {
    pen.beginPath();
    pen.arc(...to(x, y), 8, 0, 2 * Math.PI);
    stroke(2, over.ink);
  }
  pen.beginPath();
  over.placed.forEach(({ at }, i) => (i ? pen.lineTo(...to(...at)) : pen.moveTo(...to(...at))));
  stroke(2, over.ink);
  for (const { at, shape, colour: fill } of over.placed) {
    mark(pen, ...to(...at), 8, shape);
    pen.fillStyle = fill;
    pen.fill();
    stroke(3, over.ink);
  }
  pen.textAlign = "center";
  for (const [x, y, text] of over.words_at) {
    [pen.strokeStyle, pen.lineWidth, pen.lineJoin, pen.fillStyle] = [colours.paper, 4, "round", colours.text];
    pen.strokeText(text, ...to(x, y));
    pen.fillText(text, ...to(x, y));
  }
  if (path.length < 2) return;
  pen.beginPath();
  path.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  if (closed) pen.closePath();
  pen.fillStyle = over.ink;
  pen.globalAlpha = 0.12;
  pen.fill("evenodd");
  pen.globalAlpha = 1;
  pen.setLineDash([6, 4]);
  stroke(1.5, over.ink);
  pen.setLineDash([]);
}

/** The outline of a modality's shape round a place. */
function mark(pen, x, y, reach, shape) {
  pen.beginPath();
  if (!SHAPES[shape]) return pen.arc(x, y, reach, 0, 2 * Math.PI);
  const [sides, turn] = SHAPES[shape];
  for (let i = 0; i < sides; i++) {
    const angle = (2 * Math.PI * i) / sides + (turn * Math.PI) / 180;
    pen.lineTo(x + reach * 1.2 * Math.cos(angle), y + reach * 1.2 * Math.sin(angle));
  }
  pen.closePath();
}
