// Pictures: rows as images, as lines, and the histogram of scores.

import { short } from "./api.js";

const SVG = "http://www.w3.org/2000/svg";

export function extent(values) {
  return values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
}

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function shape(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// A row as an image: dark where values are high, or in its colours where it has three channels.
export function image(values, imageShape, [low, high], label) {
  const [height, width, channels = 0] = imageShape;
  const canvas = element("canvas", { width, height });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  const step = channels || 1;
  const span = high - low || 1;
  for (let i = 0; i < width * height; i++) {
    const part = values.slice(i * step, (i + 1) * step).map((v) => Math.min(1, Math.max(0, (v - low) / span)));
    const mean = part.reduce((a, b) => a + b, 0) / step;
    const grey = channels ? mean : 1 - mean;
    const rgb = step === 3 ? part : [grey, grey, grey];
    rgb.forEach((one, j) => { pixels.data[4 * i + j] = Math.round(255 * one); });
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

export function difference(original, made, imageShape, label) {
  const [height, width, channels = 1] = imageShape;
  const canvas = element("canvas", { width, height });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  const means = Array.from({ length: width * height }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < channels; j++) sum += made[i * channels + j] - original[i * channels + j];
    return sum / channels;
  });
  const most = Math.max(...means.map(Math.abs)) || 1;
  means.forEach((value, i) => {
    // Orange where the reconstruction is higher, violet where it is lower.
    const end = value > 0 ? [179, 88, 6] : [84, 39, 136];
    const share = Math.abs(value) / most;
    end.forEach((one, j) => { pixels.data[4 * i + j] = Math.round(247 + (one - 247) * share); });
    pixels.data[4 * i + 3] = 255;
  });
  context.putImageData(pixels, 0, 0);
  return canvas;
}

const tick = (value) => String(Number(value.toPrecision(3)));

// Curves over steps or columns: [{values, name, kind}], on one axis.
export function lines(curves, label, axis) {
  const width = 560, height = 170, left = 64, bottom = 26, top = 8;
  const all = curves.flatMap((one) => one.values).filter(Number.isFinite);
  let [low, high] = extent(all);
  if (!(high > low)) { low -= 1; high += 1; }
  const drawn = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, role: "img", "aria-label": label });
  const count = Math.max(...curves.map((one) => one.values.length));
  const x = (i) => left + (i / Math.max(1, count - 1)) * (width - left - 8);
  const y = (v) => top + (1 - (v - low) / (high - low)) * (height - top - bottom);
  for (const value of [low, (low + high) / 2, high]) {
    drawn.append(shape("line", { x1: left, x2: width - 8, y1: y(value), y2: y(value), class: "grid" }));
    drawn.append(shape("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, tick(value)));
  }
  for (const { values, kind } of curves) {
    const points = values.map((v, i) => `${x(i).toFixed(1)},${y(Number.isFinite(v) ? v : low).toFixed(1)}`);
    drawn.append(shape("polyline", { points: points.join(" "), class: kind }));
  }
  drawn.append(shape("text", { x: left, y: height - 6 }, `0 to ${count - 1}, ${axis}`));
  return drawn;
}

// How scores are spread, with the threshold. Scores are drawn on a logarithmic axis where they span much.
export function histogram(scores, threshold, scale) {
  const width = 640, height = 150, bottom = 24, bins = 40;
  const counts = new Array(bins).fill(0);
  for (const one of scores) counts[Math.min(bins - 1, Math.max(0, Math.floor(scale.toShare(one) * bins)))]++;
  const most = Math.log1p(Math.max(...counts));
  const flagged = scores.filter((one) => one > threshold).length;
  const label = `Histogram of ${scores.length} scores, ${flagged} above the threshold ${short(threshold)}`;
  const drawn = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, role: "img", "aria-label": label });
  counts.forEach((count, i) => {
    const tall = (Math.log1p(count) / most) * (height - bottom - 6);
    const bar = shape("rect", { x: (i * width) / bins, width: width / bins - 1, y: height - bottom - tall, height: tall, class: "bar" });
    bar.append(shape("title", {}, `${count} rows`));
    drawn.append(bar);
  });
  const at = Math.min(1, Math.max(0, scale.toShare(threshold))) * width;
  drawn.append(shape("line", { x1: at, x2: at, y1: 0, y2: height - bottom, class: "limit" }));
  drawn.append(shape("text", { x: 0, y: height - 6 }, short(scale.low)));
  drawn.append(shape("text", { x: width, y: height - 6, "text-anchor": "end" }, short(scale.high)));
  return drawn;
}

// Between scores and shares of a slider: logarithmic where the scores are all above 0.
export function scaleOf(scores, threshold) {
  const finite = scores.filter(Number.isFinite).concat(Number.isFinite(threshold) ? [threshold] : []);
  let [low, high] = extent(finite);
  if (!(high > low)) { high = low + Math.max(1e-9, Math.abs(low) * 0.1); }
  const log = low > 0;
  const f = log ? Math.log : (v) => v, inverse = log ? Math.exp : (v) => v;
  const a = f(low), b = f(high);
  return {
    low, high,
    toShare: (v) => (v === Infinity ? 1 : (f(Math.max(v, low)) - a) / (b - a)),
    toScore: (share) => (share >= 1 ? high : inverse(a + share * (b - a))),
  };
}
