import type { PodObject, ProblemReport } from "../../../src/api/contract.ts";
import type { Pod } from "../../../src/manifest/index.ts";
import { pod as podSchema } from "../../../src/manifest/schema/index.ts";
import type { PlanStep } from "../../../src/plan.ts";
import type { PodStatus } from "../../../src/status.ts";
import { FakeBackend } from "../../api/fake-backend.ts";

export interface PodSketch {
  readonly name: string;
  readonly namespace?: string;
  readonly phase?: PodStatus["phase"];
  readonly ready?: boolean;
  readonly restarts?: number;
  /** The reason why its container waits. */
  readonly waiting?: string;
  readonly exitCode?: number;
  readonly ip?: string;
  readonly restartPolicy?: "Always" | "OnFailure" | "Never";
  readonly containers?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly uid?: string;
  readonly spec?: Readonly<Record<string, unknown>>;
}

export const CREATED = "2026-01-01T00:00:00.000Z";

/** The fake of the API's own tests, with pods that have a whole status. */
export class CliBackend extends FakeBackend {
  report: ProblemReport = { problems: [], held: [] };
  steps: PlanStep[] = [];
  /** Called by restartPod. */
  onRestart: (key: string) => void = () => {};
  /** Called by deletePod. */
  onDelete: (key: string) => void = () => {};

  override problems(): ProblemReport {
    return this.report;
  }
  override plan(): PlanStep[] {
    return this.steps;
  }
  override restartPod(namespace: string, name: string, container: string | undefined): void {
    super.restartPod(namespace, name, container);
    this.onRestart(`${namespace}/${name}`);
  }
  override async deletePod(namespace: string, name: string, graceMs: number | undefined): Promise<void> {
    await super.deletePod(namespace, name, graceMs);
    this.onDelete(`${namespace}/${name}`);
  }

  /** Adds or changes a pod, and tells the watches. */
  set(sketch: PodSketch): PodObject {
    this.version += 1;
    const object = podObject(sketch, String(this.version));
    const type = this.podList.has(object.metadata.uid) ? "MODIFIED" : "ADDED";
    this.podList.set(object.metadata.uid, object);
    for (const listener of this.podListeners) listener({ type, object });
    return object;
  }
}

function podObject(sketch: PodSketch, resourceVersion: string): PodObject {
  const { name, namespace = "default" } = sketch;
  const names = sketch.containers ?? ["app"];
  const manifest: Pod = podSchema.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { app: name } },
    spec: {
      restartPolicy: sketch.restartPolicy ?? "Always",
      containers: names.map((container) => ({ name: container, image: `localhost/${container}:1` })),
      ...sketch.spec,
    },
  });
  const annotations = {
    "gantry.dev/manifest": `${name}.yaml:1`,
    "gantry.dev/runtime-class": "namespace",
    ...sketch.annotations,
  };
  const uid = sketch.uid ?? `uid-${namespace}-${name}`;
  return {
    ...manifest,
    metadata: { ...manifest.metadata, uid, resourceVersion, creationTimestamp: CREATED, annotations },
    status: statusOf(sketch, names),
  };
}

function statusOf(sketch: PodSketch, names: readonly string[]): PodStatus {
  const phase = sketch.phase ?? "Running";
  const ready = sketch.ready ?? (phase === "Running" && sketch.waiting === undefined);
  const truth = ready ? "True" : "False";
  const state =
    sketch.waiting !== undefined
      ? { waiting: { reason: sketch.waiting, message: `${sketch.waiting} it says` } }
      : phase === "Running"
        ? { running: { startedAt: CREATED } }
        : phase === "Pending"
          ? { waiting: { reason: "ContainerCreating" } }
          : {
              terminated: {
                exitCode: sketch.exitCode ?? 0,
                reason: (sketch.exitCode ?? 0) === 0 ? "Completed" : "Error",
                startedAt: CREATED,
                finishedAt: CREATED,
                containerID: "crun://1",
              },
            };
  return {
    phase,
    conditions: [{ type: "Ready", status: truth, lastTransitionTime: CREATED }],
    ...(sketch.ip !== undefined && { podIP: sketch.ip, podIPs: [{ ip: sketch.ip }] }),
    hostIP: "192.0.2.1",
    hostIPs: [{ ip: "192.0.2.1" }],
    startTime: CREATED,
    qosClass: "BestEffort",
    initContainerStatuses: [],
    containerStatuses: names.map((name) => ({
      name,
      image: `localhost/${name}:1`,
      imageID: "sha256:1",
      containerID: `gantry://${name}-${sketch.restarts ?? 0}`,
      ready,
      started: ready,
      restartCount: sketch.restarts ?? 0,
      state,
      lastState: {},
    })),
  };
}
