// The server's API, and what is known of a model.

import { asNumber, isMissing } from "./csv.js";

export async function get(path) {
  return unpack(await fetch(path));
}

async function unpack(response) {
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error || `the server says ${response.status}`);
  return body;
}

export async function models() {
  const { models: every } = await get("/v1/models");
  const served = [];
  for (const { name, model_version_status: states } of every) {
    for (const { version, state } of states || []) {
      if (state === "AVAILABLE") served.push({ name, version });
    }
  }
  return served;
}

export class Model {
  constructor(name, version, metadata, known) {
    Object.assign(this, { name, version });
    this.path = `/v1/models/${encodeURIComponent(name)}/versions/${version}`;
    this.signatures = metadata.metadata.signature_def.signature_def;
    this.table = metadata.metadata.columns || null;
    this.manifest = known.manifest;
    this.facts = known.facts || {};
    this.hasReport = known.report;
    this.maxBody = known.max_body;
    const input = this.has("encode") && Object.values(this.signatures.encode.inputs)[0];
    this.rowShape = input && !this.table ? sizes(input) : [];
    this.width = this.table ? this.table.length : this.rowShape.reduce((a, b) => a * b, 1);
    const shape = this.facts.image_shape || (this.rowShape.length === 3 ? this.rowShape : null);
    this.imageShape = shape && shape.reduce((a, b) => a * b, 1) === this.width ? shape : null;
    this.names = this.table ? this.table.map((one) => one.column) : this.manifest.columns;
    this.columns = this.makeColumns();
    this.channels = this.rowShape.length === 2 ? this.makeChannels() : null;
  }

  static async load(name, version) {
    const quoted = encodeURIComponent(name);
    const [metadata, known] = await Promise.all([
      get(`/v1/models/${quoted}/versions/${version}/metadata`),
      get(`/page/models/${quoted}/versions/${version}`),
    ]);
    return new Model(name, version, metadata, known);
  }

  has(signature) {
    return signature in this.signatures;
  }

  get isServed() {
    return this.has("encode") && this.has("reconstruct") && this.width > 0;
  }

  makeColumns() {
    if (this.table) return this.table.map(tableColumn);
    const named = this.names && this.names.length === this.width;
    return Array.from({ length: this.width }, (_, i) => ({
      name: named ? this.names[i] : this.placeName(i),
      kind: "number",
      read: number,
    }));
  }

  // What a file has of each step of a series.
  makeChannels() {
    const count = this.rowShape[1];
    if (this.names && this.names.length !== count) this.names = null;
    return Array.from({ length: count }, (_, i) => ({ name: this.names ? this.names[i] : `channel ${i}`, read: number }));
  }

  placeName(i) {
    if (this.imageShape) {
      const channels = this.imageShape[2] || 1;
      const pixel = Math.floor(i / channels);
      return `pixel ${Math.floor(pixel / this.imageShape[1])}, ${pixel % this.imageShape[1]}`;
    }
    if (this.rowShape.length === 2) {
      const channels = this.rowShape[1];
      const names = this.names && this.names.length === channels ? this.names : null;
      return `${names ? names[i % channels] : i % channels} at step ${Math.floor(i / channels)}`;
    }
    return `column ${i}`;
  }

  // Outputs of a signature by name, each a list of one entry a row. Large inputs go in parts.
  async predict(signature, rows, progress = () => {}) {
    const outputs = Object.keys(this.signatures[signature].outputs);
    const all = Object.fromEntries(outputs.map((one) => [one, []]));
    const size = Math.max(1, Math.min(512, Math.floor(this.maxBody / (24 * this.rowBytes(rows)))));
    for (let start = 0; start < rows.length; start += size) {
      const part = rows.slice(start, start + size);
      const body = JSON.stringify({ signature_name: signature, inputs: this.inputs(signature, part) });
      const response = await unpack(await fetch(`${this.path}:predict`, { method: "POST", body }));
      const got = outputs.length === 1 ? { [outputs[0]]: response.outputs } : response.outputs;
      for (const one of outputs) all[one].push(...got[one]);
      progress(Math.min(1, (start + part.length) / rows.length));
    }
    return all;
  }

  rowBytes(rows) {
    return Math.max(1, Array.isArray(rows[0]) ? rows[0].length : 1);
  }

  inputs(signature, rows) {
    const wanted = this.signatures[signature].inputs;
    const names = Object.keys(wanted);
    if (this.table && !["decode", "generate"].includes(signature)) {
      return Object.fromEntries(
        this.table.map((one, i) => [one.input, rows.map((row) => row[i])]));
    }
    return { [names[0]]: rows.map((row) => (Array.isArray(row) ? nested(row, sizes(wanted[names[0]])) : row)) };
  }

  // Codes of a table, which the decoder gives, as cells.
  cells(codes) {
    if (!this.table) return codes.flat(Infinity);
    const origins = this.facts.origins || [];
    return codes.map((code, i) => {
      const column = this.table[i];
      if (column.levels) return column.levels[Math.round(code)] ?? "another";
      const value = code + (origins[i] || 0);
      return column.kind === "datetime" ? value * 86400 : value;
    });
  }

  text(i, value) {
    if (value === null || value === undefined || Number.isNaN(value)) return "missing";
    if (this.table && this.table[i].kind === "datetime" && typeof value === "number") {
      const date = new Date(value * 1000);
      return Number.isNaN(date.getTime()) ? String(value) : date.toISOString().slice(0, 16).replace("T", " ");
    }
    return typeof value === "number" ? short(value) : String(value);
  }
}

export function short(value) {
  if (typeof value !== "number") return String(value);
  return Number.isInteger(value) && Math.abs(value) < 1e9 ? String(value) : String(Number(value.toPrecision(4)));
}

function sizes(input) {
  return (input.tensor_shape.dim || []).slice(1).map((one) => Number(one.size));
}

function nested(flat, shape) {
  if (shape.length < 2) return shape.length ? flat : flat[0];
  const size = flat.length / shape[0];
  return Array.from({ length: shape[0] }, (_, i) =>
    nested(flat.slice(i * size, (i + 1) * size), shape.slice(1)));
}

function number(text, delimiter) {
  const value = asNumber(text, delimiter);
  if (!Number.isFinite(value)) throw new Error(`must be a number. Received: ${text.slice(0, 40) || "nothing"}`);
  return value;
}

function tableColumn(column) {
  const one = { name: column.column, kind: column.kind, levels: column.levels };
  if (column.dtype === "string") return { ...one, read: (text) => (text === "" ? null : text) };
  if (column.kind === "datetime") return { ...one, read: seconds };
  if (column.dtype === "bool") return { ...one, read: boolean };
  const read = (text, delimiter) => {
    if (isMissing(text)) return null;
    return column.kind === "boolean" ? Number(boolean(text)) : number(text, delimiter);
  };
  return { ...one, read };
}

function boolean(text) {
  const plain = text.trim().toLowerCase();
  if (["true", "1", "yes"].includes(plain)) return true;
  if (["false", "0", "no"].includes(plain)) return false;
  throw new Error(`must be true or false. Received: ${text.slice(0, 40) || "nothing"}`);
}

// Date and time by its own clock, as seconds since 1970.
function seconds(text) {
  const plain = text.trim();
  if (isMissing(plain)) return null;
  const bare = plain.replace(" ", "T").replace(/(Z|[+-]\d\d:?\d\d)$/, "");
  const value = Date.parse(/T/.test(bare) ? `${bare}Z` : `${bare}T00:00:00Z`);
  if (Number.isNaN(value)) throw new Error(`must be a date. Received: ${text.slice(0, 40)}`);
  return value / 1000;
}
