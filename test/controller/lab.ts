import { createControllers } from "../../src/controller/manager.ts";
import { hashedPod } from "../../src/desired.ts";
import { type LoadedObject, parseManifestText } from "../../src/manifest/index.ts";
import type { ContainerState, PodState } from "../../src/pod/contract.ts";
import type { NewEvent } from "../../src/store/contract.ts";
import { openStore } from "../../src/store/index.ts";
import { silentLogger } from "../../src/system/log.ts";
import { ManualClock } from "../support/manual-clock.ts";

type Mood = "pending" | "ready" | "unready" | "succeeded" | "failed";

/** Controllers over pods that do as the test says. Pods begin as pending, and go away when they are not wanted. */
export class Lab {
  readonly clock = new ManualClock(Date.UTC(2025, 0, 1));
  readonly events: NewEvent[] = [];
  readonly store = openStore(":memory:").store;
  readonly #pods = new Map<string, PodState>();
  /** Pods that stay until `gone` says that they are away. */
  slow = false;
  #uid = 0;
  controllers = this.#create();

  #create() {
    return createControllers({
      store: this.store.objects,
      pods: () => [...this.#pods.values()],
      event: (event) => this.events.push(event),
      onChange: () => this.#follow(),
      clock: this.clock,
      log: silentLogger(),
      newUid: () => `uid-${++this.#uid}`,
      random: (() => {
        let seed = 7;
        return () => {
          seed = (seed * 16807) % 2147483647;
          return seed / 2147483647;
        };
      })(),
    });
  }

  /** As after a restart of the daemon. */
  restart(): void {
    this.controllers.close();
    this.controllers = this.#create();
  }

  write(text: string): void {
    const { objects, problems } = parseManifestText("app.yaml", text);
    const [error] = problems.filter(({ severity }) => severity === "error");
    if (error !== undefined) throw new Error(`${error.field}: ${error.message}`);
    this.load(objects);
  }

  load(objects: readonly LoadedObject[], broken: readonly string[] = []): void {
    this.controllers.written(objects, new Set(broken));
    this.#follow();
  }

  #follow(): void {
    const wanted = new Map(
      this.controllers
        .pods()
        .flatMap(({ object }) => (object.kind === "Pod" ? [[object.metadata.name, object] as const] : [])),
    );
    for (const [name, state] of this.#pods) {
      if (
        wanted.get(name)?.metadata.ownerReferences?.[0]?.uid === state.desired.pod.metadata.ownerReferences?.[0]?.uid
      ) {
        if (wanted.get(name) === state.desired.pod || state.deletionDeadline !== undefined) continue;
      }
      if (this.slow) this.#pods.set(name, { ...state, deletionDeadline: this.clock.now() + 30_000 });
      else this.#pods.delete(name);
    }
    for (const [name, pod] of wanted) {
      if (this.#pods.has(name)) continue;
      const desired = hashedPod(pod, {
        origin: "",
        runtimeClass: "namespace",
        runtimeHandler: undefined,
        warnings: [],
      });
      this.#pods.set(name, {
        uid: `pod-${++this.#uid}`,
        desired,
        createdAt: this.clock.now(),
        stage: "running",
        problem: undefined,
        failure: undefined,
        deletionDeadline: undefined,
        sandbox: undefined,
        containers: [container("pending", this.clock.now())],
      });
    }
  }

  /** Names of the pods that there are, in order. */
  get names(): string[] {
    return [...this.#pods.keys()].sort();
  }

  pod(name: string): PodState {
    const found = this.#pods.get(name);
    if (found === undefined) throw new Error(`no pod ${name}: ${this.names.join(", ")}`);
    return found;
  }

  /** Every pod of which the name begins so becomes as said. */
  set(prefix: string, mood: Mood, restarts = 0): void {
    for (const [name, state] of this.#pods) {
      if (!name.startsWith(prefix)) continue;
      this.#pods.set(name, { ...state, containers: [container(mood, this.clock.now(), restarts)] });
    }
    this.controllers.look();
    this.#follow();
  }

  /** Pods that were on their way out are away. */
  gone(): void {
    for (const [name, { deletionDeadline }] of this.#pods) if (deletionDeadline !== undefined) this.#pods.delete(name);
    this.controllers.look();
    this.#follow();
  }

  /** Lets every pod become ready, again and again, until nothing changes. */
  settle(): void {
    for (let round = 0; round < 40; round++) {
      const before = JSON.stringify([...this.#pods.keys()]);
      for (const [name, state] of this.#pods) {
        const [first] = state.containers;
        if (first?.state.type === "waiting")
          this.#pods.set(name, { ...state, containers: [container("ready", this.clock.now())] });
      }
      this.controllers.look();
      this.#follow();
      if (JSON.stringify([...this.#pods.keys()]) === before) return;
    }
  }

  status(kind: string, name: string): Record<string, unknown> {
    const found = this.controllers
      .objects()
      .find(({ object }) => object.kind === kind && object.metadata.name === name);
    if (found?.status === undefined) throw new Error(`no ${kind} ${name}`);
    return found.status;
  }

  kept(kind: string): string[] {
    return this.controllers
      .objects()
      .flatMap(({ object }) => (object.kind === kind ? [object.metadata.name] : []))
      .sort();
  }

  conditions(kind: string, name: string): string[] {
    const list = this.status(kind, name)["conditions"];
    return Array.isArray(list) ? list.map(({ type, status, reason }) => `${type}=${status} ${reason}`) : [];
  }

  advance(ms: number): void {
    this.clock.advance(ms);
    this.#follow();
  }
}

function container(mood: Mood, now: number, restartCount = 0): ContainerState {
  const base = {
    name: "app",
    kind: "main" as const,
    image: "localhost/app:1",
    imageDigest: undefined,
    signers: [],
    restartCount,
    lastTermination: undefined,
  };
  switch (mood) {
    case "pending":
      return { ...base, ready: false, started: false, state: { type: "waiting", reason: "ContainerCreating" } };
    case "ready":
    case "unready":
      return {
        ...base,
        ready: mood === "ready",
        started: true,
        checkedAt: now,
        state: { type: "running", containerId: "c", startedAt: now },
      };
    case "succeeded":
    case "failed": {
      const exitCode = mood === "failed" ? 1 : 0;
      return {
        ...base,
        ready: false,
        started: false,
        state: { type: "terminated", containerId: "c", exitCode, reason: "", finishedAt: now },
      };
    }
  }
}

export function template(command = "true", spec = ""): string {
  return `template:
    metadata: {labels: {app: web}}
    spec:
      ${spec === "" ? "" : `${spec}\n      `}containers: [{name: app, image: "localhost/app:1", command: ["${command}"]}]`;
}
