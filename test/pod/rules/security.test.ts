import { describe, expect, test } from "vitest";
import type { Container } from "../../../src/manifest/index.ts";
import { confinementWish, securityOf, userOf } from "../../../src/pod/rules/security.ts";
import { desiredPod } from "../harness.ts";

type Context = NonNullable<Container["securityContext"]>;

function podWith(own: object, common: object = {}, annotations: Readonly<Record<string, string>> = {}) {
  const containers = [{ name: "app", image: "app", securityContext: own }];
  const { pod } = desiredPod({ containers, securityContext: common }, { annotations });
  const [container] = pod.spec.containers;
  if (container === undefined) throw new Error("no container");
  return [pod, container] as const;
}

const local = (localhostProfile: string) => ({ type: "Localhost", localhostProfile });
const AA = "container.apparmor.security.beta.kubernetes.io/app";

describe("what a container wants of its host", () => {
  test.each<[string, object, object, Readonly<Record<string, string>>, object]>([
    ["nothing", {}, {}, {}, {}],
    ["nothing, by name", { seLinuxOptions: {}, appArmorProfile: { type: "Unconfined" } }, {}, {}, {}],
    [
      "the pod's",
      {},
      { seccompProfile: local("a"), appArmorProfile: local("b"), seLinuxOptions: { type: "t" } },
      {},
      {
        seccomp: "a",
        appArmor: { type: "Localhost", name: "b" },
        seLinux: { type: "t" },
      },
    ],
    [
      "its own first",
      { seccompProfile: { type: "RuntimeDefault" }, appArmorProfile: { type: "RuntimeDefault" } },
      { seccompProfile: local("a"), appArmorProfile: local("b") },
      {},
      {
        appArmor: { type: "RuntimeDefault" },
      },
    ],
    [
      "the annotation before the pod's field",
      {},
      { appArmorProfile: local("b") },
      { [AA]: "localhost/c" },
      { appArmor: { type: "Localhost", name: "c" } },
    ],
    ["its own before the annotation", { appArmorProfile: { type: "Unconfined" } }, {}, { [AA]: "unconfined" }, {}],
    [
      "privileged: only what is asked for by name",
      { privileged: true, seccompProfile: local("a"), appArmorProfile: local("b") },
      {},
      {},
      { appArmor: { type: "Localhost", name: "b" } },
    ],
    ["privileged: no default profile", { privileged: true }, { appArmorProfile: { type: "RuntimeDefault" } }, {}, {}],
    [
      "an empty part of a label is none",
      { seLinuxOptions: { level: "s0", role: "" } },
      {},
      {},
      { seLinux: { level: "s0" } },
    ],
  ])("%s", (_, own, common, annotations, wish) => {
    expect(confinementWish(...podWith(own, common, annotations))).toEqual(wish);
  });
});

describe("what it gets", () => {
  const profile = { defaultAction: "SCMP_ACT_ALLOW" } as const;
  const seLinux = { process: "u:r:t:s0", files: "u:object_r:f:s0" };
  const base = {
    privileged: false,
    noNewPrivileges: false,
    readOnlyRootFilesystem: false,
    capabilities: { add: [], drop: [] },
    seccomp: { type: "RuntimeDefault" },
  };
  test.each<[string, Partial<Context>, object, object]>([
    ["the defaults", {}, {}, base],
    ["unconfined", { seccompProfile: { type: "Unconfined" } }, {}, { ...base, seccomp: { type: "Unconfined" } }],
    [
      "all that the host has",
      { procMount: "Unmasked", seccompProfile: { type: "Localhost", localhostProfile: "a" } },
      { seccomp: profile, appArmor: "mine", seLinux },
      {
        ...base,
        seccomp: { type: "Localhost", profile },
        unmasked: true,
        appArmorProfile: "mine",
        seLinux,
      },
    ],
    [
      "privileged: no filter, new privileges",
      { privileged: true, seccompProfile: { type: "RuntimeDefault" } },
      {},
      { ...base, privileged: true, seccomp: { type: "Unconfined" } },
    ],
    ["allowPrivilegeEscalation: false", { allowPrivilegeEscalation: false }, {}, { ...base, noNewPrivileges: true }],
  ])("%s", (_, own, confinement, expected) => {
    expect(securityOf(...podWith(own), confinement)).toEqual(expected);
  });
});

test("supplementalGroupsPolicy: Strict leaves the image's groups out", () => {
  const groups = (policy: string) => userOf(...podWith({}, { supplementalGroupsPolicy: policy, fsGroup: 5 }), "");
  expect(groups("Strict")).toEqual({ supplementalGroups: [5], onlyTheseGroups: true });
  expect(groups("Merge")).toEqual({ supplementalGroups: [5] });
});
