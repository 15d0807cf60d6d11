import type { ApiClient } from "../../api/client.ts";
import { layout } from "../../system/paths.ts";
import { globalOptions } from "../global-options.ts";
import { sortPods } from "../output/pod-table.ts";
import { DEFAULT_NAMESPACE, parsePodRef } from "../parse/pod-name.ts";
import { namespaceOf } from "../pods.ts";
import { COMMANDS } from "../registry.ts";
import type { Completion } from "../spec.ts";
import { type Cursor, flagsOf } from "./words.ts";

export interface Candidate {
  readonly value: string;
  readonly description: string;
}

/** Everything that the word under the cursor can become; "files" where the shell itself knows best. */
export async function candidatesFor(cursor: Cursor, client: ApiClient): Promise<Candidate[] | "files"> {
  const { wanted, typed } = cursor;
  switch (wanted.type) {
    case "nothing":
      return [];
    case "command":
      return matching(
        typed,
        Object.entries(COMMANDS).flatMap(([value, { summary, group }]) =>
          group === "" ? [] : [{ value, description: summary }],
        ),
      );
    case "names":
      return matching(
        typed,
        Object.entries(wanted.spec.subcommands ?? {}).map(([value, { summary }]) => ({ value, description: summary })),
      );
    case "flags": {
      const options = [...(wanted.spec?.options ?? []), ...globalOptions(wanted.spec ?? { outputs: [] })];
      const flags = options.flatMap((option) =>
        flagsOf(option).map((value) => ({ value, description: option.description })),
      );
      return matching(typed, typed === "-" ? flags : flags.filter(({ value }) => value.startsWith("--")));
    }
    case "value":
      return wanted.of === "file" ? "files" : matching(typed, await valuesOf(wanted.of, cursor, client));
  }
}

function matching(typed: string, candidates: readonly Candidate[]): Candidate[] {
  return candidates.filter(({ value }) => value.startsWith(typed));
}

async function valuesOf(what: Completion, cursor: Cursor, client: ApiClient): Promise<Candidate[]> {
  switch (what) {
    case "pod":
      return pods(cursor, client);
    case "container":
      return containers(cursor, client);
    case "namespace": {
      const names = new Set((await client.listPods()).items.map(namespaceOf));
      return [...names].sort().map((value) => ({ value, description: "" }));
    }
    case "image": {
      const images = await client.listImages();
      return images.flatMap(({ names }) => names.map((value) => ({ value, description: "" })));
    }
    case "volume":
      return volumes(cursor, client);
    case "credential":
      return credentials(cursor);
    case "source": {
      const sources = await client.listSources();
      return sources
        .filter(({ name }) => !cursor.args.includes(name))
        .map(({ name, sync }) => ({ value: name, description: sync }));
    }
    case "file":
      return [];
    default:
      return what.map((value) => ({ value, description: "" }));
  }
}

/** Pods of the namespace by their name, others as NAMESPACE/NAME; those that are named already are left out. */
async function pods({ args, values }: Cursor, client: ApiClient): Promise<Candidate[]> {
  const only = values.get("namespace");
  const { items } = await client.listPods();
  const all = sortPods(items).flatMap((pod) => {
    const namespace = namespaceOf(pod);
    if (only !== undefined && namespace !== only) return [];
    const bare = namespace === (only ?? DEFAULT_NAMESPACE);
    const value = bare ? pod.metadata.name : `${namespace}/${pod.metadata.name}`;
    return [{ value, description: pod.status.phase }];
  });
  return all.filter(({ value }) => !args.includes(value));
}

/** As pods. */
async function volumes({ args, values }: Cursor, client: ApiClient): Promise<Candidate[]> {
  const only = values.get("namespace");
  const all = (await client.listVolumes()).flatMap(({ namespace, name, phase }) => {
    if (only !== undefined && namespace !== only) return [];
    const value = namespace === (only ?? DEFAULT_NAMESPACE) ? name : `${namespace}/${name}`;
    return [{ value, description: phase }];
  });
  return all.filter(({ value }) => !args.includes(value));
}

/** Of the root that is meant; they are files of this host. */
async function credentials({ args, values }: Cursor): Promise<Candidate[]> {
  const { listCredentials } = await import("../../api/access/credentials.ts");
  const { accessDir } = await import("../../api/access/keys.ts");
  const all = await listCredentials(accessDir(layout(values.get("root") ?? process.env["GANTRY_ROOT"])));
  return all.flatMap(({ name, role }) => (args.includes(name) ? [] : [{ value: name, description: role }]));
}

async function containers({ args, values }: Cursor, client: ApiClient): Promise<Candidate[]> {
  const [pod] = args;
  if (pod === undefined) return [];
  const { namespace, name } = parsePodRef(pod, values.get("namespace"));
  const { spec } = await client.getPod(namespace, name);
  return [...spec.containers, ...(spec.initContainers ?? [])].map(({ name: value, image }) => ({
    value,
    description: image,
  }));
}
