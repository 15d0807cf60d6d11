import { type Document, isMap, isSeq, parseAllDocuments, type YAMLMap } from "yaml";

const ALL = ["namespace", "microvm"] as const;
export type RuntimeClass = (typeof ALL)[number];

const asked = process.env["GANTRY_TEST_RUNTIME_CLASS"];

/** What the same tests run on; GANTRY_TEST_RUNTIME_CLASS picks one. */
export const RUNTIME_CLASSES: readonly RuntimeClass[] = ALL.filter((each) => asked === undefined || asked === each);

/**
 * A manifest whose pods ask for that class, unless they say themselves what they want. Nothing else is changed: the
 * words are put into the text. What is no manifest, as a test may want it, stays as it is.
 */
export function withRuntimeClass(text: string, runtimeClass: RuntimeClass): string {
  const documents = parseAllDocuments(text);
  if ("empty" in documents || documents.some(({ errors }) => errors.length > 0)) return text;
  const specs = documents.flatMap(specsIn).filter((spec) => !spec.has("runtimeClassName"));
  return specs.reduceRight((edited, spec) => withFirstKey(edited, spec, "runtimeClassName", runtimeClass), text);
}

/** The specs of the pods in a document: its own, or those of a List's items, in the order of the text. */
function specsIn({ contents }: Document): YAMLMap[] {
  const objects = isMap(contents) ? [contents] : [];
  const items = objects[0]?.get("items");
  if (isSeq(items)) objects.push(...items.items.filter(isMap));
  return objects.map((object) => object.getIn(PATHS[String(object.get("kind"))] ?? ["?"])).filter(isMap);
}

const TEMPLATE = ["spec", "template", "spec"];

/** Where the spec of a pod stands in each kind. */
const PATHS: Readonly<Record<string, readonly string[]>> = {
  Pod: ["spec"],
  Deployment: TEMPLATE,
  ReplicaSet: TEMPLATE,
  DaemonSet: TEMPLATE,
  StatefulSet: TEMPLATE,
  Job: TEMPLATE,
  CronJob: ["spec", "jobTemplate", ...TEMPLATE],
};

/** `text` with one more pair at the beginning of a map in it. */
function withFirstKey(text: string, map: YAMLMap, key: string, value: string): string {
  const [start] = map.range ?? [];
  if (start === undefined) return text;
  if (map.flow === true) return `${text.slice(0, start + 1)}"${key}": "${value}", ${text.slice(start + 1)}`;
  const indent = text.slice(text.lastIndexOf("\n", start - 1) + 1, start);
  return `${text.slice(0, start)}${key}: ${value}\n${indent}${text.slice(start)}`;
}
