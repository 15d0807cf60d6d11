/** What a manifest asks for that a virtual machine of its own cannot give to a pod. Pure. */
import { VM_LIMITS } from "../sandbox/vm-limits.ts";
import { APP_ARMOR_ANNOTATION, profileIn } from "./app-armor.ts";
import type { FieldPath } from "./issue.ts";
import type { Pod, PodSpec } from "./schema/index.ts";
import { isRecord } from "./yaml/plain.ts";

export interface VmRefusal {
  readonly path: FieldPath;
  /** After the name of the field: "is not possible …" */
  readonly message: string;
}

/** What one field may not be. */
export interface VmRule {
  /** "[]" stands for every entry of a list. */
  readonly field: readonly string[];
  readonly refused: readonly RefusedValue[];
}

export interface RefusedValue {
  /** Absent: any text that is not empty. */
  readonly value?: string | boolean;
  readonly why: string;
  /** When it is refused only there: in words, and as a test on the object that has the field. */
  readonly only?: {
    readonly when: string;
    readonly holds: (spec: PodSpec, around: Readonly<Record<string, unknown>>) => boolean;
  };
}

/** A flag that asks for something of the host's. */
function ofHost(field: "hostNetwork" | "hostPID" | "hostIPC"): VmRule {
  return { field: ["spec", field], refused: [{ value: true, why: VM_LIMITS[field] }] };
}

/** A field of containers, in both lists of them. */
function ofContainers(field: readonly string[], refused: readonly RefusedValue[]): VmRule[] {
  return ["initContainers", "containers"].map((list) => ({ field: ["spec", list, "[]", ...field], refused }));
}

/** A field of the pod's securityContext and of the containers'. */
function ofSecurityContexts(field: readonly string[], refused: readonly RefusedValue[]): VmRule[] {
  const at = ["securityContext", ...field];
  return [{ field: ["spec", ...at], refused }, ...ofContainers(at, refused)];
}

const NO_DEVICES = "its kernel does not know the host's devices";

/** Every other value is possible. What only the host knows, such as what a hostPath without a type is, the driver refuses. */
export const VM_RULES: readonly VmRule[] = [
  ofHost("hostNetwork"),
  ofHost("hostPID"),
  ofHost("hostIPC"),
  {
    field: ["spec", "volumes", "[]", "hostPath", "type"],
    refused: [
      {
        value: "Socket",
        why: "nobody on the other side of a socket of the host's can be reached from its kernel",
      },
      { value: "CharDevice", why: NO_DEVICES },
      { value: "BlockDevice", why: NO_DEVICES },
    ],
  },
  ...ofSecurityContexts(
    ["appArmorProfile", "type"],
    [
      { value: "RuntimeDefault", why: VM_LIMITS.policyOfHost },
      { value: "Localhost", why: VM_LIMITS.policyOfHost },
    ],
  ),
  ...["level", "role", "type", "user"].flatMap((label) =>
    ofSecurityContexts(["seLinuxOptions", label], [{ why: VM_LIMITS.policyOfHost }]),
  ),
  ...ofContainers(["securityContext", "privileged"], [{ value: true, why: VM_LIMITS.privileged }]),
  ...ofContainers(
    ["volumeMounts", "[]", "mountPropagation"],
    [
      { value: "Bidirectional", why: VM_LIMITS.bidirectional },
      {
        value: "HostToContainer",
        why: VM_LIMITS.hostToContainer,
        only: {
          when: "of a hostPath volume",
          holds: ({ volumes = [] }, { name }) =>
            volumes.some((volume) => volume.name === name && volume.hostPath !== undefined),
        },
      },
    ],
  ),
];

/** Field by field, in the order of the rules; and the annotations that came before a field. */
export function vmRefusals(pod: Pod): VmRefusal[] {
  const refusal = (path: FieldPath, why: string): VmRefusal => ({
    path,
    message: `is not possible in a micro-VM: ${why}`,
  });
  const annotations = Object.entries(pod.metadata.annotations ?? {})
    .filter(([name, text]) => name.startsWith(APP_ARMOR_ANNOTATION) && profileIn(text)?.type !== "Unconfined")
    .map(([name]) => refusal(["metadata", "annotations", name], VM_LIMITS.policyOfHost));
  const fields = VM_RULES.flatMap(({ field, refused }) =>
    placesOf(pod, field).flatMap(({ path, value, around }) =>
      refused
        .filter((one) => is(one, value) && one.only?.holds(pod.spec, around) !== false)
        .map(({ why }) => refusal(path, why)),
    ),
  );
  return [...annotations, ...fields];
}

function is(refused: RefusedValue, value: unknown): boolean {
  return "value" in refused ? refused.value === value : typeof value === "string" && value !== "";
}

interface FoundField {
  readonly path: FieldPath;
  readonly value: unknown;
  readonly around: Readonly<Record<string, unknown>>;
}

/** Every place that `field` names in plain data and that is there. */
function placesOf(root: unknown, field: readonly string[], path: FieldPath = []): FoundField[] {
  const [name, ...rest] = field;
  if (name === undefined) return [];
  if (name === "[]")
    return Array.isArray(root) ? root.flatMap((item, index) => placesOf(item, rest, [...path, index])) : [];
  if (!isRecord(root) || !Object.hasOwn(root, name)) return [];
  const at = [...path, name];
  return rest.length === 0 ? [{ path: at, value: root[name], around: root }] : placesOf(root[name], rest, at);
}
