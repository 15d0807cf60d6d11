/** A process with nothing but the API server and pods that are only told about; changes one for each message. */
import { readFileSync } from "node:fs";
import { createApiServer } from "../../src/api/server.ts";
import { keepMemorySmall } from "../../src/daemon/idle-memory.ts";
import { systemClock } from "../../src/system/clock.ts";
import { silentLogger } from "../../src/system/log.ts";
import { FakeBackend } from "../api/fake-backend.ts";

const [socketPath = "", dir = ""] = process.argv.slice(2);
const PODS = 500;
/** As many bytes as a real pod's status has, with its conditions and containers. */
const FILLING = { "bench/filling": "x".repeat(2000) };

const backend = new FakeBackend();
for (let count = 0; count < PODS; count += 1) {
  const pod = backend.put(`pod-${count}`);
  const metadata = { ...pod.metadata, annotations: FILLING };
  backend.podList.set(pod.metadata.uid, { ...pod, metadata });
}
// As in the daemon: what a burst has left is collected.
const memory = keepMemorySmall(systemClock);
const secure = { host: "127.0.0.1", port: 0, dir, onStream: () => memory.busy() };
const server = createApiServer({ backend, socketPath, log: silentLogger(), secure });
await server.start();
process.on("message", (message) => {
  if (message === "change") backend.put("pod-0");
  else if (message === "memory") {
    const rss = Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) / 1024;
    process.send?.({ rss });
  } else process.exit(0);
});
process.send?.({ port: server.securePort });
