// What the page shows of one row, of codings and of samples.

import { short } from "./api.js";
import { difference, element, extent, image, lines } from "./draw.js";
import { perPixel, regionOf } from "./pictures.js";

export const MOST_SLIDERS = 32;
const MOST_FIELDS = 200, MOST_LISTED = 200, TOP = 5;

export function facts(list, pairs) {
  list.replaceChildren(...pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([what, value]) => element("div", {},
      element("dt", { textContent: what }), element("dd", { textContent: value }))));
}

// Lowest and highest value of the data, for the greys of images.
function range(model, values) {
  const { low, high } = model.facts.columns || {};
  const [least, most] = extent(low ? [...low, ...high].filter(Number.isFinite) : values);
  return [least, most];
}

// Rows of a model drawn: an image, curves, or a table of names and values.
export function rowView(model, row, label) {
  const flat = Array.isArray(row) ? row.flat(Infinity) : [row];
  if (model.imageShape) return image(flat, model.imageShape, range(model, flat), label);
  if (model.rowShape.length === 2) return seriesView(model, [{ values: flat, kind: "made" }], label);
  return valuesTable(model, [["value", flat]]);
}

function seriesView(model, curves, label) {
  const channels = model.rowShape[1];
  const shown = Math.min(channels, 6);
  return element("div", {}, ...Array.from({ length: shown }, (_, c) => {
    const name = model.names && model.names.length === channels ? model.names[c] : `channel ${c}`;
    const of = curves.map((one) => ({ ...one, values: one.values.filter((_, i) => i % channels === c) }));
    return element("figure", {}, lines(of, `${label}, ${name}`, "steps"),
      element("figcaption", { textContent: name }));
  }));
}

function valuesTable(model, listed) {
  const names = model.columns.map((one) => one.name);
  const order = names.map((_, i) => i).slice(0, MOST_LISTED);
  const head = element("tr", {}, element("th", { textContent: "column" }),
    ...listed.map(([what]) => element("th", { textContent: what, className: "number" })));
  const body = order.map((i) => element("tr", {}, element("td", { textContent: names[i] }),
    ...listed.map(([, values]) => element("td", { textContent: model.text(i, values[i]), className: "number" }))));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  if (names.length > order.length) {
    table.prepend(element("caption", { textContent: `the first ${order.length} of ${names.length} columns` }));
  }
  return element("div", { className: "table" }, table);
}

// A row beside its reconstruction, and the map of its anomaly score where there is one.
export function comparison(model, row, made, map) {
  if (model.imageShape) {
    const limits = range(model, row);
    const cards = [
      ["original", image(row, model.imageShape, limits, "original")],
      ["reconstruction", image(made, model.imageShape, limits, "reconstruction")],
      ["difference: orange is higher", difference(row, made, model.imageShape, "difference")],
    ];
    if (map) {
      const shape = model.imageShape.slice(0, 2);
      cards.push(["error: dark is high", image(map, shape, [0, extent(map)[1]], "map of the error")]);
    }
    return element("div", { className: "pictures" }, ...cards.map(([text, canvas]) =>
      element("figure", {}, canvas, element("figcaption", { textContent: text }))));
  }
  if (model.rowShape.length === 2) {
    return seriesView(model, [{ values: row, kind: "original" }, { values: made, kind: "made" }],
      "the row and its reconstruction, dashed");
  }
  const table = valuesTable(model, [["value", row], ["reconstruction", made]]);
  return element("details", {}, element("summary", { textContent: "All columns" }), table);
}

// The columns that add most to the score of a row, or the region of an image:
// {listed: [{column, value, expected, share}], map}.
export async function explanation(model, row, made) {
  if (model.table && model.has("explain")) {
    const got = await model.predict("explain", [row]);
    return { listed: got.column[0].map((column) => {
      const place = model.names.indexOf(column);
      return { column, value: model.text(place, row[place]), expected: model.text(place, made[place]), share: null };
    }) };
  }
  let added, expected = made;
  if (model.has("explain")) {
    const got = await model.predict("explain", [row]);
    added = got.contributions[0].flat(Infinity);
    expected = got.expected[0].flat(Infinity);
  } else if (model.has("anomaly_score")) {
    added = (await model.predict("anomaly_score", [row])).feature_errors[0];
    added = Array.isArray(added) ? added.flat(Infinity) : [added];
  } else return { listed: [] };
  if (model.imageShape) {
    const map = model.has("anomaly_map")
      ? Object.values(await model.predict("anomaly_map", [row]))[0][0].flat(Infinity)
      : perPixel(added, model.imageShape);
    return { listed: regionOf(model, row, made, added, map), map };
  }
  const total = added.reduce((a, b) => a + b, 0) || 1;
  const worst = added.map((one, i) => i).sort((a, b) => added[b] - added[a]).slice(0, TOP);
  return { listed: worst.map((i) => ({
    column: model.columns[i].name, value: model.text(i, row[i]),
    expected: model.text(i, expected[i]), share: added[i] / total,
  })) };
}

