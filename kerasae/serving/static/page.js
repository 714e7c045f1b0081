// The page: models, rows, scores, one row, codings, samples.

import { Model, models, short } from "./api.js";
import { MOST_ROWS, readRows, widthOf } from "./csv.js";
import { element, histogram, image, scaleOf } from "./draw.js";
import { isPicture, pixelsOf, whiteOf } from "./pictures.js";
import { buildForm, buildSliders, comparison, explanation, explanationTable, facts, rowView } from "./views.js";

const MOST_SHOWN = 200, SAMPLES = 12;
const at = (id) => document.getElementById(id);
const state = { model: null, rows: [], labels: null, scores: [], pValues: null, threshold: 0, scale: null, chosen: null, turn: 0 };

function say(text, wrong = false) {
  at("status").textContent = text;
  at("status").className = wrong ? "error" : "";
}

const fail = (error) => say(error.message, true);

function guarded(work) {
  return async (...given) => {
    try { await work(...given); } catch (error) { fail(error); }
  };
}

// Models -----------------------------------------------------------------------------------------

async function start() {
  const served = await models();
  if (!served.length) { say("No model is served yet. Try kerasae train, then load this page again."); return; }
  at("model").replaceChildren(...served.map(({ name, version }) =>
    element("option", { value: JSON.stringify([name, version]), textContent: `${name}, version ${version}` })));
  at("model").onchange = guarded(choose);
  await choose();
}

async function choose() {
  const [name, version] = JSON.parse(at("model").value);
  say(`Loading ${name}.`);
  for (const id of ["scores", "row", "codings", "samples"]) at(id).hidden = true;
  const model = await Model.load(name, version);
  Object.assign(state, { model, rows: [], scores: [], pValues: null, chosen: null });
  at("report").hidden = !model.hasReport;
  at("report").href = `/page/models/${encodeURIComponent(name)}/versions/${version}/report`;
  document.title = `${name}, kerasae`;
  document.querySelector("main").hidden = false;
  at("rows").hidden = !model.isServed;
  about(model);
  at("notes").textContent = "";
  at("form").replaceChildren();
  if (!model.isServed) { say(`${name} is not an autoencoder of kerasae; its API works as usual.`); return; }
  const columns = model.names && model.names.length === model.width
    ? "Columns are matched by their names." : `A row has ${model.width} values, in the order of the training.`;
  at("wanted").textContent = model.imageShape ? "Or images: they are resized."
    : model.channels ? "One row a step: windows are cut from it." : columns;
  buildForm(at("form"), model, guarded((row) => score([row], "the form")), fail);
  buildExamples(model);
  showCodings();
  at("samples").hidden = !model.has("generate");
  at("drawn").replaceChildren();
  say(`${name}, version ${version}, is ready.`);
}

function about(model) {
  const { manifest } = model;
  const metrics = manifest.metrics || {};
  facts(at("about"), [
    ["version", model.version],
    ["made", manifest.created && manifest.created.slice(0, 10)],
    ["values a row", model.isServed ? model.width.toLocaleString("en") : null],
    ["codings", manifest.codings],
    ["test error", metrics.test_mse === undefined ? null : short(metrics.test_mse)],
    ["PCA's", metrics.pca_test_mse === undefined ? null : short(metrics.pca_test_mse)],
    ["threshold", typeof manifest.threshold === "number" ? short(manifest.threshold) : null],
    ["signatures", Object.keys(model.signatures).length],
  ]);
}

function buildExamples(model) {
  const examples = model.facts.examples || [];
  at("examples").hidden = !examples.length;
  const place = at("examples").querySelector(".buttons");
  const flat = examples.map((one) => model.cells(one.flat(Infinity)));
  place.replaceChildren(...flat.map((row, i) => {
    const button = element("button", { type: "button", onclick: guarded(() => score([row], `the test data, number ${i},`)) });
    if (model.imageShape) button.append(image(row, model.imageShape, [Math.min(...row), Math.max(...row)], `row ${i}`));
    else button.append(`row ${i}`);
    return button;
  }), element("button", { type: "button", textContent: "all of them", onclick: guarded(() => score(flat, "the test data")) }));
}

// Rows -------------------------------------------------------------------------------------------

async function take(files) {
  const { model } = state;
  const file = [...files].find((one) => one.size > model.maxBody) || files[0];
  if (file.size > model.maxBody) {
    throw new Error(`a file must have at most ${short(model.maxBody / 2 ** 20)} MiB. Received: ${short(file.size / 2 ** 20)} MiB`);
  }
  // What was scored before is not of this file.
  for (const id of ["scores", "row"]) at(id).hidden = true;
  at("notes").textContent = "";
  say(`Reading ${file.name}.`);
  if ([...files].every(isPicture)) { await takePictures([...files]); return; }
  const bytes = await file.arrayBuffer();
  const { text, notes } = decoded(bytes);
  if (model.channels && widthOf(text) !== model.width) {
    const { rows: steps, notes: more } = readRows(text, model.channels, Boolean(model.names));
    const { rows, labels } = windowsOf(steps, model.rowShape[0]);
    await score(rows, file.name, [...notes, ...more], labels);
    return;
  }
  const named = Boolean(model.names && model.names.length === model.width);
  const read = readRows(text, model.columns, named);
  await score(read.rows, file.name, [...notes, ...read.notes]);
}

