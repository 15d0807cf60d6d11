import { describe, expect, test } from "vitest";
import { buildDesired } from "../../src/desired.ts";
import { formatProblem, parseManifestText } from "../../src/manifest/index.ts";

function parsed(pod: object, container: object, annotations: Readonly<Record<string, string>> = {}) {
  const containers = [{ name: "app", image: "localhost/app:1", ...container }];
  const object = { apiVersion: "v1", kind: "Pod", metadata: { name: "p", annotations }, spec: { ...pod, containers } };
  return parseManifestText("p.yaml", JSON.stringify(object));
}

const problems = (...given: Parameters<typeof parsed>): string[] => parsed(...given).problems.map(formatProblem);
const AA = "container.apparmor.security.beta.kubernetes.io/";

describe("security contexts", () => {
  test.each<[string, object, object, Readonly<Record<string, string>>]>([
    [
      "profiles of every type",
      { securityContext: { seccompProfile: { type: "Localhost", localhostProfile: "team/a.json" } } },
      {
        securityContext: {
          seccompProfile: { type: "Unconfined" },
          appArmorProfile: { type: "Localhost", localhostProfile: "mine" },
        },
      },
      {},
    ],
    ["procMount with a user namespace", { hostUsers: false }, { securityContext: { procMount: "Unmasked" } }, {}],
    ["the default procMount", {}, { securityContext: { procMount: "Default" } }, {}],
    [
      "SELinux and the policies",
      {
        securityContext: {
          seLinuxOptions: { level: "s0:c1" },
          seLinuxChangePolicy: "Recursive",
          supplementalGroupsPolicy: "Strict",
        },
      },
      { securityContext: { seLinuxOptions: {} } },
      {},
    ],
    [
      "a setting of the whole kernel in a micro-VM",
      { runtimeClassName: "microvm", securityContext: { sysctls: [{ name: "vm.max_map_count", value: "262144" }] } },
      {},
      {},
    ],
    ["an annotation", {}, {}, { [`${AA}app`]: "localhost/mine" }],
    [
      "an annotation that says the same as the field",
      {},
      { securityContext: { appArmorProfile: { type: "RuntimeDefault" } } },
      { [`${AA}app`]: "runtime/default" },
    ],
  ])("%s", (_, pod, container, annotations) => {
    expect(problems(pod, container, annotations)).toEqual([]);
  });

  const seccomp = (profile: object) => ({ securityContext: { seccompProfile: profile } });
  const appArmor = (profile: object) => ({ securityContext: { appArmorProfile: profile } });
  test.each<[string, object, object, Readonly<Record<string, string>>]>([
    ["needs a localhostProfile", {}, seccomp({ type: "Localhost" }), {}],
    ["needs a localhostProfile", seccomp({ type: "Localhost", localhostProfile: "" }), {}, {}],
    ["is for type Localhost only", {}, seccomp({ type: "RuntimeDefault", localhostProfile: "a.json" }), {}],
    ['"/etc/a.json" must be a relative path', {}, seccomp({ type: "Localhost", localhostProfile: "/etc/a.json" }), {}],
    ["must not contain '..'", {}, seccomp({ type: "Localhost", localhostProfile: "a/../../b.json" }), {}],
    ["must not begin or end with white space", {}, appArmor({ type: "Localhost", localhostProfile: " a" }), {}],
    ["needs a localhostProfile", appArmor({ type: "Localhost" }), {}, {}],
    ["Unmasked needs hostUsers: false", {}, { securityContext: { procMount: "Unmasked" } }, {}],
    ["the pod has no container \"ap\" (did you mean 'app'?)", {}, {}, { [`${AA}ap`]: "unconfined" }],
    ['"default" is no AppArmor profile (one of: runtime/default', {}, {}, { [`${AA}app`]: "default" }],
    ['"localhost/" is no AppArmor profile', {}, {}, { [`${AA}app`]: "localhost/" }],
    ["says otherwise", {}, appArmor({ type: "Unconfined" }), { [`${AA}app`]: "runtime/default" }],
    [
      "vm.max_map_count is a setting of the whole host",
      { securityContext: { sysctls: [{ name: "vm.max_map_count", value: "262144" }] } },
      {},
      {},
    ],
    ["dropped it in 1.27", {}, {}, { "seccomp.security.alpha.kubernetes.io/pod": "runtime/default" }],
    ["dropped it in 1.27", {}, {}, { "container.seccomp.security.alpha.kubernetes.io/app": "unconfined" }],
    ["Gantry runs Linux containers only", {}, { securityContext: { windowsOptions: { runAsUserName: "x" } } }, {}],
  ])("%s", (message, pod, container, annotations) => {
    const found = problems(pod, container, annotations);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(message);
  });

  test("another AppArmor annotation is another container", () => {
    const hashes = (annotations: Readonly<Record<string, string>>) => {
      const { pods } = buildDesired(parsed({}, {}, annotations).objects, {
        drivers: ["namespace"],
        defaultRuntimeClass: "namespace",
        handlers: {},
        accepted: new Map(),
      });
      return pods.get("default/p")?.containerHashes["app"];
    };
    expect(hashes({ [`${AA}app`]: "unconfined" })).not.toBe(hashes({ [`${AA}app`]: "runtime/default" }));
    expect(hashes({ other: "x" })).toBe(hashes({}));
  });
});
