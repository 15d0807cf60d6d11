import { type Document, isMap, isSeq, parseAllDocuments } from "yaml";

const ALL = ["namespace", "microvm"] as const;
export type RuntimeClass = (typeof ALL)[number];

const asked = process.env["GANTRY_TEST_RUNTIME_CLASS"];

/** What the same tests run on; GANTRY_TEST_RUNTIME_CLASS picks one. */
export const RUNTIME_CLASSES: readonly RuntimeClass[] = ALL.filter((each) => asked === undefined || asked === each);

/** A manifest whose pods ask for that class, unless they say themselves what they want. Others stay as they are. */
export function withRuntimeClass(text: string, runtimeClass: RuntimeClass): string {
  const documents = parseAllDocuments(text);
  if ("empty" in documents || documents.some(({ errors }) => errors.length > 0)) return text; // bad on purpose
  let changed = false;
  for (const document of documents) {
    for (const path of podsIn(document)) {
      if (document.hasIn([...path, "spec", "runtimeClassName"])) continue;
      document.setIn([...path, "spec", "runtimeClassName"], runtimeClass);
      changed = true;
    }
  }
  if (!changed) return text;
  // What is JSON stays JSON.
  if (text.trimStart().startsWith("{")) return `${JSON.stringify(documents[0]?.toJS(), undefined, 2)}\n`;
  return documents.map(String).join("");
}

/** Paths of the pods in a document: itself, or items of a List. */
function podsIn(document: Document): (string | number)[][] {
  const isPod = (path: (string | number)[]): boolean =>
    document.getIn([...path, "kind"]) === "Pod" && isMap(document.getIn([...path, "spec"]));
  if (!isMap(document.contents)) return [];
  if (isPod([])) return [[]];
  const items = document.get("items");
  return isSeq(items) ? items.items.map((_, index) => ["items", index]).filter(isPod) : [];
}
