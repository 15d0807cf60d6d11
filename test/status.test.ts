import { describe, expect, it } from "vitest";
import { formatSpan } from "../src/age.ts";
import type { ContainerState, PodState, Termination } from "../src/pod/index.ts";
import { podStatus, podSummary } from "../src/status.ts";
import { desiredPod } from "./pod/harness.ts";

const T0 = Date.UTC(2026, 0, 1);
const at = (seconds: number): string => new Date(T0 + seconds * 1000).toISOString().replace(".000", "");
const node = { ip: "192.0.2.1" };
const running = (startedAt = 5): ContainerState["state"] => ({
  type: "running",
  containerId: "c",
  startedAt: T0 + startedAt * 1000,
});
const waiting = (reason: string): ContainerState["state"] => ({ type: "waiting", reason });
const exit = (exitCode: number, reason: string, finishedAt = 8): Termination => ({
  containerId: "c",
  exitCode,
  reason,
  startedAt: T0 + 5000,
  finishedAt: T0 + finishedAt * 1000,
});
const ended = (exitCode: number, reason: string): ContainerState["state"] => ({
  type: "terminated",
  ...exit(exitCode, reason),
});

function container(
  kind: ContainerState["kind"],
  state: ContainerState["state"],
  more: Partial<ContainerState> = {},
): ContainerState {
  const up = state.type === "running" && kind !== "init";
  const passed = kind === "init" && state.type === "terminated" && state.exitCode === 0;
  return {
    name: kind,
    kind,
    image: "app",
    imageDigest: "sha256:1",
    signers: [],
    restartCount: 0,
    ready: up || passed,
    started: state.type === "running",
    state,
    lastTermination: undefined,
    ...more,
  };
}

function state(containers: ContainerState[], more: Partial<PodState> = {}): PodState {
  return {
    uid: "u",
    desired: desiredPod(),
    createdAt: T0,
    stage: "running",
    problem: undefined,
    failure: undefined,
    deletionDeadline: undefined,
    sandbox: { id: "s", createdAt: T0 + 2000, ips: ["10.88.0.2"], detail: {} },
    containers,
    ...more,
  };
}

describe("the v1 status", () => {
  it("of a pod that runs", () => {
    const pod = state([
      container("init", ended(0, "Completed")),
      container("main", running(9), { restartCount: 1, lastTermination: exit(1, "Error") }),
    ]);
    expect(podStatus(pod, node)).toEqual({
      phase: "Running",
      conditions: [
        { type: "PodScheduled", status: "True", lastTransitionTime: at(0) },
        { type: "PodReadyToStartContainers", status: "True", lastTransitionTime: at(2) },
        { type: "Initialized", status: "True", lastTransitionTime: at(8) },
        { type: "ContainersReady", status: "True", lastTransitionTime: at(9) },
        { type: "Ready", status: "True", lastTransitionTime: at(9) },
      ],
      hostIP: "192.0.2.1",
      hostIPs: [{ ip: "192.0.2.1" }],
      podIP: "10.88.0.2",
      podIPs: [{ ip: "10.88.0.2" }],
      startTime: at(0),
      qosClass: "BestEffort",
      initContainerStatuses: [
        expect.objectContaining({
          name: "init",
          ready: true,
          state: {
            terminated: {
              exitCode: 0,
              reason: "Completed",
              startedAt: at(5),
              finishedAt: at(8),
              containerID: "gantry://c",
            },
          },
          lastState: {},
        }),
      ],
      containerStatuses: [
        {
          name: "main",
          ready: true,
          started: true,
          restartCount: 1,
          image: "app",
          imageID: "sha256:1",
          containerID: "gantry://c",
          state: { running: { startedAt: at(9) } },
          lastState: {
            terminated: {
              exitCode: 1,
              reason: "Error",
              startedAt: at(5),
              finishedAt: at(8),
              containerID: "gantry://c",
            },
          },
        },
      ],
    });
  });

  it("says why a pod is not ready, since when", () => {
    const pod = state([
      container("main", waiting("CrashLoopBackOff"), { restartCount: 1, lastTermination: exit(1, "Error") }),
    ]);
    expect(podStatus(pod, node).conditions.at(-1)).toEqual({
      type: "Ready",
      status: "False",
      lastTransitionTime: at(8),
      reason: "ContainersNotReady",
      message: "containers with unready status: [main]",
    });
  });

  it.each<[string, PodState, object]>([
    [
      "completed",
      state([container("main", ended(0, "Completed"))], { sandbox: undefined }),
      { status: "False", reason: "PodCompleted" },
    ],
    [
      "failed",
      state([container("main", ended(1, "Error"))], { sandbox: undefined }),
      { status: "False", reason: "PodFailed" },
    ],
    [
      "evicted",
      state([container("main", running())], { failure: { reason: "Evicted", message: "m" } }),
      { type: "DisruptionTarget", status: "True" },
    ],
  ])("of a pod that is %s", (_, pod, condition) => {
    expect(podStatus(pod, node).conditions.at(-1)).toMatchObject(condition);
  });

  it("gives the node's address to a pod on the host's network", () => {
    const pod = state([container("main", running())], {
      desired: desiredPod({ hostNetwork: true }),
      sandbox: { id: "s", createdAt: T0, ips: [], detail: {} },
    });
    expect(podStatus(pod, node)).toMatchObject({ podIP: "192.0.2.1" });
  });
});