// Windows of a series one after the other, the last one up to its end.
function windowsOf(steps, length) {
  if (steps.length < length) throw new Error(`a series must have at least ${length} steps. Received: ${steps.length}`);
  const starts = [];
  for (let first = 0; first + length <= steps.length; first += length) starts.push(first);
  if (steps.length % length) starts.push(steps.length - length);
  return {
    rows: starts.map((first) => steps.slice(first, first + length).flat()),
    labels: starts.map((first) => `steps ${first}-${first + length - 1}`),
  };
}

function decoded(bytes) {
  const [first, second] = new Uint8Array(bytes.slice(0, 2));
  const marks = { "255,254": "utf-16le", "254,255": "utf-16be" };
  const marked = marks[[first, second]];
  if (marked) return { text: new TextDecoder(marked).decode(bytes), notes: [] };
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes), notes: [] };
  } catch {
    const notes = ["The file is not UTF-8, and is read as Windows-1252."];
    return { text: new TextDecoder("windows-1252").decode(bytes), notes };
  }
}

async function takePictures(files) {
  const { model } = state;
  if (!model.imageShape) {
    throw new Error(`the file must be a CSV for this model. Received: an image, ${files[0].name}`);
  }
  if (files.length > MOST_ROWS) throw new Error(`at most ${MOST_ROWS} images are read. Received: ${files.length}`);
  if (model.imageShape.length === 2) model.imageShape = [...model.imageShape, 1]; // greys as in the files
  const white = whiteOf(model), rows = [];
  for (const file of files) rows.push(await pixelsOf(file, model.imageShape, white));
  const [height, width] = model.imageShape;
  const note = `Images are resized to ${width} x ${height} pixels, of which white is ${short(white)}.`;
  const source = files.length === 1 ? files[0].name : `${files.length} images`;
  await score(rows, source, [note], files.map((one) => one.name));
}

async function score(rows, source, notes = [], labels = null) {
  const { model } = state;
  const turn = ++state.turn;
  at("notes").textContent = notes.join(" ");
  at("progress").hidden = rows.length < 200;
  const calibrated = model.has("anomaly_score");
  const signature = calibrated ? "anomaly_score" : "reconstruction_error";
  say(`Scoring ${counted(rows.length)} of ${source}.`);
  let got;
  try {
    got = await model.predict(signature, rows, (share) => { at("progress").value = share; });
  } finally { at("progress").hidden = true; }
  if (turn !== state.turn) return;
  // JSON has no infinity: the score of a row that cannot be scored comes as a text.
  state.scores = (got.anomaly_score || got.reconstruction_error).map(Number);
  state.pValues = got.p_value || null;
  state.rows = rows;
  state.labels = labels;
  state.threshold = ownThreshold();
  state.scale = scaleOf(state.scores, state.threshold);
  at("own").hidden = typeof model.manifest.threshold !== "number";
  at("scores").hidden = false;
  showTable();
  setThreshold(state.threshold);
  await show(order()[0]);
  say(`${counted(rows.length)} of ${source} ${rows.length === 1 ? "is" : "are"} scored.`);
}

function ownThreshold() {
  const { threshold } = state.model.manifest;
  if (typeof threshold === "number") return threshold;
  const sorted = [...state.scores].sort((a, b) => a - b);
  return sorted[Math.floor(0.99 * (sorted.length - 1))];
}

const counted = (n) => (n === 1 ? "1 row" : `${n.toLocaleString("en")} rows`);
const order = () => state.scores.map((_, i) => i).sort((a, b) => state.scores[b] - state.scores[a]);

function showTable() {
  const heads = ["row", "score", ...(state.pValues ? ["p-value"] : []), "flag", ""];
  at("head").replaceChildren(...heads.map((text) =>
    element("th", { textContent: text, scope: "col", className: ["flag", ""].includes(text) ? "" : "number" })));
  const shown = order().slice(0, MOST_SHOWN);
  at("shown").textContent = shown.length < state.scores.length
    ? `The ${shown.length} highest of ${state.scores.length.toLocaleString("en")} scores`
    : "All rows, the highest score first";
  at("body").replaceChildren(...shown.map((i) => {
    const button = element("button", { type: "button", textContent: "show", onclick: guarded(() => show(i, true)) });
    button.setAttribute("aria-label", `show row ${i}`);
    const cells = [state.labels ? `${i}: ${state.labels[i]}` : String(i), short(state.scores[i]), ...(state.pValues ? [short(state.pValues[i])] : [])];
    const line = element("tr", {}, ...cells.map((text) => element("td", { textContent: text, className: "number" })),
      element("td", { className: "flag" }), element("td", {}, button));
    line.dataset.row = i;
    return line;
  }));
}

