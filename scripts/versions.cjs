// Prints docs/tables.md from what the matrix of table shapes wrote: a file a version of PostgreSQL, a line a shape.
"use strict";
const fs = require("fs");
const path = require("path");

const folder = process.argv[2];
const byNumber = (a, b) => a.localeCompare(b, "en", { numeric: true });
const versions = fs.readdirSync(folder).sort(byNumber);
const kinds = new Map();
for (const version of versions) {
    for (const line of fs.readFileSync(path.join(folder, version), "utf8").trim().split("\n")) {
        const [kind, name, outcome, result] = line.split("\t");
        const shapes = kinds.get(kind) ?? new Map();
        const shape = shapes.get(name) ?? { outcome, results: new Map() };
        shape.results.set(version, result);
        kinds.set(kind, shapes.set(name, shape));
    }
}
const row = (cells) => `| ${cells.join(" | ")} |`;
const count = [...kinds.values()].reduce((sum, shapes) => sum + shapes.size, 0);
const lines = [
    "# Tables",
    "",
    "Which tables datasync writes. `make versions` tried every shape of this list on each of these versions of PostgreSQL and",
    "wrote this page. On each shape that works it ran `check-db`, a first load, a run without a change (in which no row was",
    "touched), a dry run and a run with changed and new records (whose figures were the same), and a run with one record that",
    "the table refuses: it became a rejection, and the others were written.",
    "",
    "A shape that is refused is named by `check-db`, and by `sync` before anything is fetched, with what to do. `yes` means that",
    "what the second column says was seen on that version.",
    "",
    `${count} shapes, PostgreSQL ${versions.join(", ")}.`,
];
for (const kind of [...kinds.keys()].sort()) {
    const head = ["Shape", "What becomes of it", ...versions.map((version) => version.split(".")[0])];
    lines.push("", `## ${kind}`, "", row(head), row(head.map(() => "---")));
    for (const [name, { outcome, results }] of kinds.get(kind)) {
        lines.push(row([name, outcome, ...versions.map((version) => results.get(version) ?? "not run")]));
    }
}
process.stdout.write(lines.join("\n") + "\n");
