/** Which pod, container and sandbox a request is about, and why it can't be done to them. */
import { controllerOf } from "../controller/names.ts";
import type { ContainerState, PodState, PodSupervisor } from "../pod/contract.ts";
import type { SandboxDriver } from "../sandbox/driver.ts";
import { GantryError } from "../system/errors.ts";

export interface PodTargets {
  readonly supervisor: PodSupervisor;
  readonly driverFor: (runtimeClass: string) => SandboxDriver;
}

/** @throws GantryError not-found, conflict when the container does not run */
export function running(
  { supervisor, driverFor }: PodTargets,
  namespace: string,
  name: string,
  container: string | undefined,
): { readonly driver: SandboxDriver; readonly sandboxId: string; readonly containerId: string } {
  const state = requirePod(supervisor, namespace, name);
  const target = requireContainer(state, container);
  const containerId = runningId(target);
  if (state.sandbox === undefined || containerId === undefined) {
    const message = `container ${target.name} of pod ${namespace}/${name} does not run (${stateText(target)})`;
    throw new GantryError("conflict", message, { hint: `See why: gantry describe ${name} -n ${namespace}` });
  }
  return { driver: driverFor(state.desired.runtimeClass), sandboxId: state.sandbox.id, containerId };
}

/** Also of one whose app runs while its postStart hook does. */
export function runningId({ state }: ContainerState): string | undefined {
  return state.type === "terminated" ? undefined : state.containerId;
}

export function findPod(supervisor: PodSupervisor, namespace: string, name: string): PodState | undefined {
  const key = `${namespace}/${name}`;
  const states = supervisor.list().filter(({ desired }) => desired.key === key);
  // While one is going away its successor waits, so there is at most one of each kind.
  return states.find(({ deletionDeadline }) => deletionDeadline === undefined) ?? states[0];
}

/** Nothing of it runs again: what there is to restart is the pod itself. */
export function givenUp({ desired: { key, pod, origin } }: PodState, reason: string): GantryError {
  const owner = controllerOf(pod);
  const file = origin.replace(/:\d+$/, "");
  return new GantryError(
    "conflict",
    `pod ${key} has ended for good (${reason}): its containers are not started again`,
    {
      hint:
        owner === undefined
          ? `To begin anew, move its manifest ${file} out of the folder, wait until the pod is gone (gantry wait ${key} --for deleted), and put the manifest back.`
          : `Its ${owner.kind} ${owner.name} makes another where one is wanted: gantry delete pod/${key} takes this one away.`,
    },
  );
}

export function requirePod(supervisor: PodSupervisor, namespace: string, name: string): PodState {
  const state = findPod(supervisor, namespace, name);
  if (state !== undefined) return state;
  throw new GantryError("not-found", `pods "${name}" not found in namespace ${namespace}`, {
    hint: "List them all: gantry status",
  });
}

/** The container of that name; without a name the first of the pod's main ones. */
export function requireContainer(state: PodState, name: string | undefined): ContainerState {
  const found = state.containers.find((one) => (name === undefined ? one.kind === "main" : one.name === name));
  if (found !== undefined) return found;
  const names = state.containers.map((one) => one.name).join(", ");
  throw new GantryError("not-found", `container ${name ?? ""} is not in pod ${state.desired.key}`, {
    hint: `It has: ${names}`,
  });
}

function stateText({ state }: ContainerState): string {
  switch (state.type) {
    case "running":
      return "running";
    case "waiting":
      return `waiting: ${state.reason}`;
    case "terminated":
      return `terminated: ${state.reason}, exit code ${state.exitCode}`;
  }
}

/** @throws GantryError not-found, conflict when the pod does not run */
export function runningPod(
  { supervisor, driverFor }: PodTargets,
  namespace: string,
  name: string,
): { readonly driver: SandboxDriver; readonly sandboxId: string } {
  const { sandbox, stage, desired } = requirePod(supervisor, namespace, name);
  if (sandbox === undefined || stage === "completed") {
    throw new GantryError("conflict", `pod ${namespace}/${name} does not run`, {
      hint: `See why: gantry describe ${name} -n ${namespace}`,
    });
  }
  return { driver: driverFor(desired.runtimeClass), sandboxId: sandbox.id };
}
