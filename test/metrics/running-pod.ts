import { hashedPod } from "../../src/desired.ts";
import { pod as podSchema } from "../../src/manifest/schema/index.ts";
import type { PodState } from "../../src/pod/contract.ts";
import type { ManualClock } from "../support/manual-clock.ts";

/** A pod of the memory driver whose only container runs. @param container more of its spec */
export function runningPod(clock: ManualClock, container: object = {}): PodState {
  const manifest = podSchema.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", labels: { app: "web" } },
    spec: { containers: [{ name: "app", image: "localhost/app:1", ...container }] },
  });
  const desired = hashedPod(manifest, {
    origin: "web.yaml:1",
    runtimeClass: "memory",
    runtimeHandler: undefined,
    warnings: [],
  });
  return {
    uid: "u1",
    desired,
    createdAt: clock.now(),
    stage: "running",
    problem: undefined,
    failure: undefined,
    deletionDeadline: undefined,
    sandbox: { id: "s1", createdAt: clock.now(), ips: [], detail: {} },
    containers: [
      {
        name: "app",
        kind: "main",
        image: "localhost/app:1",
        imageDigest: undefined,
        signers: [],
        restartCount: 0,
        ready: true,
        started: true,
        state: { type: "running", containerId: "c1", startedAt: clock.now() },
        lastTermination: undefined,
      },
    ],
  };
}
