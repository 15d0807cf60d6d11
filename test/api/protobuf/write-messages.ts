/**
 * Brings src/api/protobuf/messages.txt up to date:
 * node test/api/protobuf/write-messages.ts DIR, with the trees of the Go modules k8s.io/api and k8s.io/apimachinery laid
 * over each other in DIR. The numbers and types of fields are those of their generated.proto; what JSON calls a field,
 * and whether its zero is left out there, stands in the tags of their types.go.
 */
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";

/** What clients send, and what is explained: the objects that are served, and what is asked for beside them. */
const ROOTS = [
  ..."Pod Service ConfigMap Secret PersistentVolumeClaim Namespace Node Event Binding"
    .split(" ")
    .map((kind) => `core/v1.${kind}`),
  ..."DaemonSet Deployment ReplicaSet StatefulSet ControllerRevision".split(" ").map((kind) => `apps/v1.${kind}`),
  ..."CronJob Job".split(" ").map((kind) => `batch/v1.${kind}`),
  ..."SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview LocalSubjectAccessReview"
    .split(" ")
    .map((kind) => `authorization/v1.${kind}`),
  ..."SelfSubjectReview TokenReview".split(" ").map((kind) => `authentication/v1.${kind}`),
  ...["autoscaling/v1.Scale", "policy/v1.Eviction", "node/v1.RuntimeClass", "discovery/v1.EndpointSlice"],
  ...["events/v1.Event", "meta/v1.DeleteOptions", "meta/v1.Status"],
  ..."ServiceAccount PersistentVolume Endpoints LimitRange ResourceQuota ReplicationController"
    .split(" ")
    .map((kind) => `core/v1.${kind}`),
  ..."Role RoleBinding ClusterRole ClusterRoleBinding".split(" ").map((kind) => `rbac/v1.${kind}`),
  ..."Ingress IngressClass NetworkPolicy".split(" ").map((kind) => `networking/v1.${kind}`),
  ...["v1", "v2"].map((version) => `autoscaling/${version}.HorizontalPodAutoscaler`),
  ...["v1", "v1beta1"].map((version) => `policy/${version}.PodDisruptionBudget`),
  ...["coordination/v1.Lease", "scheduling/v1.PriorityClass", "storage/v1.StorageClass"],
];

interface GoField {
  /** "" for what stands in the object itself. */
  readonly json: string;
  /** A value that is always there, and whose zero JSON leaves out. */
  readonly omitsZero: boolean;
}

const [directory = ""] = process.argv.slice(2);
const goFields = new Map<string, GoField>();
const messages = new Map<string, protobuf.Type>();
for (const file of globSync("{*/v*,pkg/**}/generated.proto", { cwd: directory })) {
  const { root } = protobuf.parse(readFileSync(join(directory, file), "utf8"), new protobuf.Root(), { keepCase: true });
  collect(root);
  for (const source of globSync("*.go", { cwd: join(directory, dirname(file)) }))
    if (!source.endsWith("_test.go"))
      readTags(shortName(dirname(file)), readFileSync(join(directory, dirname(file), source), "utf8"));
}

const lines: string[] = [];
const done = new Set<string>();
for (const name of ROOTS) describe(name);
const target = fileURLToPath(new URL("../../../src/api/protobuf/messages.txt", import.meta.url));
const head = readFileSync(target, "utf8")
  .split("\n")
  .filter((line) => line.startsWith("#"));
writeFileSync(target, `${[...head, ...lines].join("\n")}\n`);
console.log(`${done.size} messages`);

function collect(namespace: protobuf.NamespaceBase): void {
  for (const inner of namespace.nestedArray) {
    if (inner instanceof protobuf.Type) messages.set(shortName(inner.fullName), inner);
    if (inner instanceof protobuf.Namespace) collect(inner);
  }
}

/** ".k8s.io.apimachinery.pkg.apis.meta.v1.Time" → "meta/v1.Time"; "pkg/apis/meta/v1" → "meta/v1" */
function shortName(long: string): string {
  const parts = long.split(/[./]/).filter((part) => part !== "");
  const from = parts.findIndex((part) => /^v\d/.test(part));
  if (from > 0) return [`${parts[from - 1]}/${parts[from]}`, ...parts.slice(from + 1)].join(".");
  return long.includes(".") ? parts.slice(-2).join(".") : basename(long);
}

function readTags(inPackage: string, source: string): void {
  for (const [, struct = "", body = ""] of source.matchAll(/^type (\w+) struct \{\n(.*?)^\}/gms)) {
    for (const line of body.split("\n")) {
      const number = /protobuf:"\w+,(\d+)/.exec(line)?.[1];
      const tag = /json:"([^"]*)"/.exec(line)?.[1];
      if (number === undefined || tag === undefined) continue;
      const [json = "", ...options] = tag.split(",");
      const isPointer = /^\s*\w+\s+\*|^\s*\*/.test(line);
      goFields.set(`${inPackage}.${struct} ${number}`, {
        json,
        omitsZero: !isPointer && options.includes("omitempty"),
      });
    }
  }
}

function describe(name: string): void {
  if (done.has(name)) return;
  done.add(name);
  const message = messages.get(name);
  if (message === undefined) throw new Error(`no message ${name}`);
  lines.push(name);
  const used: string[] = [];
  for (const field of message.fieldsArray.toSorted((a, b) => a.id - b.id)) {
    const type = typeOf(field, name);
    if (type.includes(".")) used.push(type);
    const go = goFields.get(`${name} ${field.id}`) ?? { json: field.name, omitsZero: false };
    const shape = field.map ? "{}" : field.repeated ? "[]" : "";
    const isScalar = shape === "" && !type.includes(".");
    lines.push(` ${field.id} ${go.json === "" ? "-" : go.json} ${shape}${type}${go.omitsZero && isScalar ? "?" : ""}`);
  }
  for (const type of used) describe(type);
}

function typeOf({ type }: protobuf.Field, inside: string): string {
  if (!/[A-Z]/.test(type)) return /int/.test(type) ? "int" : type;
  return type.includes(".") ? shortName(type) : `${inside.slice(0, inside.lastIndexOf("."))}.${type}`;
}
