import { describe, expect, test } from "vitest";
import { buildDesired } from "../../src/desired.ts";
import { formatProblem, parseManifestText } from "../../src/manifest/index.ts";
import { vmOptions } from "../../src/manifest/vm.ts";

const annotated = (lines: readonly string[]): string => `apiVersion: v1
kind: Pod
metadata:
  name: vm
  annotations:
${lines.map((line) => `    gantry.dev/vm-${line}\n`).join("")}spec:
  runtimeClassName: microvm
  containers: [{name: app, image: a}]
`;

const problemsOf = (...lines: string[]): string[] =>
  parseManifestText("f.yaml", annotated(lines)).problems.map(formatProblem);

test("what the annotations ask for", () => {
  const asked = [
    "memory: 512Mi",
    'vcpus: "2"',
    "kernel: /boot/k",
    "initramfs: /boot/i",
    "machine: q35",
    "accelerator: tcg",
  ];
  expect(problemsOf(...asked)).toEqual([]);
  const of = (name: string): string => `gantry.dev/vm-${name}`;
  expect(vmOptions({ [of("memory")]: "0.5Gi", [of("vcpus")]: "3", [of("machine")]: "auto", other: "x" })).toEqual({
    memoryMiB: 512,
    vcpus: 3,
    machine: "auto",
  });
  expect(vmOptions({ other: "x" })).toBeUndefined();
  expect(vmOptions(undefined)).toBeUndefined();
});

test.each([
  ["memory: 64Mi", '"64Mi" must be a quantity of memory from 96Mi to 1Ti, such as 512Mi'],
  ["memory: lots", '"lots" must be a quantity of memory from 96Mi to 1Ti, such as 512Mi'],
  ["memory: -1Gi", '"-1Gi" must be a quantity of memory from 96Mi to 1Ti, such as 512Mi'],
  ['vcpus: "0"', '"0" must be a whole number from 1 to 64'],
  ['vcpus: "1.5"', '"1.5" must be a whole number from 1 to 64'],
  ["kernel: vmlinuz", '"vmlinuz" must be the absolute path of a file on the host'],
  ["initramfs: /boot/", '"/boot/" must be the absolute path of a file on the host'],
  ["machine: microvn", '"microvn" is not one of "auto", "q35", "microvm" (did you mean \'microvm\'?)'],
  ["accelerator: hvf", '"hvf" is not one of "auto", "kvm", "tcg"'],
])("%s is refused where it stands", (line, message) => {
  const [problem] = problemsOf(line);
  expect(problem).toContain(message);
  expect(problem).toMatch(/^f\.yaml:6:\d+: error: metadata\.annotations\["gantry\.dev\/vm-/);
});

test("a misspelt annotation is told from one of somebody else", () => {
  expect(problemsOf("memroy: 1Gi").join()).toContain(
    "unknown annotation 'gantry.dev/vm-memroy' (did you mean 'gantry.dev/vm-memory'?)",
  );
});

test("a number without quotes says to put it in quotes, as for any annotation", () => {
  expect(problemsOf("vcpus: 2").join()).toContain("put it in quotes");
});

test("the machine microvm under software emulation is refused", () => {
  expect(problemsOf("accelerator: tcg", "machine: microvm").join()).toContain("needs hardware virtualization");
  expect(problemsOf("accelerator: kvm", "machine: microvm")).toEqual([]);
});

describe("what a micro-VM cannot give", () => {
  const text = `apiVersion: v1
kind: Pod
metadata:
  name: greedy
  annotations: { container.apparmor.security.beta.kubernetes.io/app: runtime/default }
spec:
  runtimeClassName: CLASS
  hostNetwork: true
  hostPID: true
  hostIPC: true
  containers:
    - name: app
      image: localhost/app:1
      securityContext: { privileged: true, seLinuxOptions: { level: "s0" }, appArmorProfile: { type: RuntimeDefault } }
      volumeMounts:
        - { name: socket, mountPath: /socket, mountPropagation: HostToContainer }
        - { name: empty, mountPath: /empty, mountPropagation: Bidirectional }
  volumes:
    - name: socket
      hostPath: { path: /run/x.sock, type: Socket }
    - { name: disk, hostPath: { path: /dev/sda, type: BlockDevice } }
    - { name: files, hostPath: { path: /srv } }
    - { name: empty, emptyDir: {} }
`;
  const refused = (runtimeClass: string): string[] => {
    const { objects, problems } = parseManifestText("greedy.yaml", text.replace("CLASS", runtimeClass));
    const desired = buildDesired(objects, {
      drivers: ["namespace", "microvm"],
      defaultRuntimeClass: "namespace",
      handlers: {},
      accepted: new Map(),
    });
    const errors = [...problems, ...desired.problems].filter(({ severity }) => severity === "error");
    expect(desired.withheld.size).toBe(errors.length > 0 ? 1 : 0);
    return errors.map(formatProblem);
  };

  test("is refused where it is written, with the reason", () => {
    const all = refused("microvm");
    expect(all.map((line) => line.split(": ").slice(0, 3).join(" "))).toEqual([
      'greedy.yaml:5:70 error metadata.annotations["container.apparmor.security.beta.kubernetes.io/app"]',
      "greedy.yaml:8:16 error spec.hostNetwork",
      "greedy.yaml:9:12 error spec.hostPID",
      "greedy.yaml:10:12 error spec.hostIPC",
      "greedy.yaml:20:44 error spec.volumes[0].hostPath.type",
      "greedy.yaml:21:55 error spec.volumes[1].hostPath.type",
      "greedy.yaml:14:102 error spec.containers[0].securityContext.appArmorProfile.type",
      "greedy.yaml:14:69 error spec.containers[0].securityContext.seLinuxOptions.level",
      "greedy.yaml:14:38 error spec.containers[0].securityContext.privileged",
      "greedy.yaml:16:65 error spec.containers[0].volumeMounts[0].mountPropagation",
      "greedy.yaml:17:63 error spec.containers[0].volumeMounts[1].mountPropagation",
    ]);
    for (const line of all) expect(line).toContain("is not possible in a micro-VM: ");
  });

  test("is fine in a pod without one", () => {
    expect(refused("namespace")).toEqual([]);
  });
});
