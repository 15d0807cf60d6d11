import { createHmac } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { defaultConfig } from "../../src/config/defaults.ts";
import { createNotifier, type SyncResult } from "../../src/notify/index.ts";
import { systemClock } from "../../src/system/clock.ts";
import { layout } from "../../src/system/paths.ts";

interface Delivery {
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

let scratch: string;
let server: Server;
let url: string;
let deliveries: Delivery[];
/** The statuses to answer with, one after the other; then 200. */
let answers: number[];
let warnings: string[];

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "gantry-notify-"));
  [deliveries, answers, warnings] = [[], [], []];
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      deliveries.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
      response.writeHead(answers.shift() ?? 200).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}/services/T0K3N`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(scratch, { recursive: true, force: true });
});

/** Waits as long as the real one is told to, but a thousandth of it. */
const quick = { ...systemClock, setTimeout: (fn: () => void, ms: number) => systemClock.setTimeout(fn, ms / 1000) };
const notifier = (settings: object) =>
  createNotifier({
    settings: { ...defaultConfig(layout()).notify, ...settings },
    node: "n1",
    clock: quick,
    log: { warn: (_facts: unknown, text?: unknown) => void warnings.push(String(text)) },
  });
const result: SyncResult = {
  source: "pods",
  outcome: "failed",
  revision: "abc",
  running: "def",
  url: "https://bot:hunter2@git.example.com/pods.git",
  message: "could not read https://bot:hunter2@git.example.com/pods.git",
  at: 0,
};

test("a webhook gets signed JSON without passwords, again after an error, and the same delivery", async () => {
  const secretFile = join(scratch, "secret");
  await writeFile(secretFile, "s3cret\n", { mode: 0o600 });
  answers = [503, 429];
  const { notify, settled } = notifier({ url, secretFile });
  notify(result);
  await settled();
  expect(deliveries).toHaveLength(3);
  expect(new Set(deliveries.map(({ headers }) => headers["x-gantry-delivery"])).size).toBe(1);
  const [{ headers, body }] = deliveries as [Delivery];
  expect(headers["x-hub-signature-256"]).toBe(`sha256=${createHmac("sha256", "s3cret").update(body).digest("hex")}`);
  expect(body).not.toContain("hunter2");
  expect(JSON.parse(body)).toMatchObject({
    version: 1,
    node: "n1",
    source: "pods",
    outcome: "failed",
    success: false,
    revision: "abc",
    running: "def",
    url: "https://git.example.com/pods.git",
    time: "1970-01-01T00:00:00.000Z",
  });
  expect(warnings).toEqual([]);
});

test("a receiver that refuses is not asked again, one that is away only so often, and neither's URL is logged", async () => {
  answers = [404];
  const first = notifier({ url });
  first.notify(result);
  await first.settled();
  expect(deliveries).toHaveLength(1);
  answers = [500, 500, 500, 500];
  const second = notifier({ url, tries: 3 });
  second.notify(result);
  await second.settled();
  expect(deliveries).toHaveLength(4);
  expect(warnings).toEqual([
    expect.stringMatching(/webhook was not told: .* answered 404/),
    expect.stringMatching(/500/),
  ]);
  expect(warnings.join()).not.toContain("T0K3N");
});

test("a secret that others may read signs nothing", async () => {
  const secretFile = join(scratch, "secret");
  await writeFile(secretFile, "s3cret\n", { mode: 0o644 });
  const { notify, settled } = notifier({ url, secretFile });
  notify(result);
  await settled();
  expect(deliveries).toEqual([]);
  expect(warnings).toEqual([expect.stringMatching(/may be read by others: chmod 600/)]);
});

test("a command gets it on stdin and in its environment; a status file has the last; failures alone where wanted", async () => {
  const out = join(scratch, "out");
  const statusDirectory = join(scratch, "status");
  const script = `{ cat; echo "$GANTRY_SYNC_SOURCE $GANTRY_SYNC_OUTCOME"; } >> ${out}`;
  const { notify, settled } = notifier({ command: ["sh", "-c", script], statusDirectory, results: "failures" });
  notify(result);
  await settled();
  notify({ ...result, outcome: "synced", message: "now abc", running: "abc" });
  await settled();
  const [body = "", line] = (await readFile(out, "utf8")).trim().split("\n");
  expect(JSON.parse(body)).toMatchObject({ source: "pods", outcome: "failed" });
  expect(line).toBe("pods failed");
  expect(JSON.parse(await readFile(join(statusDirectory, "pods.json"), "utf8"))).toMatchObject({
    success: true,
    running: "abc",
  });
  expect(warnings).toEqual([]);
});

test("a name that leads out of the folder is refused; a command that fails is told once; closing gives up", async () => {
  const { notify, settled, close } = notifier({ command: ["false"], statusDirectory: join(scratch, "status") });
  notify({ ...result, source: "../x" });
  await settled();
  expect(warnings.sort()).toEqual([
    expect.stringMatching(/command was not told: false failed with exit code 1/),
    expect.stringMatching(/status file was not told: '..\/x' is no name/),
  ]);
  await close();
  const slow = notifier({ command: ["sleep", "60"] });
  slow.notify(result);
  await slow.close();
});
