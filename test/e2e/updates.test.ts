import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  containerOf,
  eventually,
  type Fields,
  FOREVER,
  freePort,
  isReady,
  isRunning,
  type PodView,
  pidOf,
  podText,
  RUNTIME_CLASSES,
  type Run,
  runOf,
  shell,
  type TestHost,
  testHost,
} from "./harness.ts";

function ready(pod: PodView): boolean {
  return pod.status.containerStatuses.every((container) => container.ready);
}

/** Resolves once the daemon has read the folder and done what it found to do. */
async function settled(host: TestHost): Promise<void> {
  let said = "";
  const nothingToDo = async (): Promise<boolean> => {
    const { code, stdout } = await host.gantry("plan");
    said = stdout;
    return code === 0;
  };
  await eventually(nothingToDo, { what: "a plan without a step", explain: () => said });
}

async function eventText(host: TestHost): Promise<string> {
  const { stdout } = await host.gantry("events");
  return stdout;
}

describe.each(RUNTIME_CLASSES)("in place, on %s", (runtimeClass) => {
  /** In a micro-VM only its agent knows. */
  const isOver = ({ pid }: Run): boolean => runtimeClass === "microvm" || !isRunning(pid);

  test("metadata and policy restart nothing; one container of two is restarted alone; the sandbox asks for a new pod", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    const write = (second: string, spec: Fields, metadata: Fields): void =>
      host.write("web.yaml", podText("web", [shell("one", FOREVER), shell("two", second)], spec, metadata));
    write(FOREVER, {}, {});
    const first = await host.waitReady("web");
    const [one, two] = [runOf(first, "one").id, runOf(first, "two").id];

    write(FOREVER, { terminationGracePeriodSeconds: 2 }, { annotations: { note: "new" }, labels: { a: "b" } });
    await host.waitFor("web", ({ spec }) => spec.terminationGracePeriodSeconds === 2, "the new grace");
    const same = await host.waitReady("web");
    expect([runOf(same, "one").id, runOf(same, "two").id]).toEqual([one, two]);

    write(`: changed; ${FOREVER}`, {}, {});
    const changed = await host.waitFor("web", (pod) => ready(pod) && runOf(pod, "two").id !== two, "two made anew");
    expect(runOf(changed, "one").id).toBe(one);
    expect(changed.metadata.uid).toBe(first.metadata.uid);
    expect(two).not.toBe(runOf(changed, "two").id);

    // A container more, then one less: the others are not touched.
    host.write(
      "web.yaml",
      podText(
        "web",
        ["one", "two", "three"].map((name) => shell(name, FOREVER)),
      ),
    );
    const three = await host.waitFor("web", (pod) => pod.status.containerStatuses.length === 3 && ready(pod), "three");
    const added = runOf(three, "three");
    expect(runOf(three, "one").id).toBe(one);
    host.write("web.yaml", podText("web", [shell("one", FOREVER)]));
    await host.waitFor("web", (pod) => pod.status.containerStatuses.length === 1 && isOver(added), "one left");
    expect(runOf(await host.waitReady("web"), "one").id).toBe(one);

    host.write("web.yaml", podText("web", [shell("one", FOREVER)], { hostname: "other" }));
    const anew = await host.waitFor("web", (pod) => pod.metadata.uid !== first.metadata.uid && ready(pod), "a new pod");
    expect(runOf(anew, "one").id).not.toBe(one);
    expect(containerOf(anew, "one").restartCount).toBe(0);
  });

  test("an image that is not there: the old version goes on and says so, until it is imported", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    const next = "localhost/test/next:1";
    host.write("web.yaml", podText("web", [shell("main", FOREVER), shell("other", FOREVER)]));
    const first = await host.waitReady("web");
    const pid = runOf(first, "main").id;
    host.write("web.yaml", podText("web", [shell("main", FOREVER, { image: next }), shell("other", FOREVER)]));
    await eventually(async () => (await eventText(host)).includes(next), { what: "an event about the image" });
    const waiting = await host.waitFor("web", (pod) => !isReady(pod), "no readiness of the new version");
    expect(runOf(waiting, "main").id).toBe(pid);
    expect((await host.gantry("status")).stdout).toMatch(
      /web\s+2\/2\s+Running[\s\S]*\nChanged, and not in force yet:\n {2}web: see 'gantry events web -n default'/,
    );

    const tree = join(host.directory, "tree");
    mkdirSync(join(tree, "bin"), { recursive: true });
    const { copyFileSync, symlinkSync } = await import("node:fs");
    copyFileSync("/bin/busybox", join(tree, "bin/busybox"));
    for (const name of ["sh", "sleep"]) symlinkSync("busybox", join(tree, "bin", name));
    expect((await host.gantry("image", "import", tree, next)).code).toBe(0);
    const after = await host.waitFor("web", (pod) => ready(pod) && runOf(pod, "main").id !== pid, "the new image");
    expect(runOf(after, "other").id).toBe(runOf(first, "other").id);
    expect(after.metadata.uid).toBe(first.metadata.uid);
  });
});

