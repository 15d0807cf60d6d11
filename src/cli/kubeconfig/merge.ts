import { randomBytes } from "node:crypto";
import { chown, mkdir, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { Document, isMap, isSeq, parseDocument, type YAMLMap } from "yaml";
import type { Secret } from "../../api/access/credentials.ts";
import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";
import { parseKubeconfig, readText } from "./read.ts";

/** What a kubeconfig says about one Gantry. */
export interface Entry {
  /** Of the cluster and of the context. */
  readonly cluster: string;
  readonly context: string;
  readonly user: string;
  readonly server: string;
  /** PEM */
  readonly authority: string;
  readonly secret: Secret;
}

/** The text of a kubeconfig with nothing but `entry`. Pure. */
export function kubeconfigOf(entry: Entry): string {
  return mergeInto("", "", entry);
}

/**
 * `text` with `entry` in it, as its current context; what else is there, and its comments, stays. Pure.
 * @throws GantryError usage when `text` is no kubeconfig
 */
export function mergeInto(text: string, file: string, entry: Entry): string {
  if (text.trim() !== "") parseKubeconfig(text, file);
  const parsed = parseDocument(text);
  const document = isMap(parsed.contents) ? parsed : new Document({ apiVersion: "v1", kind: "Config" });
  const { contents } = document;
  if (!isMap(contents)) throw new GantryError("usage", `${file} is not a kubeconfig`);
  const put = (list: string, name: string, key: string, value: object): void => {
    const item = document.createNode({ name, [key]: value });
    const sequence = contents.get(list);
    if (!isSeq(sequence)) {
      contents.set(list, document.createNode([item]));
      return;
    }
    // In the flow style of an empty list ([]) the new entry could hardly be read.
    sequence.flow = false;
    const at = sequence.items.findIndex((one) => isMap(one) && one.get("name") === name);
    if (at < 0) sequence.add(item);
    else sequence.set(at, item);
  };
  put("clusters", entry.cluster, "cluster", {
    server: entry.server,
    "certificate-authority-data": base64(entry.authority),
  });
  put("contexts", entry.context, "context", { cluster: entry.cluster, user: entry.user });
  put("users", entry.user, "user", userOf(entry.secret));
  (contents as YAMLMap).set("current-context", entry.context);
  return document.toString({ lineWidth: 0 });
}

/**
 * Puts `entry` into the file, which is then of mode 0600, and is whole at any time. A link is followed.
 * @returns the context that was current before
 * @throws GantryError usage, internal
 */
export async function writeEntry(file: string, entry: Entry): Promise<string | undefined> {
  const text = (await readText(file)) ?? "";
  const before = parseKubeconfig(text, file)["current-context"] || undefined;
  const merged = mergeInto(text, file, entry);
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const target = await realpath(file).catch((error: unknown) => {
      if (errnoOf(error) === "ENOENT") return file;
      throw error;
    });
    const temporary = `${target}.${process.pid}-${randomBytes(4).toString("hex")}`;
    try {
      await writeFile(temporary, merged, { mode: 0o600, flag: "wx" });
      // Of whoever had it: root may be writing into the home of the user who called sudo.
      const owner = await stat(target).catch(() => stat(dirname(target)));
      await chown(temporary, owner.uid, owner.gid);
      await rename(temporary, target);
    } finally {
      await rm(temporary, { force: true });
    }
  } catch (cause) {
    throw new GantryError("internal", `${file} cannot be written: ${messageOf(cause)}`, { kind: "system", cause });
  }
  return before;
}

function userOf(secret: Secret): object {
  if (secret.kind === "token") return { token: secret.token };
  return { "client-certificate-data": base64(secret.certificate), "client-key-data": base64(secret.key) };
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");
