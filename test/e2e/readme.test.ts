import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { testHost } from "./harness.ts";

/**
 * The lines of README.md that call gantry, in their order, against one daemon with the pods that its reader has
 * running: each works as it stands there. Left out are those that go on until Ctrl-C, that need a terminal, Docker or a
 * registry, and
 * the installation (package.test.ts).
 */
const ENDLESS = / -w\b| logs -f | -it |gantry attach |docker |npm install|image rm|image pull/;

/** What puts something into the root that the lines after it need. */
const CONFIGURES = / \.gantry\/etc\//;

function readmeLines(): string[] {
  const blocks = [...readFileSync("README.md", "utf8").matchAll(/^```sh\n(.*?)^```/gms)].map(
    ([, block]) => block ?? "",
  );
  return blocks
    .flatMap((block) => block.split("\n"))
    .map((line) => line.replace(/ +# .*$/, "").replace("npm run -s gantry --", "gantry"))
    .filter((line) => (/(^|\| )gantry /.test(line) || CONFIGURES.test(line)) && !ENDLESS.test(line))
    .map((line) => line.replaceAll(" .gantry/", ' "$GANTRY_ROOT"/'));
}

test("every line of README.md works when pasted", async () => {
  await using host = testHost();
  await host.startDaemon();
  host.write("hello.yaml", readFileSync("manifests/hello.yaml", "utf8").replace("hostPort: 8080", "hostPort: 18082"));
  host.write(
    "hello-vm.yaml",
    readFileSync("manifests/hello-vm.yaml", "utf8").replace("hostPort: 8090", "hostPort: 18092"),
  );
  host.write("multi-container.yaml", readFileSync("examples/multi-container.yaml", "utf8"));
  host.write("projected.yaml", readFileSync("examples/projected.yaml", "utf8"));
  await host.waitReady("hello");
  await host.waitReady("hello-vm");
  const lines = readmeLines();
  expect(lines.length).toBeGreaterThan(15);
  for (const line of lines) {
    const script = `gantry() { "$NODE" src/cli/main.ts "$@"; }\n${line}`;
    const env = { PATH: process.env["PATH"], HOME: host.directory, GANTRY_ROOT: host.root, NODE: process.execPath };
    const { status, stdout, stderr } = spawnSync("sh", ["-c", script], { env, encoding: "utf8", timeout: 60_000 });
    // The one that shows what a mistake looks like.
    const expected = line.includes("imaeg") ? 1 : 0;
    expect({ line, status, output: status === expected ? "" : stdout + stderr }).toEqual({
      line,
      status: expected,
      output: "",
    });
  }
});
