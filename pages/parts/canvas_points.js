// Takes the points that came as bytes and keeps them where the map of the same page finds them.
// A component of its own: bytes travel only alone, and these stay in the browser while choices come and go.
const KEPT = Symbol.for("fusionscope.clouds");
const HEADER = 48; // sign, points, length of names, spare, bounds, digest: see fusion/views/canvas.py
const MOST = 4; // clouds kept, the oldest goes first

export default function ({ data }) {
  globalThis[KEPT] ??= { clouds: new Map(), came: new EventTarget() };
  const { clouds, came } = globalThis[KEPT];
  if (!data) return;
  const head = new DataView(data.buffer, data.byteOffset, HEADER);
  const digest = [...data.subarray(32, HEADER)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (!clouds.has(digest)) {
    const count = head.getUint32(4, true);
    const body = data.slice(HEADER); // a copy begins where numbers of four bytes may
    const names = head.getUint32(8, true) ? new TextDecoder().decode(body.subarray(9 * count)).split("\n") : null;
    clouds.set(digest, {
      count, names,
      xy: new Float32Array(body.buffer, 0, 2 * count),
      code: body.subarray(8 * count, 9 * count),
      bounds: [16, 20, 24, 28].map((at) => head.getFloat32(at, true)), // x from, x to, y from, y to
    });
    for (const old of clouds.keys()) if (clouds.size > MOST) clouds.delete(old);
  }
  came.dispatchEvent(new Event("cloud"));
}
