import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  configMapText,
  containerOf,
  eventually,
  type Fields,
  FOREVER,
  filesOfPods,
  freePort,
  leftoversOf,
  pidsOf,
  podText,
  qemuOf,
  RUNTIME_CLASSES,
  type RuntimeClass,
  runOf,
  shell,
  type TestHost,
  testHost,
} from "./harness.ts";

/**
 * How often the daemon is killed; GANTRY_CRASH_KILLS and GANTRY_CRASH_SEED try more, or the same again. Micro-VMs take
 * a core each while they come up.
 */
const KILLS: Readonly<Record<RuntimeClass, number>> = {
  namespace: Number(process.env["GANTRY_CRASH_KILLS"] ?? 100),
  microvm: Number(process.env["GANTRY_CRASH_KILLS"] ?? 25),
};
const SEED = Number(process.env["GANTRY_CRASH_SEED"] ?? Date.now() % 1_000_000);

test.each(RUNTIME_CLASSES)("%s: the daemon may be killed at any moment", { timeout: 400_000 }, async (runtimeClass) => {
  const kills = KILLS[runtimeClass];
  console.log(
    `crash test: GANTRY_CRASH_SEED=${SEED} GANTRY_CRASH_KILLS=${kills} GANTRY_TEST_RUNTIME_CLASS=${runtimeClass}`,
  );
  const random = randomOf(SEED);
  await using host = testHost({ runtimeClass });
  const world = new World(host, await Promise.all([freePort(), freePort()]));
  let killed = 0;
  while (killed < kills) {
    const daemon = await host.startDaemon({ wait: false });
    // Often before it is up, seldom long after; something happens meanwhile.
    const life = random() < 0.3 ? random() * 300 : 200 + random() * 1_300;
    const actions = Math.floor(random() * 4);
    for (let i = 0; i < actions; i++) {
      await delay((life / (actions + 1)) * random());
      await world.act(random);
    }
    await delay(life / (actions + 1));
    expect(daemon.exitCode(), `the daemon ended by itself:\n${daemon.log().slice(-3000)}`).toBeUndefined();
    await host.stopDaemon("SIGKILL");
    killed++;
    if (random() < 0.3) await world.act(random);
  }

  // It is let live: the world comes to equal the manifests.
  world.writeAll();
  await host.startDaemon();
  await eventually(() => world.equalsManifests(), {
    what: "a world that equals the manifests",
    deadlineMs: 90_000,
    explain: () => host.explain(),
  });

  // Without manifests nothing at all remains.
  world.removeAll();
  await eventually(async () => (await host.pods()).length === 0, {
    what: "an empty world",
    deadlineMs: 90_000,
    explain: () => host.explain(),
  });
  await host.stopDaemon();
  expect(await leftoversOf(host.paths)).toEqual([]);
});

/** The manifests of a handful of pods, and what is done to them. Two are what a micro-VM can't be: those never are. */
class World {
  readonly #host: TestHost;
  readonly #versions = new Map<string, number>();
  readonly #writers: Readonly<Record<string, (version: number) => string>>;
  readonly #hostPath: string;

