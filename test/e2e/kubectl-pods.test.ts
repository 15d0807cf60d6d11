import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { kubectls } from "../support/kubectl.ts";
import { KubectlUser } from "./harness/kubectl.ts";
import { podOf } from "./harness/sketch.ts";
import { eventually, RUNTIME_CLASSES, type TestHost, testHost } from "./harness.ts";

/** What unmodified kubectls do with pods of both runtime classes. Sessions in them: kubectl-streams.test.ts */
const found = await kubectls();
if (found.length === 0) test.skip("there is no kubectl on this machine to be tested with", () => {});

/** Verbs that an older kubectl does not have, and what it says then. */
const SINCE = { events: [23, /unknown command "events"/] } as const;

const IMAGE = "localhost/gantry/sample:1";

let host: TestHost;
beforeAll(async () => {
  host = testHost();
  await host.startDaemon();
  for (const runtimeClassName of RUNTIME_CLASSES)
    host.write(`${runtimeClassName}.yaml`, boxOf(runtimeClassName, "hello"));
  for (const runtimeClassName of RUNTIME_CLASSES) await host.waitReady(`box-${runtimeClassName}`);
});
afterAll(() => host.dispose());

/** A pod with two containers, of which one has failed once. @param word what the other one says */
function boxOf(runtimeClassName: string, word: string): string {
  const shared = { volumeMounts: [{ name: "shared", mountPath: "/shared" }] };
  const say = `echo ${word}; trap exit TERM; sleep infinity & wait`;
  const failOnce =
    "echo run; [ -e /shared/ran ] || { touch /shared/ran; exit 3; }; trap exit TERM; sleep infinity & wait";
  const containers = [
    { name: "app", command: ["sh", "-c", say] },
    { name: "again", command: ["sh", "-c", failOnce], ...shared },
  ];
  const spec = { runtimeClassName, terminationGracePeriodSeconds: 1, volumes: [{ name: "shared", emptyDir: {} }] };
  const pod = JSON.parse(podOf(`box-${runtimeClassName}`, containers, spec));
  return JSON.stringify({ ...pod, metadata: { ...pod.metadata, labels: { app: "box", class: runtimeClassName } } });
}

