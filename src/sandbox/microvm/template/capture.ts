import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { GantryError } from "../../../system/errors.ts";
import { STATE_FD, VIEW } from "../qemu/args.ts";
import type { Qmp } from "../qemu/qmp.ts";

/** Far more than the devices of a VM have to say; its memory is not among it. */
const MAX_STATE_BYTES = 64 << 20;
const POLL_MS = 1;

/** The guest's memory stays where it is, in its file: only the state of CPUs and devices is sent. */
const CAPABILITIES = { capabilities: [{ capability: "x-ignore-shared", state: true }] };

const migration = z.object({ status: z.string().optional(), "error-desc": z.string().optional() });

/** Where a VM's state will be sent to. */
export interface StateReceiver {
  readonly state: Promise<Buffer>;
  close(): void;
}

/** Listens at `socket`, before QEMU starts: what is there then can be mounted in its view. */
export async function receiveState(socket: string): Promise<StateReceiver> {
  const server = createServer({ allowHalfOpen: false });
  server.listen({ path: socket, writableAll: true }); // only QEMU can reach it, which is not root
  await once(server, "listening");
  const state = Promise.withResolvers<Buffer>();
  state.promise.catch(() => {});
  server.once("connection", (connection) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    connection.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_STATE_BYTES) connection.destroy();
      else chunks.push(chunk);
    });
    connection.on("close", () => state.resolve(Buffer.concat(chunks)));
    connection.on("error", state.reject);
  });
  return { state: state.promise, close: () => server.close() };
}

/** Stops a VM for good and writes the state of its devices to `file`. @throws GantryError runtime-failed */
export async function captureState(qmp: Qmp, receiver: StateReceiver, file: string): Promise<void> {
  await qmp.run("stop");
  await qmp.run("migrate-set-capabilities", CAPABILITIES);
  await qmp.run("migrate", { uri: `unix:${VIEW.state}` });
  const bytes = await receiver.state;
  await finished(qmp);
  await writeFile(file, bytes, { mode: 0o600 });
}

/** Gives a QEMU that waits for it the state in STATE_FD, and lets it go. @throws GantryError runtime-failed */
export async function restoreState(qmp: Qmp): Promise<void> {
  await qmp.run("migrate-set-capabilities", CAPABILITIES);
  await qmp.run("migrate-incoming", { uri: `fd:${STATE_FD}` });
  await finished(qmp);
  await qmp.run("cont");
}

async function finished(qmp: Qmp): Promise<void> {
  for (;;) {
    const { status, "error-desc": reason } = migration.parse(await qmp.run("query-migrate"));
    if (status === "completed") return;
    if (status === "failed" || status === "cancelled") {
      throw new GantryError("runtime-failed", `the state of a template was lost: ${reason ?? status}`, {
        kind: "system",
      });
    }
    await sleep(POLL_MS);
  }
}
