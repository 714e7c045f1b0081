// Image files as rows of a model of images, and the part of an image that adds most to its score.

import { element, extent } from "./draw.js";

export const isPicture = (file) => file.type.startsWith("image/") && file.type !== "image/svg+xml";

// What white is in the rows that a model was trained on: 1, 255, or their highest value.
export function whiteOf(model) {
  const most = extent(((model.facts.columns || {}).high || []).filter(Number.isFinite))[1];
  if (!(most > 1)) return 1;
  return most > 64 && most <= 255 ? 255 : most;
}

// The pixels of an image file as one row, resized to the images of the model.
export async function pixelsOf(file, [height, width, channels = 1], white) {
  const size = { resizeWidth: width, resizeHeight: height, resizeQuality: "high" };
  const bitmap = await createImageBitmap(file, size).catch(() => {
    throw new Error(`${file.name} must be an image. Received: a file that the browser cannot read`);
  });
  const context = element("canvas", { width, height }).getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const row = [];
  for (let i = 0; i < data.length; i += 4) {
    const [r, g, b] = data.subarray(i, i + 3);
    row.push(...(channels === 3 ? [r, g, b] : [0.299 * r + 0.587 * g + 0.114 * b]));
  }
  return row.map((one) => (one / 255) * white);
}

// The pixels of the connected part around the peak of a map where it is at least half of it.
export function worstRegion(map, width) {
  const peak = map.indexOf(extent(map)[1]);
  if (!(map[peak] > 0)) return [];
  const found = new Set([peak]), todo = [peak];
  while (todo.length) {
    const i = todo.pop(), x = i % width;
    for (const j of [i - width, i + width, x ? i - 1 : -1, x < width - 1 ? i + 1 : -1]) {
      if (map[j] >= map[peak] / 2 && !found.has(j)) { found.add(j); todo.push(j); }
    }
  }
  return [...found];
}

// That part as the explanation of a row, from what each value adds to the score.
export function regionOf(model, row, made, added, map) {
  const [, width, channels = 1] = model.imageShape;
  const pixels = worstRegion(map, width);
  if (!pixels.length) return [];
  const values = pixels.flatMap((i) => Array.from({ length: channels }, (_, c) => i * channels + c));
  const sum = (of) => values.reduce((total, i) => total + of[i], 0);
  const span = (of) => extent(pixels.map(of)).join("-");
  return [{
    column: `rows ${span((i) => Math.floor(i / width))}, columns ${span((i) => i % width)}`,
    value: model.text(0, sum(row) / values.length),
    expected: model.text(0, sum(made) / values.length),
    share: sum(added) / (added.reduce((a, b) => a + b, 0) || 1),
  }];
}

// What the values of each pixel add, summed over its channels.
export function perPixel(added, [height, width, channels = 1]) {
  return Array.from({ length: height * width }, (_, i) =>
    added.slice(i * channels, (i + 1) * channels).reduce((a, b) => a + b, 0));
}
