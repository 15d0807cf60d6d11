import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { expect, test } from "vitest";
import { encryptAge, newIdentity } from "../../src/secrets/index.ts";
import { WorkTree } from "../source/git/lab.ts";
import { containerOf, eventually, FOREVER, freePort, pidOf, podText, shell, testHost } from "./harness.ts";

test("a node follows a repository: push, webhook, refusal, roll-back, a remote that is gone, the end", async () => {
  await using host = testHost();
  // Its pods go with it alone: what is from Git can't be deleted.
  await using _end = { [Symbol.asyncDispose]: async () => void (await host.gantry("sync", "remove", "pods")) };
  const port = await freePort();
  const { identity, recipient } = await newIdentity();
  const key = join(host.directory, "age.key");
  writeFileSync(key, `${identity}\n`, { mode: 0o600 });
  const told = join(host.directory, "told");
  // Who wants to know is told by a webhook, too, and by a command.
  const heard: Record<string, unknown>[] = [];
  const ear = createServer((request, response) => {
    request.setEncoding("utf8");
    let body = "";
    request.on("data", (chunk: string) => (body += chunk));
    request.on("end", () => {
      heard.push(JSON.parse(body));
      response.end();
    });
  });
  await new Promise<void>((resolve) => ear.listen(0, "127.0.0.1", resolve));
  await using _ear = { [Symbol.asyncDispose]: async () => void ear.close().closeAllConnections() };
  const address = ear.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const script = join(host.directory, "tell");
  const outcomes = join(host.directory, "outcomes");
  writeFileSync(script, `#!/bin/sh\necho "$GANTRY_SYNC_SOURCE $GANTRY_SYNC_OUTCOME" >> ${outcomes}\n`, { mode: 0o755 });
  const settings = [
    `webhook.listen=127.0.0.1:${port}`,
    `secrets.age.keys=${key}`,
    `notify.statusDirectory=${told}`,
    `notify.url=http://127.0.0.1:${address.port}/`,
    `notify.command=${script}`,
    "backoff.maxSeconds=1",
    "update.settleSeconds=0",
    "reconcile.intervalSeconds=1",
  ].flatMap((one) => ["--set", one]);
  await host.startDaemon({ args: settings });
  const secret = join(host.directory, "secret");
  writeFileSync(secret, "hush\n");
  const origin = new WorkTree(join(host.directory, "origin"));
  const web = (word: string, fields = {}, annotations = {}): string => {
    const env = [{ name: "WORD", value: word }];
    const volumeMounts = [{ name: "db", mountPath: "/db" }];
    const volumes = [{ name: "db", secret: { secretName: "db" } }];
    return podText("web", [shell("app", FOREVER, { env, volumeMounts, ...fields })], { volumes }, { annotations });
  };
  const hasWord = (word: string): Promise<true | undefined> =>
    eventually(
      async () =>
        (await host.gantry("exec", "web", "--", "sh", "-c", "echo $WORD")).stdout === `${word}\n` || undefined,
      { what: `web with ${word}`, explain: () => host.explain() },
    );
  const containerId = async () => containerOf(await host.waitReady("web"), "app").containerID;
  const status = async () => JSON.parse((await host.gantry("sync", "status", "pods", "-o", "json")).stdout);
  const until = (accept: (seen: Awaited<ReturnType<typeof status>>) => boolean, what: string) =>
    eventually(async () => accept(await status()) || undefined, { what, explain: () => host.explain() });

  const password = JSON.stringify({
    ...{ apiVersion: "v1", kind: "Secret", metadata: { name: "db" } },
    stringData: { password: "pa55w0rd" },
  });
  origin.write("db.json.age", Buffer.from(await encryptAge(Buffer.from(password), [recipient])));
  origin.write("web.yaml", web("one")).commit("One");
  const added = await host.gantry("sync", "add", origin.path, "--name", "pods", "--webhook-secret-file", secret);
  expect(added).toMatchObject({ code: 0, stdout: expect.stringContaining("source/pods added: Synced") });
  await host.waitReady("web");
  await until(({ health }) => health === "Healthy", "the first revision is healthy");
  expect((await host.gantry("exec", "web", "--", "cat", "/db/password")).stdout).toBe("pa55w0rd");

  // What is from Git is changed there.
  const refused = await host.gantry("delete", "web");
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("is from the Git source pods (web.yaml)");

  // A push, told by a webhook; one with a wrong signature is not believed.
  const two = origin.write("web.yaml", web("two")).commit("Two");
  const body = '{"ref":"refs/heads/main"}';
  const post = async (key: string) => {
    const signature = `sha256=${createHmac("sha256", key).update(body).digest("hex")}`;
    const url = `http://127.0.0.1:${port}/hooks/git/pods`;
    return (await fetch(url, { method: "POST", body, headers: { "x-hub-signature-256": signature } })).status;
  };
  expect(await post("wrong")).toBe(401);
  expect(await post("hush")).toBe(202);
  await hasWord("two");
  await until(({ health, revision }) => health === "Healthy" && revision.oid === two, "the second is healthy");
  // What is killed by hand comes back, and is told.
  process.kill(pidOf(await host.waitReady("web"), "app"), "SIGKILL");
  await until(({ drift }) => drift?.message.includes("container app of pod default/web was killed by hand"), "drift");
  await host.waitReady("web");
  // What is paused by hand goes on, other limits are put back, and both are told; another setting stops no pod.
  const calm = await containerId();
  const bare = calm?.replace(/^\w+:\/\//, "") ?? "";
  const [oci = ""] = readdirSync(join(host.paths.run, "oci"));
  const byHand = (...args: string[]) => execFileSync(oci, ["--root", join(host.paths.run, "oci", oci), ...args]);
  byHand("pause", bare);
  await until(({ drift }) => drift?.message.includes("container app: it was paused by hand"), "the pause is told");
  byHand("update", "--pids-limit", "77", bare);
  await until(
    ({ drift }) => drift?.message.includes("the limit of processes was changed by hand"),
    "the limit is told",
  );
  await hasWord("two");
  expect((await host.gantry("sync", "set", "pods", "--interval", "1h", "--branch", "main")).code).toBe(0);
  expect(await status()).toMatchObject({ ref: "branch main", sync: "Synced", pods: [{ revision: two }] });
  // Nor does another path of its file.
  origin.git("mv", "web.yaml", "web-v2.yaml");
  origin.commit("Rename");
  expect((await host.gantry("sync", "now", "pods")).stdout).toContain("Rename");
  origin.git("mv", "web-v2.yaml", "web.yaml");
  const good = origin.commit("Rename it back");
  expect((await host.gantry("sync", "now", "pods")).code).toBe(0);
  await until(({ health, revision }) => health === "Healthy" && revision.oid === good, "the rename is healthy");
  expect(await containerId()).toBe(calm);

  // A broken revision changes nothing.
  origin.write("web.yaml", "kind: Pod\nspec: [\n").commit("Broken");
  const before = await containerId();
  const broken = await host.gantry("sync", "now", "pods");
  expect(broken.code).toBe(1);
  expect(broken.stderr).toContain("git:pods/web.yaml:");
  expect(await containerId()).toBe(before);
  const last = () => JSON.parse(readFileSync(join(told, "pods.json"), "utf8"));
  await eventually(() => Promise.resolve(last().outcome === "refused" || undefined), { what: "the status file" });
  expect(last()).toMatchObject({ source: "pods", state: "failure", running: good });
  const ran = () => Promise.resolve(readFileSync(outcomes, "utf8").includes("pods refused\n") || undefined);
  await eventually(ran, { what: "the command for the refusal" });
  const heardOf = (outcome: string) => heard.find((one) => one["outcome"] === outcome);
  await eventually(() => Promise.resolve(heardOf("refused")), { what: "the webhook for the refusal" });
  expect(heardOf("synced")).toMatchObject({ source: "pods", state: "success" });

  // One that does not become ready goes back.
  const never = { readinessProbe: { exec: { command: ["false"] }, periodSeconds: 1 } };
  origin.write("web.yaml", web("three", never, { "gantry.dev/progress-deadline-seconds": "2" })).commit("Never ready");
  expect((await host.gantry("sync", "now", "pods")).code).toBe(0);
  await until(({ sync, revision }) => sync === "OutOfSync" && revision.oid === good, "the roll-back");
  await hasWord("two");
  expect((await host.gantry("sync", "status", "pods")).stdout).toMatch(/RolledBack .*did not become ready/);
  await host.waitReady("web");

  // The remote is gone, and so is the daemon: what runs goes on, and is known again.
  const kept = await containerId();
  renameSync(origin.path, `${origin.path}.away`);
  await host.stopDaemon("SIGKILL");
  await host.startDaemon({ args: settings });
  await until(({ sync, pods }) => sync === "Failed" && pods.length === 1, "the remote can't be fetched");
  expect(await containerId()).toBe(kept);

  // The folder and another repository want the same pod: what was first goes on, and both are told.
  renameSync(`${origin.path}.away`, origin.path);
  host.write("web.yaml", web("folder"));
  const rival = new WorkTree(join(host.directory, "rival"));
  rival.write("mine.yaml", web("rival")).commit("Mine");
  const claim = await host.gantry("sync", "add", rival.path, "--name", "rival");
  expect(claim.code).toBe(1);
  expect(claim.stderr).toContain("Pod default/web is defined at git:pods/web.yaml:1:1 as well");
  expect((await host.gantry("status")).stdout).toMatch(/\/m\/web\.yaml:\d.*is defined at git:pods\//);
  expect(await containerId()).toBe(kept);
  host.remove("web.yaml");
  expect((await host.gantry("sync", "rm", "rival")).code).toBe(0);
  await hasWord("two");

  expect((await host.gantry("sync", "remove", "pods")).code).toBe(0);
  await host.waitGone("web");
});
