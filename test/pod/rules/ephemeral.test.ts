import { expect, test } from "vitest";
import { ephemeralExcess, toMeasure } from "../../../src/pod/rules/ephemeral.ts";
import { desiredPod } from "../harness.ts";

const Mi = 2 ** 20;
const limited = (name: string, size: string) => ({
  name,
  image: "app",
  resources: { limits: { "ephemeral-storage": size } },
});
const free = { name: "free", image: "app" };
const empty = (name: string, emptyDir: object) => ({ name, emptyDir });

test.each<[string, object, ReturnType<typeof toMeasure>]>([
  ["nothing is limited", { containers: [free], volumes: [empty("v", {})] }, undefined],
  ["a tmpfs is held by the kernel", { volumes: [empty("v", { medium: "Memory", sizeLimit: "1Mi" })] }, undefined],
  ["a volume", { volumes: [empty("v", { sizeLimit: "1Mi" }), empty("w", {})] }, { containers: false, volumes: ["v"] }],
  [
    "a container: then all counts",
    { containers: [free, limited("a", "1Mi")], volumes: [empty("v", {}), empty("m", { medium: "Memory" })] },
    { containers: true, volumes: ["v"] },
  ],
])("to be measured: %s", (_name, spec, measured) => expect(toMeasure(desiredPod(spec).pod)).toEqual(measured));

const two = { containers: [limited("a", "1Mi"), limited("b", "10Mi")], volumes: [empty("v", { sizeLimit: "20Mi" })] };
test.each<[string, object, Record<string, number>, Record<string, number>, string | undefined]>([
  ["within", two, { a: Mi, b: 2 * Mi }, { v: 8 * Mi }, undefined],
  ["one container", two, { a: Mi + 1 }, {}, 'Container a exceeded its local ephemeral storage limit "1Mi".'],
  [
    "all together",
    two,
    { a: Mi, b: 5 * Mi },
    { v: 6 * Mi },
    "Pod ephemeral local storage usage exceeds the total limit of containers 11Mi.",
  ],
  ["the volume first", two, { a: 9 * Mi }, { v: 21 * Mi }, 'Usage of EmptyDir volume "v" exceeds the limit "20Mi".'],
  [
    "one without a limit counts for the pod",
    { containers: [limited("a", "1Mi"), free] },
    { a: 0, free: 2 * Mi },
    {},
    "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi.",
  ],
  [
    "init containers one at a time",
    { containers: [limited("a", "1Mi")], initContainers: [limited("i", "8Mi"), limited("j", "2Mi")] },
    { a: Mi, i: 5 * Mi, j: 2 * Mi },
    {},
    undefined,
  ],
])("over: %s", (_name, spec, containers, volumes, message) =>
  expect(ephemeralExcess(desiredPod(spec).pod, { containers, volumes })).toBe(message),
);
