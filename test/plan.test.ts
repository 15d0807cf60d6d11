import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildDesired, type Desired } from "../src/desired.ts";
import { diff, type KnownPod } from "../src/diff.ts";
import { type PlanStep, plan } from "../src/plan.ts";
import { loaded, makePod, type PodSketch } from "./support/manifests.ts";

/** A small world in which a plan's steps come true at once. */
interface World {
  readonly pods: readonly KnownPod[];
  readonly images: ReadonlySet<string>;
}

let uids = 0;

function take(world: World, step: PlanStep): World {
  const { pods, images } = world;
  switch (step.type) {
    case "ensure-images":
      return { pods, images: new Set([...images, ...step.images]) };
    case "create-pod":
      return {
        images,
        pods: [
          ...pods,
          {
            uid: `new-${uids++}`,
            key: step.key,
            managed: step.desired,
            deleting: false,
            sandboxHash: step.desired.sandboxHash,
          },
        ],
      };
    case "adopt-pod":
    case "update-pod":
      return {
        images,
        pods: pods.map((pod) =>
          pod.uid === step.uid ? { ...pod, managed: step.desired, sandboxHash: step.desired.sandboxHash } : pod,
        ),
      };
    case "remove-pod":
      return { images, pods: pods.filter(({ uid }) => uid !== step.uid) };
  }
}

const sketch = (name: string): fc.Arbitrary<PodSketch> =>
  fc.record(
    {
      name: fc.constant(name),
      image: fc.constantFrom("localhost/app:1", "localhost/app:2"),
      hostNetwork: fc.boolean(),
      hostPort: fc.constantFrom(8001, 8002, 8003),
      labels: fc.constantFrom({ v: "1" }, { v: "2" }),
      sidecarImage: fc.constantFrom("localhost/helper:1", "localhost/helper:2"),
    },
    { requiredKeys: ["name"] },
  );

const folder: fc.Arbitrary<PodSketch[]> = fc
  .tuple(...["a", "b", "c", "d"].map((name) => fc.option(sketch(name), { nil: undefined })))
  .map((sketches) => sketches.filter((one) => one !== undefined));

function wanted(sketches: readonly PodSketch[], accepted: Desired["pods"] = new Map()): Desired {
  const objects = sketches.map((one) => loaded(makePod(one)));
  return buildDesired(objects, { drivers: ["namespace"], defaultRuntimeClass: "namespace", handlers: {}, accepted });
}

const known: fc.Arbitrary<KnownPod[]> = folder.chain((sketches) =>
  fc
    .tuple(
      ...[...wanted(sketches).pods.values()].map((pod, index) =>
        fc
          .record({ managed: fc.boolean(), deleting: fc.constant(false), copies: fc.integer({ min: 1, max: 2 }) })
          .map(({ managed, deleting, copies }) =>
            Array.from(
              { length: copies },
              (_, copy): KnownPod => ({
                uid: `old-${index}-${copy}`,
                key: pod.key,
                managed: managed && copy === 0 ? pod : undefined,
                deleting,
                sandboxHash: pod.sandboxHash,
              }),
            ),
          ),
      ),
    )
    .map((groups) => groups.flat()),
);

const options = { keepUnwanted: false };

describe("desired → diff → plan", () => {
  it("leaves nothing to do once its steps have come true", () => {
    fc.assert(
      fc.property(folder, known, (sketches, pods) => {
        const desired = wanted(sketches);
        const start: World = { pods, images: new Set() };
        const end = plan(diff(desired, pods, options)).reduce(take, start);
        expect(plan(diff(desired, end.pods, options))).toEqual([]);
        const keys = end.pods.map(({ key }) => key);
        expect(keys.toSorted()).toEqual(
          [
            ...desired.pods.keys(),
            ...keys.filter((key) => desired.withheld.has(key) && !desired.pods.has(key)),
          ].toSorted(),
        );
      }),
    );
  });

  it("does not depend on the order of manifests or of what is observed", () => {
    fc.assert(
      fc.property(folder, known, fc.infiniteStream(fc.nat()), (sketches, pods, noise) => {
        const shuffle = <T>(items: readonly T[]): T[] =>
          items
            .map((item) => ({ item, at: noise.next().value }))
            .sort((a, b) => a.at - b.at)
            .map(({ item }) => item);
        const straight = plan(diff(wanted(sketches), pods, options));
        expect(plan(diff(wanted(shuffle(sketches)), shuffle(pods), options))).toEqual(straight);
      }),
    );
  });

  it("never stops anything for a newer version before that version's images are there", () => {
    fc.assert(
      fc.property(folder, known, (sketches, pods) => {
        const desired = wanted(sketches);
        let world: World = { pods, images: new Set() };
        for (const step of plan(diff(desired, pods, options))) {
          const want = desired.pods.get(step.key);
          if (want !== undefined && step.type === "remove-pod" && step.reason.includes("changed")) {
            for (const container of want.pod.spec.containers) expect(world.images).toContain(container.image);
          }
          if (step.type === "update-pod") {
            for (const container of step.desired.pod.spec.containers) {
              if (step.containers.includes(container.name)) expect(world.images).toContain(container.image);
            }
          }
          world = take(world, step);
        }
      }),
    );
  });

  it("plans the same for a pod whatever happens to the others", () => {
    fc.assert(
      fc.property(folder, known, fc.constantFrom("a", "b", "c", "d"), (sketches, pods, name) => {
        const withoutPorts = sketches.map(({ hostPort: _, ...rest }) => rest);
        const key = `default/${name}`;
        const all = plan(diff(wanted(withoutPorts), pods, options)).filter((step) => step.key === key);
        const alone = plan(
          diff(
            wanted(withoutPorts.filter((one) => one.name === name)),
            pods.filter((pod) => pod.key === key),
            options,
          ),
        );
        expect(alone).toEqual(all);
      }),
    );
  });

  it("removes nothing while a source can't be trusted", () => {
    fc.assert(
      fc.property(known, (pods) => {
        const steps = plan(diff(wanted([]), pods, { keepUnwanted: true }));
        expect(steps).toEqual([]);
      }),
    );
  });
});
