/**
 * SOPS files in YAML and JSON, read as SOPS itself does (getsops.io/docs, "Encryption protocol"): a data key
 * that is encrypted for age recipients, every value with AES-256-GCM and its path as additional data, and a MAC
 * over all values in order. A reader of our own: those on npm bring a hundred packages, or check no MAC.
 *
 * What comes out is the text itself with the values put in and the `sops` block emptied, so that every other line
 * and column stays where its author wrote it.
 */
import { createDecipheriv, createHash, timingSafeEqual } from "node:crypto";
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseAllDocuments,
  type Scalar,
} from "yaml";
import { z } from "zod";
import { YAML_OPTIONS } from "../manifest/yaml/document.ts";
import { patternOf } from "./pattern.ts";
import { Undecryptable } from "./problem.ts";
import { macText } from "./sops-text.ts";

/** Gives the data key of armoured age text. @throws Undecryptable */
export type Unwrap = (armoured: string) => Promise<Uint8Array>;

const recipients = z.array(z.looseObject({ recipient: z.string().optional(), enc: z.string() })).nullish();
const metadataSchema = z.looseObject({
  age: recipients,
  key_groups: z.array(z.looseObject({ age: recipients })).nullish(),
  lastmodified: z.string(),
  mac: z.string(),
  mac_only_encrypted: z.boolean().optional(),
  unencrypted_suffix: z.string().optional(),
  encrypted_suffix: z.string().optional(),
  unencrypted_regex: z.string().optional(),
  encrypted_regex: z.string().optional(),
  unencrypted_comment_regex: z.string().optional(),
  encrypted_comment_regex: z.string().optional(),
});
type Metadata = z.infer<typeof metadataSchema>;

/** `echo -n sops | sha256sum`: what a MAC over encrypted values alone begins with. */
const MAC_ONLY_ENCRYPTED = createHash("sha256").update("sops").digest();
const VALUE = /^ENC\[AES256_GCM,data:([^,]*),iv:([^,]+),tag:([^,]+),type:(\w+)\]$/;
const REWRITE = "Take the file from its origin again, or edit and save it with 'sops'.";

interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** The text in clear. @throws Undecryptable */
export async function decryptSops(text: string, unwrap: Unwrap): Promise<string> {
  const lines = new LineCounter();
  const at = (offset: number): { line: number; column: number } => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const documents = parsed(text, lines);
  const broken = documents.flatMap(({ errors }) => errors)[0];
  if (broken !== undefined) {
    throw new Undecryptable("is a SOPS file, and no valid YAML here", REWRITE, at(broken.pos[0]));
  }
  const metadata = metadataOf(documents);
  const key = await dataKey(metadata, unwrap);
  const isEncrypted = ruleOf(metadata);
  const hash = createHash("sha512");
  if (metadata.mac_only_encrypted === true) hash.update(MAC_ONLY_ENCRYPTED);
  const edits: Edit[] = [];

  const leaf = (node: Scalar.Parsed, path: readonly string[]): void => {
    const written = typeof node.value === "string" ? node.value : undefined;
    const encrypted = isEncrypted(path, written);
    if (!encrypted || written === "") {
      if (metadata.mac_only_encrypted !== true && node.value !== null) hash.update(macText(node));
      return;
    }
    // SOPS leaves null alone.
    if (node.value === null) return;
    const found = written === undefined ? undefined : open(written, key, `${path.join(":")}:`);
    if (found === undefined) {
      const message = `the value of ${path.join(".")} is not what SOPS encrypted: it was changed or moved by hand`;
      throw new Undecryptable(message, REWRITE, at(node.range[0]));
    }
    hash.update(found.mac);
    const [start, end] = node.range;
    const below = text.slice(start, end).split("\n").length - 1;
    edits.push({ start, end, text: found.text + "\n".repeat(below) });
  };
  const walk = (node: ParsedNode | null, path: readonly string[]): void => {
    if (isScalar(node)) leaf(node, path);
    else if (isSeq<ParsedNode>(node)) for (const item of node.items) walk(item, path);
    else if (isMap<ParsedNode, ParsedNode | null>(node)) {
      for (const { key: name, value } of node.items) {
        const word = isScalar(name) ? String(name.value) : "";
        if (path.length === 0 && word === "sops") {
          edits.push(withoutPair(text, name.range[0], value?.range[1] ?? name.range[1]));
        } else walk(value, [...path, word]);
      }
    } else if (isAlias(node)) {
      throw new Undecryptable("an alias (*name) can't be in a SOPS file", "Write the value out.", at(node.range[0]));
    }
  };
  for (const { contents } of documents) walk(contents, []);
  assertMac(metadata, key, hash.digest("hex").toUpperCase());
  return apply(text, edits);
}

function parsed(text: string, lineCounter: LineCounter): readonly Document.Parsed[] {
  const found = parseAllDocuments(text, { ...YAML_OPTIONS, lineCounter });
  return "empty" in found ? [] : found;
}

