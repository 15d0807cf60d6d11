import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  containerOf,
  eventually,
  type Fields,
  freePort,
  podText,
  RUNTIME_CLASSES,
  runOf,
  shell,
  testHost,
} from "./harness.ts";

/** The newcomer's story, from the first file to the last. */
test.each(RUNTIME_CLASSES)(
  "%s: a file dropped into the folder becomes a pod that is looked after until the file is deleted",
  async (runtimeClass) => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    const hostPort = await freePort();
    const web = (text: string): Fields =>
      shell("web", `echo '${text}' > /tmp/index.html; httpd -f -p 8080 -h /tmp & wait $!`, {
        ports: [{ containerPort: 8080, hostPort }],
      });
    const side = shell("side", "exec sleep 100000");
    const write = (text: string, labels: Record<string, string>): void =>
      host.write("site.yaml", podText("site", [web(text), side], {}, { labels }));
    const answer = async (): Promise<string> => (await (await fetch(`http://127.0.0.1:${hostPort}/`)).text()).trim();

    write("one", { version: "1" });
    const first = await host.waitReady("site");
    expect(await eventually(answer, { what: "an answer" })).toBe("one");
    expect((await host.gantry("status")).stdout).toMatch(/site\s+2\/2\s+Running\s+0\s/);

    // Its process is killed: that container alone is started again.
    const sideRun = runOf(first, "side");
    const kill = await host.gantry("exec", "site", "-c", "web", "--", "sh", "-c", "kill -9 $(pidof httpd)");
    expect(kill.code, kill.stderr).toBeOneOf([0, 137]); // it may go down with the container
    const restarted = await host.waitFor(
      "site",
      (pod) => containerOf(pod, "web").restartCount === 1 && containerOf(pod, "web").ready,
      "web restarted",
    );
    expect(containerOf(restarted, "web").lastState?.terminated?.exitCode).toBe(137);
    expect(runOf(restarted, "side")).toEqual(sideRun);
    expect((await host.gantry("status")).stdout).toMatch(/site\s+2\/2\s+Running\s+1 \(/);
    expect(await eventually(answer, { what: "an answer after the restart" })).toBe("one");

    // Another label: nothing is touched.
    const webRun = runOf(restarted, "web");
    write("one", { version: "2" });
    const labelled = await eventually(async () => {
      const { items } = JSON.parse((await host.api("GET", "/api/v1/pods?labelSelector=version%3D2")).body);
      return items.length === 1;
    });
    expect(labelled).toBe(true);
    const after = await host.waitReady("site");
    expect([runOf(after, "web"), runOf(after, "side")]).toEqual([webRun, sideRun]);
    expect(after.metadata.uid).toBe(first.metadata.uid);

    // Another command: only that container is made anew.
    write("two", { version: "2" });
    await eventually(async () => (await answer()) === "two", { what: "the new page", explain: () => host.explain() });
    const changed = await host.waitReady("site");
    expect(runOf(changed, "web")).not.toEqual(webRun);
    expect(runOf(changed, "side")).toEqual(sideRun);
    expect(changed.metadata.uid).toBe(first.metadata.uid);
    expect(changed.status.podIP).toBe(first.status.podIP);

    // The file goes, and with it everything; leaving this block checks the rest.
    host.remove("site.yaml");
    await host.waitGone("site");
    expect(existsSync(join(host.paths.podLogs, `default_site_${first.metadata.uid}`))).toBe(false);
    await expect(answer()).rejects.toThrow();
  },
);