describe("what kubectl prints", () => {
  const NOW = T0 + 308_000;
  const print = (pod: PodState, more: object = {}): string => {
    const initContainers = pod.containers
      .filter(({ kind }) => kind !== "main")
      .map(({ name, kind }) => ({ name, restartPolicy: kind === "sidecar" ? "Always" : undefined }));
    const { status, ready, restarts } = podSummary(
      { metadata: { ...more }, spec: { initContainers }, status: podStatus(pod, node) },
      NOW,
    );
    return `${ready} ${status} ${restarts}`;
  };
  const crashed = { restartCount: 3, lastTermination: exit(1, "Error") };

  it.each<[string, PodState, string]>([
    ["runs", state([container("main", running())]), "1/1 Running 0"],
    ["restarted", state([container("main", running(), crashed)]), "1/1 Running 3 (5m ago)"],
    ["creating", state([container("main", waiting("ContainerCreating"))]), "0/1 ContainerCreating 0"],
    [
      "initializing",
      state([container("init", running()), container("main", waiting("PodInitializing"))]),
      "0/1 Init:0/1 0",
    ],
    [
      "init crashing",
      state([container("init", waiting("CrashLoopBackOff"), crashed), container("main", waiting("PodInitializing"))]),
      "0/1 Init:CrashLoopBackOff 3 (5m ago)",
    ],
    [
      "init failed",
      state([container("init", ended(2, "Error")), container("main", waiting("PodInitializing"))]),
      "0/1 Init:Error 0",
    ],
    [
      "initialized",
      state([container("init", ended(0, "Completed")), container("main", waiting("PodInitializing"))]),
      "0/1 PodInitializing 0",
    ],
    ["sidecar", state([container("sidecar", running()), container("main", running())]), "2/2 Running 0"],
    ["crashing", state([container("main", waiting("CrashLoopBackOff"), crashed)]), "0/1 CrashLoopBackOff 3 (5m ago)"],
    ["image missing", state([container("main", waiting("ErrImageNeverPull"))]), "0/1 ErrImageNeverPull 0"],
    ["completed", state([container("main", ended(0, "Completed"))]), "0/1 Completed 0"],
    ["failed", state([container("main", ended(1, "Error"))]), "0/1 Error 0"],
    ["out of memory", state([container("main", ended(137, "OOMKilled"))]), "0/1 OOMKilled 0"],
    ["without a reason", state([container("main", ended(3, ""))]), "0/1 ExitCode:3 0"],
    ["by a signal", state([container("main", ended(143, ""))]), "0/1 Signal:15 0"],
    [
      "by decision",
      state([container("main", ended(137, "Error"))], { failure: { reason: "DeadlineExceeded", message: "" } }),
      "0/1 DeadlineExceeded 0",
    ],
  ])("%s", (_, pod, expected) => {
    expect(print(pod)).toBe(expected);
  });

  it("Terminating, unless it has ended already", () => {
    const more = { deletionTimestamp: at(300) };
    expect(print(state([container("main", running())]), more)).toBe("1/1 Terminating 0");
    expect(print(state([container("main", ended(0, "Completed"))]), more)).toBe("0/1 Completed 0");
  });

  it.each([
    [0, "0s"],
    [119, "119s"],
    [120, "2m"],
    [125, "2m5s"],
    [601, "10m"],
    [3 * 3600, "3h"],
    [3 * 3600 + 60, "3h1m"],
    [9 * 3600 + 60, "9h"],
    [50 * 3600, "2d2h"],
    [30 * 86_400, "30d"],
    [800 * 86_400, "2y70d"],
  ])("an age of %i s as %s", (seconds, text) => {
    expect(formatSpan(seconds * 1000)).toBe(text);
  });
});