  constructor(host: TestHost, ports: readonly number[]) {
    this.#host = host;
    this.#hostPath = join(host.directory, "shared");
    mkdirSync(this.#hostPath);
    writeFileSync(join(this.#hostPath, "kept"), "kept\n");
    const [first, second] = ports;
    // A version changes the sandbox, a container, a label or nothing, by turns.
    this.#writers = {
      web: (version) =>
        podText(
          "web",
          [
            this.#server("web", `version ${Math.floor(version / 2)}`, first),
            shell("side", FOREVER, { volumeMounts: [{ name: "work", mountPath: "/work" }] }),
          ],
          { volumes: [{ name: "work", emptyDir: {} }], hostname: `web-${version % 3}` },
          { labels: { version: `v${version}` } },
        ),
      init: (version) =>
        podText("init", [shell("main", `test -f /work/made && ${FOREVER}`, mounts("work", "config"))], {
          initContainers: [
            shell("make", `echo made > /work/made; : ${version}`, mounts("work")),
            { ...shell("sidecar", FOREVER, mounts("work")), restartPolicy: "Always" },
          ],
          volumes: [
            { name: "work", emptyDir: { medium: "Memory", sizeLimit: "8Mi" } },
            { name: "config", configMap: { name: "settings" } },
          ],
        }),
      host: (version) =>
        podText("host", [this.#server("web", `${version}`, second), shell("other", FOREVER, mounts("shared"))], {
          runtimeClassName: "namespace",
          volumes: [{ name: "shared", hostPath: { path: this.#hostPath, type: "Directory" } }],
          shareProcessNamespace: true,
        }),
      mapped: (version) =>
        podText("mapped", [shell("main", `: ${version}; ${FOREVER}`)], {
          runtimeClassName: "namespace",
          hostUsers: false,
        }),
    };
    this.#host.write("settings.yaml", configMapText("settings", { key: "value" }));
  }

  #server(name: string, page: string, hostPort: number | undefined): Fields {
    const script = `echo '${page}' > /tmp/index.html; httpd -p 8080 -h /tmp; ${FOREVER}`;
    return shell(name, script, { ports: [{ containerPort: 8080, hostPort }] });
  }

  /** One random thing that happens to a pod: written, edited, removed, or one of its processes killed. */
  async act(random: () => number): Promise<void> {
    const names = Object.keys(this.#writers);
    const name = names[Math.floor(random() * names.length)] ?? "";
    const dice = random();
    if (!this.#versions.has(name) || dice < 0.4) this.#write(name);
    else if (dice < 0.7) await this.#killOne(name, random);
    else this.#remove(name);
  }

  #write(name: string): void {
    const version = (this.#versions.get(name) ?? 0) + 1;
    this.#versions.set(name, version);
    this.#host.write(`${name}.yaml`, this.#writers[name]?.(version) ?? "");
  }

  #remove(name: string): void {
    this.#host.remove(`${name}.yaml`);
    this.#versions.delete(name);
  }

  async #killOne(name: string, random: () => number): Promise<void> {
    const pods = await this.#host.pods().catch(() => []); // the daemon is not up yet
    const pod = pods.find(({ metadata }) => metadata.name === name);
    if (pod === undefined) return;
    const chance = random();
    try {
      const isVm = pod.spec["runtimeClassName"] === "microvm";
      const running = isVm ? [qemuOf(pod)] : pod.status.containerStatuses.flatMap(pidsOf);
      const victim = running[Math.floor(chance * running.length)];
      if (victim !== undefined) process.kill(victim, "SIGKILL");
    } catch {
      // it ended meanwhile, or has not begun
    }
  }

  writeAll(): void {
    for (const name of Object.keys(this.#writers)) this.#write(name);
  }

  removeAll(): void {
    for (const name of [...this.#versions.keys()]) this.#remove(name);
    this.#host.remove("settings.yaml");
  }

  /** Every pod once, all its containers run exactly once, as last written. @throws Error saying what is not so */
  async equalsManifests(): Promise<true> {
    const pods = await this.#host.pods();
    expect(pods.map(({ metadata }) => metadata.name).sort()).toEqual(Object.keys(this.#writers).sort());
    for (const pod of pods) {
      for (const { name, ready } of pod.status.containerStatuses) {
        expect(ready, `${pod.metadata.name}/${name} is ready`).toBe(true);
        runOf(pod, name);
      }
    }
    const init = pods.find(({ metadata }) => metadata.name === "init");
    if (init === undefined) throw new Error("no pod init");
    expect(containerOf(init, "make").state.terminated?.exitCode).toBe(0);
    runOf(init, "sidecar");
    // Nothing twice: one sandbox, one lease, one log directory for each.
    const files = filesOfPods(this.#host.paths);
    const { run, podLogs } = this.#host.paths;
    const sandboxes = [join(run, "sandboxes"), join(run, "vms")];
    for (const directories of [sandboxes, [join(run, "cni-leases")], [podLogs]]) {
      const inside = files.filter((file) => directories.some((directory) => file.startsWith(`file ${directory}/`)));
      expect(inside.length, `one per pod: ${inside.join(", ")}`).toBe(pods.length);
    }
    return true;
  }
}

function mounts(...names: readonly string[]): Fields {
  return { volumeMounts: names.map((name) => ({ name, mountPath: `/${name}` })) };
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Numbers from 0 to 1 that only the seed decides: the mulberry32 generator. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