export function explanationTable(table, model, found) {
  if (!found.length) { table.replaceChildren(); return; }
  const shares = found.some((one) => one.share !== null);
  const what = model.imageShape ? ["region", "mean value", "mean expected"] : ["column", "value", "expected"];
  const head = [...what, ...(shares ? ["share of the score"] : [])];
  const caption = `The ${model.imageShape ? "region that adds" : "columns that add"} most to the score`;
  table.replaceChildren(
    element("caption", { textContent: caption }),
    element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { textContent: text })))),
    element("tbody", {}, ...found.map((one) => element("tr", {},
      ...[one.column, one.value, one.expected].map((text) => element("td", { textContent: text })),
      ...(shares ? [element("td", { textContent: `${Math.round(100 * one.share)}%` })] : [])))),
  );
}

// A form with one field a column, or a text where there are many; `submit` is given a row.
export function buildForm(form, model, submit, fail) {
  const typical = model.facts.columns ? model.facts.columns.typical : null;
  const start = typical ? model.cells(typical) : null;
  const fields = [];
  const few = model.width <= MOST_FIELDS && !model.imageShape;
  if (few) {
    model.columns.forEach((column, i) => {
      const field = fieldOf(column, start ? start[i] : null, model, i);
      fields.push(field);
      form.append(element("label", {}, column.name, field));
    });
  } else {
    const text = start ? start.map((v) => short(v)).join(", ") : "";
    const field = element("textarea", { rows: 4, value: text });
    fields.push(field);
    form.append(element("label", { className: "whole" }, `${model.width} numbers, separated by commas`, field));
  }
  form.append(element("button", { type: "submit", className: "whole", textContent: "Score this row" }));
  form.onsubmit = (event) => {
    event.preventDefault();
    try {
      const texts = few ? fields.map((one) => one.value) : fields[0].value.split(/[,;\s]+/).filter(Boolean);
      if (texts.length !== model.width) throw new Error(`a row must have ${model.width} values. Received: ${texts.length}`);
      submit(model.columns.map((column, i) => {
        try { return column.read(texts[i], ","); } catch (error) { throw new Error(`${column.name} ${error.message}`); }
      }));
    } catch (error) { fail(error); }
  };
}

function fieldOf(column, value, model, i) {
  if (column.levels) {
    const options = [["", "missing"], ...column.levels.map((one) => [String(one), String(one)])];
    const select = element("select", {}, ...options.map(([v, text]) => element("option", { value: v, textContent: text })));
    select.value = value === null ? "" : String(value);
    return select;
  }
  if (column.kind === "number") {
    return element("input", { type: "text", inputMode: "decimal", value: value === null ? "0" : short(value) });
  }
  return element("input", { type: "text", value: value === null ? "" : model.text(i, value) });
}

// Sliders over codings; `changed` is given them all.
export function buildSliders(place, ranges, values, changed) {
  const codings = [...values];
  const shown = codings.map((_, i) => i)
    .sort((a, b) => (ranges.high[b] - ranges.low[b]) - (ranges.high[a] - ranges.low[a]))
    .slice(0, MOST_SLIDERS).sort((a, b) => a - b);
  const rows = shown.map((i) => {
    const [low, high] = [Math.min(ranges.low[i], values[i]), Math.max(ranges.high[i], values[i])];
    const span = high - low || 1;
    const output = element("output", { textContent: short(values[i]) });
    const slider = element("input", { type: "range", min: low - span / 10, max: high + span / 10, step: span / 200 });
    slider.value = values[i];
    slider.addEventListener("input", () => {
      codings[i] = Number(slider.value);
      output.textContent = short(codings[i]);
      changed([...codings]);
    });
    return element("label", {}, `coding ${i + 1}`, slider, output);
  });
  const more = codings.length - shown.length;
  const note = element("p", { className: "note", textContent: `the ${shown.length} that vary most of ${codings.length} codings` });
  place.replaceChildren(...rows, ...(more > 0 ? [note] : []));
}