/** That of the first document counts for all, as in SOPS. */
function metadataOf(documents: readonly Document.Parsed[]): Metadata {
  let found: unknown;
  try {
    found = documents[0]?.toJS({ maxAliasCount: 0 });
  } catch {
    // An alias: told like any other damage.
  }
  const result = z.looseObject({ sops: metadataSchema }).safeParse(found);
  if (result.success) return result.data.sops;
  throw new Undecryptable("its sops block is damaged: lastmodified, mac or the age recipients are missing", REWRITE);
}

async function dataKey(metadata: Metadata, unwrap: Unwrap): Promise<Uint8Array> {
  const groups = metadata.key_groups ?? [];
  if (groups.length > 1) {
    throw new Undecryptable(
      "is encrypted for several key groups of SOPS, which Gantry does not read",
      "Encrypt it for age recipients in one group: sops --age age1…",
    );
  }
  const wrapped = [...(metadata.age ?? []), ...(groups[0]?.age ?? [])];
  if (wrapped.length === 0) {
    throw new Undecryptable(
      "is encrypted with SOPS without an age recipient; Gantry reads no PGP and no cloud keys",
      "Add this host's: sops rotate --in-place --add-age age1… FILE",
    );
  }
  let first: unknown;
  for (const { enc } of wrapped) {
    try {
      const key = await unwrap(enc);
      if (key.length === 32) return key;
      first ??= new Undecryptable("its SOPS data key is damaged", REWRITE);
    } catch (error) {
      first ??= error;
    }
  }
  throw first;
}

/** Which values are encrypted, by the rules that the file was written with. */
function ruleOf(metadata: Metadata): (path: readonly string[], value: string | undefined) => boolean {
  if (metadata.encrypted_comment_regex !== undefined || metadata.unencrypted_comment_regex !== undefined) {
    // Which comment stands above is not looked at: the MAC finds whatever was changed by hand.
    return (_path, value) => value !== undefined && VALUE.test(value);
  }
  const regex = (source: string | undefined): ((name: string) => boolean) | undefined => {
    if (source === undefined || source === "") return undefined;
    const fail = (why: string): never => {
      throw new Undecryptable(`its sops block has a regular expression that ${why}`, REWRITE);
    };
    try {
      // Go's way to say that case does not count.
      const matches = source.startsWith("(?i)") ? patternOf(source.slice(4), "i") : patternOf(source, "");
      return (name) => {
        try {
          return matches(name);
        } catch {
          return fail("takes too long");
        }
      };
    } catch {
      return fail("can't be read");
    }
  };
  const { unencrypted_suffix: plainEnd = "", encrypted_suffix: secretEnd = "" } = metadata;
  const [plain, secret] = [regex(metadata.unencrypted_regex), regex(metadata.encrypted_regex)];
  return (path) => {
    if (secret !== undefined) return path.some(secret);
    if (plain !== undefined && path.some(plain)) return false;
    if (secretEnd !== "") return path.some((name) => name.endsWith(secretEnd));
    return plainEnd === "" || !path.some((name) => name.endsWith(plainEnd));
  };
}

/** undefined when it is not authentic. */
function open(
  value: string,
  key: Uint8Array,
  path: string,
): { readonly text: string; readonly mac: string } | undefined {
  const [, data = "", iv = "", tag = "", type = ""] = VALUE.exec(value) ?? [];
  const nonce = Buffer.from(iv, "base64");
  const seal = Buffer.from(tag, "base64");
  if (nonce.length === 0 || seal.length !== 16) return undefined;
  let plain: string;
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 });
    decipher.setAAD(Buffer.from(path));
    decipher.setAuthTag(seal);
    plain = Buffer.concat([decipher.update(Buffer.from(data, "base64")), decipher.final()]).toString("utf8");
  } catch {
    return undefined;
  }
  switch (type) {
    case "int":
    case "float":
      return { text: plain, mac: plain };
    case "bool":
      return { text: plain.toLowerCase(), mac: /^true$/i.test(plain) ? "True" : "False" };
    default:
      return { text: quoted(plain), mac: plain };
  }
}

/** On one line, and so that no reader of YAML or JSON takes it for something else than a text. */
function quoted(text: string): string {
  return JSON.stringify(text).replaceAll(
    /[\u007f-\u009f\u2028\u2029\ufeff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function assertMac({ mac, lastmodified }: Metadata, key: Uint8Array, computed: string): void {
  const written = open(mac, key, lastmodified);
  if (written === undefined) {
    throw new Undecryptable("its MAC is damaged, or lastmodified was changed", REWRITE);
  }
  const [a, b] = [Buffer.from(written.mac), Buffer.from(computed)];
  if (a.length === b.length && timingSafeEqual(a, b)) return;
  throw new Undecryptable(
    "its MAC does not match: something in it was changed without 'sops'",
    "Take back the change, and make it with 'sops edit FILE'.",
  );
}

/** Blanks the block, but keeps its lines. In JSON what is left may end with a comma, which YAML allows. */
function withoutPair(text: string, start: number, end: number): Edit {
  return { start, end, text: "\n".repeat(text.slice(start, end).split("\n").length - 1) };
}

function apply(text: string, edits: readonly Edit[]): string {
  let result = "";
  let from = 0;
  for (const { start, end, text: put } of [...edits].sort((a, b) => a.start - b.start)) {
    result += text.slice(from, start) + put;
    from = end;
  }
  return result + text.slice(from);
}