describe("files", () => {
  test("a hundred edits, removals and returns in a row: the last one wins, and there is one pod", async () => {
    await using host = testHost();
    await host.startDaemon();
    for (let i = 1; i <= 100; i++) {
      host.write("web.yaml", podText("web", [shell("main", `: ${i}; ${FOREVER}`)], { hostname: `h${i % 4}` }));
      if (i % 3 === 0) host.remove("web.yaml");
      // Now and then it gets as far as doing something.
      if (i % 10 === 0) await host.api("GET", "/api/v1/pods");
    }
    const last = async (): Promise<boolean> => {
      const pods = await host.pods();
      const [pod] = pods;
      if (pods.length !== 1 || pod === undefined || !ready(pod)) return false;
      const { stdout } = await host.gantry("exec", "web", "--", "sh", "-c", "hostname; cat /proc/1/cmdline");
      return stdout.startsWith("h0\n") && stdout.includes(": 100;");
    };
    await eventually(last, { what: "the last version", deadlineMs: 60_000, explain: () => host.explain() });
  });

  test("removed and added again, as it is stopping: a new pod of the same name follows", async () => {
    await using host = testHost();
    await host.startDaemon();
    const text = podText("web", [shell("main", FOREVER)]);
    let uid = "";
    for (let i = 0; i < 5; i++) {
      host.write("web.yaml", text);
      const pod = await host.waitFor("web", (one) => one.metadata.uid !== uid && ready(one), "a new one");
      uid = pod.metadata.uid;
      host.remove("web.yaml");
      // Seen by the daemon, and not necessarily done.
      const leaving = async (): Promise<boolean> =>
        (await host.pods()).every(({ metadata }) => metadata.uid !== uid || metadata.deletionTimestamp !== undefined);
      await eventually(leaving, { what: "the removal noticed" });
    }
    host.write("web.yaml", text);
    await host.waitReady("web");
  });

  test("two pods that want one port of the host: the first keeps it, the second says so and follows when it is free", async () => {
    await using host = testHost();
    await host.startDaemon();
    const hostPort = await freePort();
    const web = (text: string): Fields =>
      shell("web", `echo ${text} > /tmp/index.html; exec httpd -f -p 8080 -h /tmp`, {
        ports: [{ containerPort: 8080, hostPort }],
      });
    const answer = async (): Promise<string> => (await (await fetch(`http://127.0.0.1:${hostPort}/`)).text()).trim();
    host.write("zero.yaml", podText("zero", [web("zero")]));
    await host.waitReady("zero");
    host.write("alpha.yaml", podText("alpha", [web("alpha")]));
    const said = async (): Promise<boolean> => {
      const { stdout, stderr } = await host.gantry("status");
      return (stdout + stderr).includes(`host port ${hostPort}/TCP`);
    };
    await eventually(said, { what: "the collision in status", explain: () => host.explain() });
    expect(await eventually(answer)).toBe("zero");
    host.remove("zero.yaml");
    await host.waitReady("alpha");
    await eventually(async () => (await answer()) === "alpha");
  });

  test("junk beside manifests is not looked at; a half-written file is not acted on", async () => {
    await using host = testHost();
    await host.startDaemon();
    const text = podText("web", [shell("main", FOREVER)]);
    for (const name of ["web.yaml~", ".web.yaml.swp", "web.yaml.bak", "#web.yaml#", "4913", "notes.txt"])
      writeFileSync(join(host.manifests, name), text.replace('"web"', '"junk"'));
    host.write("web.yaml", text);
    const pod = await host.waitReady("web");
    expect((await host.pods()).length).toBe(1);
    host.writeInPlace("web.yaml", text.slice(0, text.length / 2));
    await eventually(async () => {
      const { stdout, stderr } = await host.gantry("status");
      return (stdout + stderr).includes("web.yaml:");
    });
    expect(pidOf(await host.waitReady("web"), "main")).toBe(pidOf(pod, "main"));
    host.writeInPlace("web.yaml", text);
    await settled(host);
  });
});
