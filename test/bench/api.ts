import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { connect as connectPlain, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:tls";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { createCredential } from "../../src/api/access/credentials.ts";
import type { Bench } from "./context.ts";
import type { Figure } from "./figures.ts";
import { median } from "./stats.ts";

const WATCHES = 1000;
const Ready = z.object({ port: z.number() });
const Memory = z.object({ rss: z.number() });

/** The API server by itself: a list of 500 pods, how soon a watch hears of a change, and what idle watches cost. */
export async function benchApi({ runs, say }: Pick<Bench, "runs" | "say">): Promise<Figure[]> {
  const directory = mkdtempSync(join(tmpdir(), "gantry-bench-"));
  const [socketPath, keys] = [join(directory, "s"), join(directory, "keys")];
  const server = fork(fileURLToPath(new URL("api-server.ts", import.meta.url)), [socketPath, keys], {
    execArgv: ["--max-semi-space-size=1", "--optimize-for-size"],
  });
  const sockets: Socket[] = [];
  try {
    const { port } = Ready.parse(await heard(server));
    const wanted = { name: "bench", role: "admin", kind: "token", days: 1, now: Date.now() } as const;
    const { secret, authority } = await createCredential(keys, wanted);
    if (secret.kind !== "token") throw new Error("no token was made");
    const lists: number[] = [];
    for (let count = 0; count < runs + 3; count += 1) lists.push(await listMs(socketPath));
    const watch = (): Promise<Socket> =>
      openWatch(() => connect({ port, host: "127.0.0.1", ca: authority }), "secureConnect", secret.token);
    const localWatch = (): Promise<Socket> => openWatch(() => connectPlain(socketPath), "connect", secret.token);
    const first = await watch();
    sockets.push(first);
    await sleep(200); // what was there already has come
    const deliveries: number[] = [];
    for (let count = 0; count < runs; count += 1) {
      const begun = performance.now();
      server.send("change");
      await once(first, "data");
      deliveries.push(performance.now() - begun);
    }
    say(`list ${median(lists).toFixed(1)} ms, watch ${median(deliveries).toFixed(1)} ms`);
    const more = await memoryFor(server, watch, sockets);
    for (const socket of sockets.splice(0)) socket.destroy();
    const moreLocal = await memoryFor(server, localWatch, sockets);
    const limit = (value: number) => ({ at: "most", value }) as const;
    return [
      {
        ...{ id: "api.list", what: "list of 500 pods", value: median(lists.slice(3)), unit: "ms", limit: limit(30) },
        note: `median of ${runs}, until its last byte is here`,
      },
      {
        ...{ id: "api.watch", what: "from a change to the watch", value: median(deliveries), unit: "ms" },
        ...{ limit: limit(10), note: `median of ${runs}, over TLS` },
      },
      {
        ...{ id: "api.watches", what: `${WATCHES} watches`, value: more, unit: "MiB", limit: limit(150) },
        note: "more RSS, over TLS, after each has been sent 500 pods",
      },
      {
        ...{ id: "api.watches.unix", what: `${WATCHES} watches`, value: moreLocal, unit: "MiB", limit: limit(150) },
        note: "the same over the unix socket, beyond what was left of those over TLS",
      },
    ];
  } finally {
    for (const socket of sockets) socket.destroy();
    server.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  }
}

async function heard(server: ChildProcess): Promise<unknown> {
  const [message] = await once(server, "message");
  return message;
}

/** How much more the server has once 1,000 watches have got all there is. MiB */
async function memoryFor(server: ChildProcess, watch: () => Promise<Socket>, sockets: Socket[]): Promise<number> {
  await sleep(8000); // the daemon collects garbage 5 s after a burst
  const before = await memoryOf(server);
  while (sockets.length < WATCHES) sockets.push(...(await Promise.all(Array.from({ length: 50 }, watch))));
  await sleep(8000);
  return (await memoryOf(server)) - before;
}

async function memoryOf(server: ChildProcess): Promise<number> {
  server.send("memory");
  return Memory.parse(await heard(server)).rss;
}

function listMs(socketPath: string): Promise<number> {
  const begun = performance.now();
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path: "/api/v1/pods", agent: false }, (response) => {
      response.on("end", () => resolve(performance.now() - begun)).resume();
    });
    sent.on("error", reject).end();
  });
}

/** One that has got all pods, and then waits. */
function openWatch(dial: () => Socket, ready: string, token: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = dial();
    socket.once(ready, () => {
      socket.write(`GET /api/v1/pods?watch=true HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\n\r\n`);
    });
    socket.once("error", reject);
    socket.once("data", () => resolve(socket));
    socket.on("error", () => {});
    socket.resume();
  });
}
