import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { type Case, Cases } from "./case.ts";

const DIRECTORY = join(import.meta.dirname, "cases");

/** A case with the file it stands in and the namespace that is its own. */
export interface Loaded extends Case {
  readonly topic: string;
  readonly namespace: string;
}

/** All cases, by topic. @throws Error naming the file and the place in it that is no case */
export function loadCases(): Loaded[] {
  return readdirSync(DIRECTORY)
    .filter((file) => file.endsWith(".yaml"))
    .sort()
    .flatMap((file) => {
      const topic = basename(file, ".yaml");
      const read = Cases.safeParse(parse(readFileSync(join(DIRECTORY, file), "utf8"), { merge: true }));
      if (!read.success) throw new Error(`${file}: ${z.prettifyError(read.error)}`);
      return read.data.map((one, index) => inNamespace(one, topic, `${topic}-${index + 1}`));
    });
}

/** The word NAMESPACE, wherever a case has it, is the namespace of the case. */
function inNamespace(one: Case, topic: string, namespace: string): Loaded {
  const named = (key: string, value: unknown): unknown =>
    typeof value === "string" && key !== "name" ? value.replaceAll("NAMESPACE", namespace) : value;
  return { ...(JSON.parse(JSON.stringify(one), named) as Case), topic, namespace };
}