function setThreshold(value) {
  state.threshold = value;
  const above = state.scores.filter((one) => one > value).length;
  const share = ((100 * above) / state.scores.length).toPrecision(3);
  at("flagged").textContent = `${above.toLocaleString("en")} of ${state.scores.length.toLocaleString("en")} rows (${Number(share)}%) are above ${short(value)}.`;
  at("threshold").value = short(value);
  at("slider").value = Math.round(1000 * state.scale.toShare(value));
  at("slider").setAttribute("aria-valuetext", `${short(value)}, ${above} rows above`);
  at("histogram").replaceChildren(histogram(state.scores, value, state.scale));
  for (const line of at("body").children) {
    const flagged = state.scores[line.dataset.row] > value;
    line.classList.toggle("flagged", flagged);
    line.querySelector(".flag").textContent = flagged ? "anomaly" : "";
  }
}

// One row ----------------------------------------------------------------------------------------

async function show(i, move = false) {
  const { model } = state;
  const row = state.rows[i];
  const outputs = await model.predict("reconstruct", [row]);
  const made = model.table ? model.table.map((one) => outputs[one.input][0])
    : [outputs.reconstruction[0]].flat(Infinity);
  const { listed, map } = await explanation(model, row, made);
  state.chosen = i;
  at("row").hidden = false;
  at("h-row").textContent = state.labels ? `Row ${i}, ${state.labels[i]}` : `Row ${i}`;
  const p = state.pValues ? `, p-value ${short(state.pValues[i])}` : "";
  at("why").textContent = `Score ${short(state.scores[i])}${p}.`;
  explanationTable(at("explained"), model, listed);
  at("reconstruction").replaceChildren(comparison(model, row, made, map));
  at("of-row").hidden = false;
  if (move) at("h-row").focus();
}

// Codings and samples ----------------------------------------------------------------------------

function showCodings(values) {
  const { model } = state;
  const ranges = codingRanges(model, values);
  at("codings").hidden = !model.has("decode") || !ranges;
  at("of-row").hidden = state.chosen === null;
  if (at("codings").hidden) return;
  const start = values || ranges.typical;
  buildSliders(at("sliders"), ranges, start, decodeSoon);
  guarded(decode)(start);
}

// Those of the test data; where the version has none, from -2 to 2.
function codingRanges(model, values) {
  const kept = model.facts.codings;
  if (kept && kept.low) return kept;
  const shape = (model.has("decode") && model.signatures.decode.inputs.codings.tensor_shape.dim) || [];
  const count = values ? values.length : shape.slice(1).reduce((a, one) => a * Number(one.size), 1);
  if (!(count > 0 && count <= 4096)) return null;
  const fill = (v) => new Array(count).fill(v);
  return { low: fill(-2), typical: fill(0), high: fill(2) };
}

let waiting = null;
function decodeSoon(codings) {
  clearTimeout(waiting);
  waiting = setTimeout(() => guarded(decode)(codings), 60);
}

async function decode(codings) {
  const { model } = state;
  const { reconstruction } = await model.predict("decode", [codings]);
  const row = model.cells([reconstruction[0]].flat(Infinity));
  if (model === state.model) at("decoded").replaceChildren(rowView(model, row, "what the decoder makes of the codings"));
}

async function codingsOfRow() {
  const got = await state.model.predict("encode", [state.rows[state.chosen]]);
  showCodings(got.codings[0].flat(Infinity));
}

async function sample() {
  const { model } = state;
  const first = Math.max(0, Math.min(2e9, Math.floor(Number(at("seed").value) || 0)));
  const seeds = Array.from({ length: SAMPLES }, (_, i) => first + i);
  const { reconstruction } = await model.predict("generate", seeds);
  const rows = reconstruction.map((one) => model.cells([one].flat(Infinity)));
  at("drawn").replaceChildren(element("div", { className: "pictures" }, ...rows.map((row, i) =>
    element("figure", {}, rowView(model, row, `sample ${seeds[i]}`), element("figcaption", { textContent: `seed ${seeds[i]}` })))));
  at("seed").value = first + SAMPLES;
}

// Events -----------------------------------------------------------------------------------------

at("file").onchange = guarded(async () => {
  const files = [...at("file").files];
  at("file").value = "";  // so that the same file can be chosen again
  if (files.length) await take(files);
});
const drop = at("drop");
for (const kind of ["dragenter", "dragover"]) {
  drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", guarded(async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const files = [...event.dataTransfer.files];
  if (files.length) await take(files);
}));
at("slider").oninput = () => setThreshold(state.scale.toScore(Number(at("slider").value) / 1000));
at("threshold").onchange = () => {
  const value = Number(at("threshold").value);
  if (Number.isFinite(value)) setThreshold(value);
};
at("own").onclick = () => setThreshold(ownThreshold());
at("of-row").onclick = guarded(codingsOfRow);
at("usual").onclick = guarded(async () => showCodings());
at("sample").onclick = guarded(sample);

guarded(start)();
