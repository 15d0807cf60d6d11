import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createApiClient } from "../../src/api/client.ts";
import { GantryError } from "../../src/system/errors.ts";
import { type Served, serve, until } from "./fake-backend.ts";

let served: Served;
beforeEach(async () => {
  served = await serve();
  served.backend.put("web", { app: "web" });
});
afterEach(() => served.close());

const cri = (n: number, content: string) => `2026-01-01T00:00:0${n}.5Z stdout F ${content}\n`;

describe("the client", () => {
  test("asks for everything there is", async () => {
    const { client, backend } = served;
    expect((await client.listPods({ namespace: "default", labelSelector: "app in (web)" })).items).toHaveLength(1);
    expect((await client.getPod("default", "web")).metadata.uid).toBe("uid-default-web");
    expect((await client.listEvents()).kind).toBe("EventList");
    expect(await client.problems()).toMatchObject({ held: ["folder /x: is gone"] });
    expect(await client.plan()).toMatchObject([{ type: "remove-pod" }]);
    expect(await client.daemonInfo()).toMatchObject({ pid: 1, manifests: ["/m"] });
    expect((await client.version()).gantryVersion).toBe("0.1.0");
    expect(await client.listImages()).toHaveLength(1);
    expect(await client.apply("kind: Pod", { fileName: "a b.yaml" })).toMatchObject([{ outcome: "created" }]);
    await client.deletePod("default", "web", { graceMs: 1500 });
    await client.deletePod("default", "web");
    await client.restartPod("default", "web", { container: "app" });
    await client.removeImage("docker.io/library/x:1");
    await client.importImage(Readable.from([Buffer.from("a"), Buffer.from("b")]), "localhost/x:1");
    expect(backend.calls).toEqual([
      "apply a b.yaml 9",
      "delete default/web 1500",
      "delete default/web -",
      "restart default/web app",
      "rmi docker.io/library/x:1",
    ]);
    expect(Buffer.concat(backend.imported).toString()).toBe("ab");
  });

  test("errors keep code, hint and details", async () => {
    await expect(served.client.getPod("default", "none")).rejects.toMatchObject({ code: "not-found" });
    const broken = { code: "invalid-manifest", hint: "Add it.", details: { line: 3 } };
    await expect(served.client.apply("broken")).rejects.toMatchObject(broken);
    served.backend.importFailure = new GantryError("image-invalid", "no archive", { hint: "Send a tar." });
    const big = Readable.from(Array.from({ length: 200 }, () => Buffer.alloc(64 * 1024)));
    await expect(served.client.importImage(big, "x")).rejects.toMatchObject({
      code: "image-invalid",
      hint: "Send a tar.",
    });
  });

  test("an archive that can't be read to its end is not imported", async () => {
    const broken = new Readable({ read() {} });
    broken.push(Buffer.alloc(10));
    const importing = served.client.importImage(broken, "x");
    await until(() => served.backend.imported.length > 0, "the beginning to arrive");
    broken.destroy(new Error("disk on fire"));
    await expect(importing).rejects.toThrowError(/disk on fire/);
  });

  test("the log, whole, followed, and refused", async () => {
    const { client, backend, directory } = served;
    backend.logPath = join(directory, "0.log");
    await writeFile(backend.logPath, cri(1, "one") + cri(2, "two") + cri(3, "three"));
    const log = async (options: Parameters<typeof client.podLog>[2]) =>
      text(await client.podLog("default", "web", options));
    expect(await log({})).toBe("one\ntwo\nthree\n");
    expect(await log({ tailLines: 1, timestamps: true })).toBe("2026-01-01T00:00:03.5Z three\n");
    expect(await log({ sinceTime: "2026-01-01T00:00:02Z" })).toBe("two\nthree\n");
    expect(await log({ sinceSeconds: 1 })).toBe("");
    await log({ container: "app", previous: true });
    expect(backend.calls.at(-1)).toBe("log default/web app true");
    for (const options of [
      { tailLines: -1 },
      { sinceSeconds: 1, sinceTime: "2026-01-01T00:00:02Z" },
      { sinceTime: "x" },
    ]) {
      await expect(log(options)).rejects.toMatchObject({ code: "usage" });
    }
    await expect(log({ container: "nobody" })).rejects.toMatchObject({ code: "not-found" });

    backend.logRuns = true;
    const stream = await client.podLog("default", "web", { follow: true, tailLines: 1 });
    let seen = "";
    stream.on("data", (chunk) => {
      seen += chunk;
    });
    await until(() => seen === "three\n", "the tail");
    await appendFile(backend.logPath, cri(4, "four"));
    await until(() => seen === "three\nfour\n", "a new line");
    const ended = new Promise((resolve) => stream.once("end", resolve));
    backend.logRuns = false;
    await ended;
  });

  test("without a daemon it says where it looked and what to do", async () => {
    const socketPath = join(served.directory, "none.sock");
    const client = createApiClient({ socketPath });
    const expected = { code: "daemon-unreachable", hint: expect.stringContaining(socketPath) };
    await expect(client.listPods()).rejects.toMatchObject(expected);
    await expect(client.apply("x")).rejects.toMatchObject(expected);
    await expect(client.watchPods().next()).rejects.toMatchObject(expected);
    await expect(client.importImage(Readable.from(["x"]), "x")).rejects.toMatchObject(expected);
    const request = { command: ["ls"], tty: false, stdin: false };
    await expect(client.exec("default", "web", request)).rejects.toMatchObject(expected);
  });

  test("something else at the socket is no daemon", async () => {
    const directory = await mkdtemp(join(tmpdir(), "gantry-api-"));
    const socketPath = join(directory, "s");
    const answers = ["<html>", "null", '{"kind":"Nothing"}'];
    const other = createServer((request, response) => {
      if (request.url === "/version") response.destroy();
      else response.writeHead(request.url?.includes("problems") ? 500 : 200).end(answers[0]);
    });
    await new Promise<void>((resolve) => other.listen(socketPath, resolve));
    try {
      const client = createApiClient({ socketPath });
      await expect(client.listPods()).rejects.toMatchObject({ code: "internal" });
      await expect(client.problems()).rejects.toMatchObject({
        code: "internal",
        message: expect.stringContaining("500"),
      });
      await expect(client.version()).rejects.toMatchObject({ code: "daemon-unreachable" });
      await expect(client.watchPods().next()).rejects.toMatchObject({ code: "internal" });
    } finally {
      other.closeAllConnections();
      await new Promise((resolve) => other.close(resolve));
      await rm(directory, { recursive: true });
    }
  });
});
