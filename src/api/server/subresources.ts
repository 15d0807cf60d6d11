/** `scale` and `status` of objects. */
import type { FastifyInstance } from "fastify";
import { GantryError } from "../../system/errors.ts";
import type { ServedObject } from "../contract.ts";
import { PATCH_TYPES, patched } from "../patch/patch.ts";
import { at, type Fields, fieldsOf, withField } from "../patch/plain.ts";
import { httpError } from "../status-error.ts";
import { readData } from "./body.ts";
import { hasStatus, type ServedKind } from "./kinds.ts";
import { basePath, find, inFormat, type Resource } from "./resources.ts";
import { type Call, route } from "./routing.ts";
import { selectorText } from "./table/column.ts";
import type { Writes } from "./write.ts";
import { mediaType, refuseStale } from "./write-request.ts";

export function serveSubresources(
  app: FastifyInstance,
  kind: ServedKind,
  resource: Resource<ServedObject>,
  writes: Writes<ServedObject> | undefined,
): void {
  const base = basePath(resource);
  const path = `${base}/${kind.namespaced ? "namespaces/:namespace/" : ""}${kind.plural}/:name`;
  const live = (call: Call): ServedObject =>
    find(resource, kind.namespaced ? call.param("namespace") : undefined, call.param("name"));
  if (hasStatus(kind.kind)) serveStatus(app, path, kind.kind, (call) => inFormat(call, resource, live(call)));
  const unscalable = UNSCALABLE[kind.kind];
  if (unscalable !== undefined) route(app, `${path}/scale`, {}, { otherwise: unscalable });
  if (!kind.scalable || writes === undefined) return;
  const change = async (call: Call, wanted: (scale: Fields) => unknown): Promise<Fields> => {
    const scaled = await writes.change(call, (object) => {
      const scale = wanted(scaleOf(object));
      refuseStale(resource, object, scale);
      const replicas = at(scale, "spec", "replicas");
      if (typeof replicas !== "number" || !Number.isInteger(replicas) || replicas < 0) {
        throw new GantryError(
          "invalid-manifest",
          `spec.replicas: ${JSON.stringify(replicas)} is not a number from 0 up`,
          {
            details: { causes: [{ field: "spec.replicas", message: "must be a whole number from 0 up" }] },
          },
        );
      }
      const fields = fieldsOf(object) ?? {};
      return withField(fields, "spec", { ...fieldsOf(fields["spec"]), replicas });
    });
    return scaleOf(scaled);
  };
  route(app, `${path}/scale`, {
    GET: (call) => scaleOf(live(call)),
    PUT: async (call) => {
      const body = await readData(call.request);
      return change(call, () => body);
    },
    PATCH: async (call) => {
      const type = mediaType(call, PATCH_TYPES);
      const patch = await readData(call.request, PATCH_TYPES);
      return change(call, (scale) => patched(type, scale, patch));
    },
  });
}

/** What people try to scale all the same. */
export const UNSCALABLE: Readonly<Record<string, string>> = {
  Pod: "a Pod can't be scaled: make it the template of a Deployment",
  Job: "a Job can't be scaled: how many of its pods run at once is its spec.parallelism",
  CronJob: "a CronJob can't be scaled: it starts Jobs by the clock; set spec.parallelism of its jobTemplate",
  DaemonSet: "a DaemonSet can't be scaled: it has one pod on each node, and there is this one",
};

/** A status is told by what happens: nobody else can set it. */
export function serveStatus(app: FastifyInstance, path: string, kind: string, get: (call: Call) => unknown): void {
  const refuse = (call: Call): never => {
    get(call);
    throw httpError(
      "MethodNotAllowed",
      `the status of a ${kind} can't be written`,
      "It follows from what runs on this node.",
    );
  };
  route(app, `${path}/status`, { GET: get, PUT: refuse, PATCH: refuse });
}

/** autoscaling/v1 Scale */
function scaleOf(object: unknown): Fields {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = fieldsOf(at(object, "metadata")) ?? {};
  const selector = selectorText(at(object, "spec", "selector"));
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: at(object, "spec", "replicas") ?? 0 },
    status: { replicas: at(object, "status", "replicas") ?? 0, selector },
  };
}