describe.each(found)("$title", (kubectl) => {
  let user: KubectlUser;
  const ok = (line: string, env: Record<string, string> = {}): Promise<string> => user.ok(line, { env });
  beforeEach(async () => {
    user = await KubectlUser.on(host, kubectl);
  });
  afterEach(() => user[Symbol.asyncDispose]());

  describe.each(RUNTIME_CLASSES)("on %s", (runtimeClass) => {
    const box = `box-${runtimeClass}`;
    const other = runtimeClass === "namespace" ? "microvm" : "namespace";

    test("get in every form, describe, top, logs", async () => {
      const [wide, chosen, one, columns, yaml, described, top] = await Promise.all([
        ok(`get pod ${box} -o wide`),
        ok(`get pods -A -l class=${runtimeClass} --field-selector=status.phase=Running -o json`),
        ok(`get pod ${box} -o jsonpath={.spec.runtimeClassName}:{.status.phase}`),
        ok(`get pods -l class!=${other} -o custom-columns=N:.metadata.name,P:.status.phase`),
        ok(`get pod ${box} -o yaml`),
        ok(`describe pod ${box}`),
        ok(`top pod ${box} --containers --no-headers`),
      ]);
      expect(wide).toMatch(/^NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES\n/);
      expect(wide).toMatch(new RegExp(`\\n${box} +2/2 +Running +\\d+ \\(\\S+ ago\\) +\\S+ +10\\.`));
      expect(JSON.parse(chosen).items.map(({ metadata }: { metadata: { name: string } }) => metadata.name)).toEqual([
        box,
      ]);
      expect(one).toBe(`${runtimeClass}:Running`);
      expect(columns).toMatch(new RegExp(`^N +P\n${box} +Running\n$`));
      expect(yaml).toMatch(/^apiVersion: v1\nkind: Pod\n/);
      expect(described).toMatch(/Last State: +Terminated\n[\s\S]*Exit Code: +3/);
      expect(described).toMatch(/Events:[\s\S]*Started container app/);
      expect(
        top
          .trim()
          .split("\n")
          .map((line) => line.split(/ +/).slice(0, 2).join(" "))
          .sort(),
      ).toEqual([`${box} again`, `${box} app`]);
      const logs = await Promise.all([
        ok(`logs ${box} -c again --previous`),
        ok(`logs ${box} -c app --since=1h --tail=1 --timestamps`),
        ok(`logs -l class=${runtimeClass} --all-containers --prefix`),
      ]);
      expect(logs).toEqual([
        "run\n",
        expect.stringMatching(/^\d{4}-\S+(Z|\+00:00) \S+\n$/),
        expect.stringContaining(`[pod/${box}/again] run\n`),
      ]);
      const none = await user.run(`logs ${box} -c app --previous`);
      const known = none.code === 0 || /previous terminated container "app" in pod "\S+" not found/.test(none.err);
      expect(known, none.err).toBe(true); // it has one since the test that changes it
      expect((await user.run(`logs ${box} -c none`)).err).toContain(`container none is not valid for pod ${box}`);
      expect((await user.run(`exec ${box} -c none -- true`)).err).toContain("none");
    });

    const [since, unknown] = SINCE.events;
    test(kubectl.minor < since ? "events: this kubectl has no such verb" : "events", async () => {
      const { code, out, err } = await user.run(`events --for pod/${box} --types=Normal`);
      if (kubectl.minor < since) expect([code, err]).toEqual([1, expect.stringMatching(unknown)]);
      else expect(out).toMatch(/Normal +Started +Pod\/box-\S+ +Started container app/);
      const listed = await ok(`get events --field-selector=involvedObject.name=${box},reason=Started`);
      expect(listed).toMatch(new RegExp(`Normal +Started +pod/${box} +Started container app`));
    });

    test("apply, and wait for what was applied; patch, edit, label, annotate; -w shows each", async () => {
      const watching = user.start(`get pod ${box} -w -o jsonpath={.metadata.generation}:{.status.observedGeneration},`);
      const ended = new Promise((resolve) => watching.on("close", resolve));
      let seen = "";
      watching.stdout?.on("data", (chunk: Buffer) => {
        seen += chunk;
      });
      await eventually(() => seen !== "", { what: "the first line of the watch" });
      const file = join(user.home, "box.yaml");
      const word = `said-to-${kubectl.minor}`;
      writeFileSync(file, boxOf(runtimeClass, word));
      expect((await user.run(`diff -f ${file}`)).code).toBe(1);
      expect(await ok(`apply -f ${file}`)).toContain("configured");
      // What was ready before does not count: the wait is for the pod that was applied.
      await ok(`wait pod/${box} --for=condition=Ready --timeout=60s`);
      const versions = "{.metadata.generation}={.status.observedGeneration}";
      expect(await ok(`get pod ${box} -o jsonpath=${versions}`)).toMatch(/^(\d+)=\1$/);
      await eventually(async () => (await ok(`logs ${box} -c app`)) === `${word}\n`, { what: "what it says" });
      expect(await ok(`apply -f ${file}`)).toContain("unchanged");
      expect((await user.run(`diff -f ${file}`)).code).toBe(0);
      const uid = await ok(`get pod ${box} -o jsonpath={.metadata.uid}`);
      await ok(`label pod ${box} tier=front`);
      await ok(`annotate pod ${box} note=hello`);
      await ok(`patch pod ${box} -p {"metadata":{"labels":{"tier":"back"}}}`);
      const editor = join(user.home, "editor.sh");
      writeFileSync(editor, "sed -i 's/note: hello/note: edited/' \"$1\"\n");
      await ok(`edit pod ${box}`, { EDITOR: `sh ${editor}` });
      const after = "{.metadata.uid} {.metadata.labels.tier} {.metadata.annotations.note} {.status.phase}";
      expect(await ok(`get pod ${box} -o 'jsonpath=${after}'`)).toBe(`${uid} back edited Running`);
      await Promise.all([ok(`label pod ${box} tier-`), ok(`annotate pod ${box} note-`)]);
      watching.kill();
      await ended;
      const generations = seen.split(",").map((pair) => pair.split(":").map(Number));
      expect(
        generations.some(([wanted = 0, observed = 0]) => observed < wanted),
        seen,
      ).toBe(true);
    });

    test("run, wait, delete in every way; run -it --rm", async () => {
      const overrides = `--overrides={"apiVersion":"v1","spec":{"runtimeClassName":"${runtimeClass}"}}`;
      const run = `--image=${IMAGE} --restart=Never ${overrides}`;
      await ok(`run solo ${run} -- sleep 1000`);
      await ok("wait pod/solo --for=condition=Ready --timeout=60s");
      expect(await ok("delete pod solo --grace-period=0 --force --wait=true")).toContain("force deleted");
      expect((await user.run("get pod solo")).err).toContain("NotFound");
      const shell = user.terminal(`run shell -it --rm ${run} -- sh`);
      await shell.see(/pressing enter|#/);
      shell.write("echo $((40 + 2)); exit 5\r");
      await shell.see(/\b42\b/);
      await shell.see(/pod "shell" deleted/);
      expect(await shell.ended).toBe(5);
      await ok("wait pod/shell --for=delete --timeout=60s").catch(() => {}); // it may be gone by now
      expect((await user.run("get pod shell")).err).toContain("NotFound");
    });
  });

  test("an image that is not to be had is told where people look", async () => {
    await ok("run lost --image=localhost:1/none/none:1 --restart=Never");
    const waiting = "get pod lost -o jsonpath={.status.containerStatuses[0].state.waiting.reason}";
    await eventually(async () => /ErrImagePull|ImagePullBackOff/.test(await ok(waiting)), { what: "the reason" });
    expect(await ok("get pod lost")).toMatch(/lost +0\/1 +(ErrImagePull|ImagePullBackOff)/);
    expect(await ok("describe pod lost")).toMatch(/Warning +Failed [\s\S]*localhost:1\/none\/none:1/);
    expect((await user.run("logs lost")).err).toMatch(/has not started yet|is waiting to start/);
    expect((await user.run("exec lost -- true")).err).toMatch(/does not run|not running/);
    expect(await ok("delete pod lost --grace-period=1")).toContain('pod "lost" deleted');
  });
});
