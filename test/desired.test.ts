import { describe, expect, it } from "vitest";
import { buildDesired, type DesiredContext, keyOf } from "../src/desired.ts";
import { runtimeClass } from "../src/manifest/schema/index.ts";
import type { DesiredPod } from "../src/pod/contract.ts";
import { loaded, makePod, type PodSketch } from "./support/manifests.ts";

const context: DesiredContext = {
  drivers: ["namespace"],
  defaultRuntimeClass: "namespace",
  handlers: {},
  accepted: new Map(),
};

function hashes(sketch: PodSketch): DesiredPod {
  const desired = buildDesired([loaded(makePod(sketch))], context).pods.get(`default/${sketch.name}`);
  if (desired === undefined) throw new Error("it was withheld");
  return desired;
}

const web: PodSketch = { name: "web", labels: { a: "1" }, sidecarImage: "localhost/helper:1" };

describe("what a change asks for", () => {
  it("restarts nothing for a label", () => {
    const [before, after] = [hashes(web), hashes({ ...web, labels: { a: "2" } })];
    expect(after.sandboxHash).toBe(before.sandboxHash);
    expect(after.containerHashes).toEqual(before.containerHashes);
    expect(after.metadataHash).not.toBe(before.metadataHash);
  });

  it("restarts one container for its image", () => {
    const [before, after] = [hashes(web), hashes({ ...web, image: "localhost/app:2" })];
    expect(after.sandboxHash).toBe(before.sandboxHash);
    expect(after.containerHashes["app"]).not.toBe(before.containerHashes["app"]);
    expect(after.containerHashes["helper"]).toBe(before.containerHashes["helper"]);
  });

  it("makes a new sandbox for host ports and namespaces", () => {
    expect(hashes({ ...web, hostPort: 8080 }).sandboxHash).not.toBe(hashes(web).sandboxHash);
    expect(hashes({ ...web, hostNetwork: true }).sandboxHash).not.toBe(hashes(web).sandboxHash);
  });

  it("does not depend on the order of keys", () => {
    const pod = makePod(web);
    const reversed = { ...pod, spec: Object.fromEntries(Object.entries(pod.spec).reverse()) as typeof pod.spec };
    const of = (object: typeof pod) => buildDesired([loaded(object)], context).pods.get(keyOf(object))?.sandboxHash;
    expect(of(reversed)).toBe(of(pod));
  });
});

describe("annotations about the virtual machine", () => {
  const both: DesiredContext = { ...context, drivers: ["namespace", "microvm"] };
  const desired = (runtimeClassName: string, memory?: string): DesiredPod => {
    const pod = makePod(web);
    const annotations = memory === undefined ? {} : { "gantry.dev/vm-memory": memory };
    const object = { ...pod, metadata: { ...pod.metadata, annotations }, spec: { ...pod.spec, runtimeClassName } };
    const found = buildDesired([loaded(object)], both).pods.get(keyOf(object));
    if (found === undefined) throw new Error("it was withheld");
    return found;
  };

  it("make a new sandbox of a pod that has one, and not because of how they are written", () => {
    expect(desired("microvm", "1Gi").sandboxHash).not.toBe(desired("microvm").sandboxHash);
    expect(desired("microvm", "1Gi").sandboxHash).not.toBe(desired("microvm", "2Gi").sandboxHash);
    expect(desired("microvm", "1Gi").sandboxHash).toBe(desired("microvm", "1024Mi").sandboxHash);
    expect(desired("microvm").sandboxHash).not.toBe(desired("namespace").sandboxHash);
  });

  it("change nothing of another pod, and are warned of", () => {
    expect(desired("namespace", "1Gi").sandboxHash).toBe(desired("namespace").sandboxHash);
    expect(desired("namespace", "1Gi").warnings.join()).toContain("does not run in a micro-VM");
    expect(desired("microvm", "1Gi").warnings).toEqual([]);
  });
});

