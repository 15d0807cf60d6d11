import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createImageStore, SAMPLE_IMAGE } from "../../src/image/index.ts";
import { readySampleImage } from "../../src/setup/sample.ts";
import { systemClock } from "../../src/system/clock.ts";
import { silentLogger } from "../../src/system/log.ts";
import { TestHost } from "../e2e/harness/host.ts";
import { readyCgroups } from "../setup/cgroups.ts";
import { BOOT_CACHE } from "../support/boot-cache.ts";
import { benchApi } from "./api.ts";
import { BarePod } from "./bare.ts";
import { FIRST_PORT } from "./context.ts";
import { type Figure, formatFigures, isWithin } from "./figures.ts";
import { benchGit } from "./git.ts";
import { benchIdle } from "./idle.ts";
import { benchMany } from "./many.ts";
import { benchMicrovm } from "./microvm/index.ts";
import { Podman } from "./podman.ts";
import { benchPull } from "./pull.ts";
import { benchStart } from "./start.ts";
import { PodWatch } from "./watch.ts";

/**
 * npm run bench: speed and memory of the built package, each number beside its limit. Ratios compare medians of one run.
 * On a busy machine everything takes longer; the ratios, and the notes about the fastest, tell more then.
 */
const HELP = `npm run bench -- [options]
  --json FILE      write the figures as JSON, too
  --runs N         how often single things are measured (default 20)
  --only PARTS     some of start,pull,many,git,microvm,idle,api (many needs start)
  --manifests N    manifests of the full comparison (default 1000)
  --strict         exit with 1 when a figure is over its limit`;

const CHECKOUT = fileURLToPath(new URL("../..", import.meta.url));
const PARTS = ["start", "pull", "many", "git", "microvm", "idle", "api"];

const { values } = parseArgs({
  options: {
    json: { type: "string" },
    runs: { type: "string", default: "20" },
    only: { type: "string", default: PARTS.join(",") },
    manifests: { type: "string", default: "1000" },
    strict: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

const say = (line: string): void => console.error(line);

async function main(): Promise<number> {
  const runs = Number(values.runs);
  const manifests = Number(values.manifests);
  const parts = values.only.split(",");
  if (values.help || !(runs >= 1) || !(manifests >= 50) || parts.some((part) => !PARTS.includes(part))) {
    console.error(HELP);
    return values.help ? 0 : 2;
  }
  const undo = readyCgroups();
  try {
    const figures = await measure(new Set(parts), runs, manifests);
    console.log(formatFigures(figures));
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report(figures), undefined, 2)}\n`);
    return values.strict && figures.some((figure) => isWithin(figure) === false) ? 1 : 0;
  } finally {
    undo();
  }
}

async function measure(parts: ReadonlySet<string>, runs: number, manifests: number): Promise<Figure[]> {
  say("building the package");
  execFileSync("npm", ["run", "--silent", "build"], { cwd: CHECKOUT, stdio: ["ignore", "ignore", "inherit"] });
  await using host = new TestHost({
    launcher: join(CHECKOUT, "dist", "cli", "gantry"),
    vm: { boot: BOOT_CACHE },
    standby: 1, // as by default
  });
  await readySampleImage(host.root, say);
  const store = createImageStore({ paths: host.paths, log: silentLogger(), clock: systemClock });
  const image = await store.resolve(SAMPLE_IMAGE);
  if (image === undefined) throw new Error(`${SAMPLE_IMAGE} is not in the store`);
  const rootfs = await store.rootfs(image.digest, new AbortController().signal);
  const bare = new BarePod(join(host.directory, "bare"), rootfs, FIRST_PORT);
  const podman = parts.has("start") || parts.has("microvm") ? Podman.open(rootfs, SAMPLE_IMAGE, say) : undefined;
  await host.startDaemon({ env: { GANTRY_LOG_LEVEL: "debug" } });
  const watch = await PodWatch.open(host.paths.socket);
  const bench = { host, watch, runs, say };
  try {
    const figures: Figure[] = [];
    if (parts.has("start")) figures.push(...(await benchStart(bench, bare, podman)));
    const single = figures.find(({ id }) => id === "start.ready");
    if (parts.has("pull")) figures.push(...(await benchPull(bench)));
    if (parts.has("many") && single !== undefined) figures.push(...(await benchMany(bench, single.value)));
    if (parts.has("git")) figures.push(...(await benchGit(bench)));
    if (parts.has("microvm")) figures.push(...(await benchMicrovm(bench, podman)));
    if (parts.has("api")) figures.push(...(await benchApi(bench)));
    if (parts.has("idle")) figures.push(...(await benchIdle(bench, { manifests })));
    return figures;
  } finally {
    watch.close();
    bare.dispose();
    podman?.dispose();
  }
}

function report(figures: readonly Figure[]): object {
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, kernel: release(), node: process.version };
  return {
    at: new Date().toISOString(),
    machine,
    figures: figures.map((figure) => ({ ...figure, within: isWithin(figure) })),
  };
}

/** What went wrong first, where cleaning up failed as well. */
function rootOf(error: unknown): unknown {
  return error instanceof SuppressedError ? rootOf(error.suppressed) : error;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(rootOf(error));
  process.exitCode = 1;
}
