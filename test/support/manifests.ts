import type { LoadedObject, Pod } from "../../src/manifest/index.ts";
import { pod as podSchema } from "../../src/manifest/schema/index.ts";

export interface PodSketch {
  readonly name: string;
  readonly namespace?: string;
  readonly image?: string;
  readonly command?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly hostPort?: number;
  readonly hostNetwork?: boolean;
  readonly runtimeClassName?: string;
  readonly sidecarImage?: string;
}

/** A valid, defaulted pod from a few words. */
export function makePod(sketch: PodSketch): Pod {
  const container = (name: string, image: string) => ({
    name,
    image,
    ...(sketch.command && { command: [...sketch.command] }),
  });
  return podSchema.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: sketch.name,
      ...(sketch.namespace && { namespace: sketch.namespace }),
      ...(sketch.labels && { labels: sketch.labels }),
    },
    spec: {
      ...(sketch.hostNetwork && { hostNetwork: true }),
      ...(sketch.runtimeClassName && { runtimeClassName: sketch.runtimeClassName }),
      containers: [
        {
          ...container("app", sketch.image ?? "localhost/app:1"),
          ...(sketch.hostPort && { ports: [{ containerPort: 80, hostPort: sketch.hostPort }] }),
        },
        ...(sketch.sidecarImage ? [container("helper", sketch.sidecarImage)] : []),
      ],
    },
  });
}

export function loaded(object: LoadedObject["object"], file = `${object.metadata.name}.yaml`): LoadedObject {
  return { object, place: { file, line: 1, column: 1 }, places: new Map(), warnings: [], stale: false };
}