describe("pods that can't be together", () => {
  const first = makePod({ name: "b-first", hostPort: 8080 });
  const second = makePod({ name: "a-second", hostPort: 8080 });

  it("keeps the one that is there already, whatever their names", () => {
    const accepted = buildDesired([loaded(first)], context).pods;
    const desired = buildDesired([loaded(second), loaded(first)], { ...context, accepted });
    expect([...desired.pods.keys()]).toEqual(["default/b-first"]);
    expect([...desired.withheld]).toEqual(["default/a-second"]);
    expect(desired.problems).toMatchObject([
      {
        severity: "error",
        place: { file: "a-second.yaml" },
        message: "host port 8080/TCP is already used by pod default/b-first",
      },
    ]);
  });

  it("keeps the old version of a pod whose new one takes another's port", () => {
    const before = makePod({ name: "a-second", hostPort: 9090 });
    const accepted = buildDesired([loaded(before), loaded(first)], context).pods;
    const desired = buildDesired([loaded(second), loaded(first)], { ...context, accepted });
    expect(desired.pods.get("default/a-second")?.pod).toBe(before);
    expect(desired.pods.get("default/b-first")?.pod).toBe(first);
  });

  it("lets different addresses and protocols share a number", () => {
    const other = makePod({ name: "other", hostPort: 8081 });
    expect(buildDesired([loaded(first), loaded(other)], context).withheld.size).toBe(0);
  });

  it("names the runtime classes there are when one is unknown", () => {
    const desired = buildDesired([loaded(makePod({ name: "x", runtimeClassName: "gvisor" }))], context);
    expect(desired.pods.size).toBe(0);
    expect(desired.problems[0]).toMatchObject({
      message: 'runtime class "gvisor" does not exist',
      field: "spec.runtimeClassName",
    });
  });
});

describe("overhead", () => {
  const heavy = runtimeClass.parse({
    apiVersion: "node.k8s.io/v1",
    kind: "RuntimeClass",
    metadata: { name: "heavy" },
    handler: "runc",
    overhead: { podFixed: { cpu: "250m", memory: "64Mi" } },
  });
  const of = (runtimeClassName: string, overhead?: Record<string, string>, rtc = heavy) => {
    const pod = makePod({ ...web, runtimeClassName });
    const object = { ...pod, spec: { ...pod.spec, ...(overhead === undefined ? {} : { overhead }) } };
    const built = buildDesired([loaded(rtc, "class.yaml"), loaded(object)], context);
    return { pod: built.pods.get("default/web"), problem: built.problems[0]?.message };
  };

  it("comes from the RuntimeClass, and makes a new sandbox when it changes", () => {
    const { pod } = of("heavy");
    expect(pod?.pod.spec.overhead).toEqual({ cpu: "250m", memory: "64Mi" });
    expect(of("heavy", { cpu: "0.25", memory: "65536Ki" }).pod?.pod.spec.overhead).toEqual(pod?.pod.spec.overhead);
    const more = { ...heavy, overhead: { podFixed: { memory: "65Mi" } } };
    expect(of("heavy", undefined, more).pod?.sandboxHash).not.toBe(pod?.sandboxHash);
    expect(of("namespace").pod?.pod.spec.overhead).toBeUndefined();
  });

  it("of the same manifest follows its class", () => {
    const object = makePod({ ...web, runtimeClassName: "heavy" });
    const build = (rtc: typeof heavy) => buildDesired([loaded(rtc), loaded(object)], context).pods.get("default/web");
    const before = build(heavy);
    expect(build(heavy)).toBe(before);
    expect(build({ ...heavy, overhead: undefined })?.pod.spec.overhead).toBeUndefined();
  });

  it("of a pod that says otherwise is refused", () => {
    expect(of("heavy", { memory: "1Gi" })).toEqual({
      pod: undefined,
      problem: 'is not the overhead that runtime class "heavy" defines, {"cpu":"250m","memory":"64Mi"}',
    });
    expect(of("namespace", { memory: "1Gi" }).problem).toBe(
      'is set, but the pod\'s runtime class "namespace" defines no overhead',
    );
  });
});
