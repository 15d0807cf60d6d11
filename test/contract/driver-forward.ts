import { randomBytes } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { type Bench, until } from "./harness.ts";

/** Connections to what listens on the pod's own loopback address. */
export function forwarding(bench: Bench): void {
  const { signal } = bench;
  const PORT = 8123;
  const echoing = async (): Promise<string> => {
    const { id } = await bench.sandbox();
    await bench.start(id, { does: "echo", port: PORT });
    await until("it listens", async () => {
      const first = await bench.driver.forwardPort(id, PORT, signal).catch(() => undefined);
      first?.destroy();
      return first !== undefined;
    });
    return id;
  };

  test("passes data both ways, whole, and the end of what the client sends", async () => {
    const id = await echoing();
    const data = randomBytes(3_000_000);
    const connections = await Promise.all([1, 2, 3].map(() => bench.driver.forwardPort(id, PORT, signal)));
    const answers = connections.map((connection) => buffer(connection));
    for (const connection of connections) connection.end(data);
    for (const answer of answers) expect((await answer).equals(data)).toBe(true);
  });

  test("a client that goes away half way leaves nothing behind", async () => {
    const id = await echoing();
    const connection = await bench.driver.forwardPort(id, PORT, signal);
    connection.on("error", () => {});
    connection.write(Buffer.alloc(4_000_000));
    connection.destroy();
    const next = await bench.driver.forwardPort(id, PORT, signal);
    const answer = buffer(next);
    next.end("again");
    expect(String(await answer)).toBe("again");
  });

  test("a port that nothing listens on, and a sandbox that does not run", async () => {
    const { id } = await bench.sandbox();
    await bench.start(id, { does: "run" });
    const refused = await bench.driver.forwardPort(id, PORT, signal).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "network-failed", message: expect.stringContaining(`port ${PORT}`) });
    await bench.driver.stopSandbox(id, signal);
    await expect(bench.driver.forwardPort(id, PORT, signal)).rejects.toMatchObject({ code: "conflict" });
    await expect(bench.driver.forwardPort("none", PORT, signal)).rejects.toMatchObject({ code: "not-found" });
  });
}
