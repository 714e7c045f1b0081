// Reads a CSV: commas, semicolons, tabs or bars, quotes, decimal commas, with or without a header.

export const MOST_ROWS = 50000;

// The lines of a text as lists of cells, each with the number of its line.
export function parse(text) {
  const source = text.replace(/^\uFEFF/, "");
  const delimiter = delimiterOf(source);
  const lines = [];
  let cells = [], cell = "", quoted = false, line = 1, begun = 1;
  const endCell = () => { cells.push(cell); cell = ""; };
  const endLine = () => {
    endCell();
    if (cells.length > 1 || cells[0].trim()) lines.push({ number: begun, cells });
    cells = [];
  };
  for (let i = 0; i < source.length; i++) {
    const one = source[i];
    if (one === "\n") line++;
    if (quoted) {
      if (one !== '"') cell += one;
      else if (source[i + 1] === '"') { cell += '"'; i++; }
      else quoted = false;
    } else if (one === '"' && !cell.trim()) { cell = ""; quoted = true; }
    else if (one === delimiter) endCell();
    else if (one === "\n" || one === "\r") {
      if (one === "\r" && source[i + 1] === "\n") { i++; line++; }
      endLine();
      begun = line;
    } else cell += one;
    if (lines.length > MOST_ROWS + 1) break;
  }
  if (quoted) throw new Error(`line ${begun} must end its quotes. Received: a quote that is left open`);
  if (cell || cells.length) endLine();
  return { lines, delimiter };
}

// Cells of the first line.
export function widthOf(text) {
  const { lines } = parse(text.slice(0, 1 << 20).split("\n", 1)[0]);
  return lines.length ? lines[0].cells.length : 0;
}

function delimiterOf(source) {
  const first = source.slice(0, 20000).split(/\r?\n/, 1)[0].replace(/"[^"]*"/g, "");
  const count = (one) => first.split(one).length;
  return [",", ";", "\t", "|"].reduce((best, one) => (count(one) > count(best) ? one : best));
}

// What stands for a missing cell, as in files that the command reads.
const MISSING = ["", "na", "n/a", "nan", "null", "none", "#n/a"];
export const isMissing = (text) => MISSING.includes(text.trim().toLowerCase());

export function asNumber(text, delimiter = ",") {
  let plain = text.trim();
  if (delimiter === ";" && /^[-+]?\d*,\d+(e[-+]?\d+)?$/i.test(plain)) plain = plain.replace(",", ".");
  return plain === "" ? NaN : Number(plain);
}

// An apostrophe before what a spreadsheet would take for a formula is not part of a name.
function bare(name) {
  return /^'+[=+\-@\t\r]/.test(name) ? name.slice(1) : name;
}

// The rows of a text for a model: {rows, notes}; a cell is a number, or a text where it is wanted.
// `columns` are objects {name, read}, where read makes a value of a text or throws.
export function readRows(text, columns, named) {
  const { lines, delimiter } = parse(text);
  const notes = [];
  if (!lines.length) throw new Error("the file must have rows. Received: an empty file");
  const first = lines[0].cells;
  const numeric = first.every((one) => !Number.isNaN(asNumber(one, delimiter)) || !one.trim());
  let places = columns.map((_, i) => i);
  const header = !numeric || (named && columns.every((one) => first.includes(one.name)));
  if (header) {
    lines.shift();
    if (named) places = placesOf(first, columns, notes);
  }
  if (lines.length > MOST_ROWS) {
    notes.push(`Only the first ${MOST_ROWS.toLocaleString("en")} rows are read.`);
    lines.length = MOST_ROWS;
  }
  if (!lines.length) throw new Error("the file must have rows. Received: a header alone");
  const width = header && named ? first.length : columns.length;
  const rows = lines.map(({ number, cells }) => {
    if (cells.length !== width) {
      throw new Error(`line ${number} must have ${width} cells. Received: ${cells.length}`);
    }
    return columns.map((column, i) => {
      try {
        return column.read(cells[places[i]], delimiter);
      } catch (error) {
        throw new Error(`line ${number}, column ${column.name}: ${error.message}`);
      }
    });
  });
  return { rows, notes };
}

function placesOf(first, columns, notes) {
  const names = first.map((name) => {
    const plain = name.trim();
    return columns.some((one) => one.name === name) ? name : bare(plain);
  });
  const twice = names.find((name, i) => names.indexOf(name) !== i && columns.some((c) => c.name === name));
  if (twice !== undefined) throw new Error(`columns must have different names. Received: two of ${twice}`);
  const missing = columns.filter((one) => !names.includes(one.name)).map((one) => one.name);
  if (missing.length) {
    const shown = missing.slice(0, 5).join(", ") + (missing.length > 5 ? ", ..." : "");
    throw new Error(`the file must have all columns of the model. Received: none called ${shown}`);
  }
  const extra = names.filter((name) => !columns.some((one) => one.name === name));
  if (extra.length) notes.push(`Not used: ${extra.slice(0, 8).join(", ")}.`);
  return columns.map((one) => names.indexOf(one.name));
}
