// Compiles Token.sol with the settings of solc.json and prints the runtime code in hex. See README.md.
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const read = (name) => fs.readFileSync(path.join(__dirname, name), "utf8");
const input = JSON.parse(read("solc.json"));
input.sources = { "Token.sol": { content: read("Token.sol") } };
const output = JSON.parse(solc.compile(JSON.stringify(input)));
if (output.errors) {
  console.error(output.errors.map((error) => error.formattedMessage).join("\n"));
  process.exit(1);
}
console.log(output.contracts["Token.sol"].Token.evm.deployedBytecode.object);
