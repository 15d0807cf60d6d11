/** An encrypted manifest file, once it is in clear, as objects and problems that give nothing away. */
import { type LoadedObject, type ParseResult, type Problem, parseManifest } from "../manifest/index.ts";
import { isGantryError, messageOf } from "../system/errors.ts";
import { decrypt } from "./decrypt.ts";
import { type Encryption, encryptionOf } from "./detect.ts";
import { readKeys } from "./keys.ts";
import { Undecryptable } from "./problem.ts";

export interface ParsedBytes extends ParseResult {
  /** How the file is encrypted. What it says in clear must not reach a disk. */
  readonly encryption: Encryption | undefined;
  /** It could not be opened: what it asks for is not known, and is not nothing. */
  readonly closed: boolean;
}

/**
 * One manifest file, encrypted or in clear: for sources that may wait.
 * @param keyFiles of the setting secrets.age.keys
 * @throws never: what is wrong is in `problems`
 */
export async function parseBytes(file: string, bytes: Uint8Array, keyFiles: readonly string[]): Promise<ParsedBytes> {
  const encryption = encryptionOf(bytes);
  try {
    if (encryption === undefined) {
      assertNamedRight(file);
      return { ...parseManifest(file, bytes), encryption, closed: false };
    }
    const clear = await decrypt(bytes, encryption, readKeys(keyFiles));
    return { ...parseOpened(file, clear, bytes, encryption), encryption, closed: false };
  } catch (error) {
    return { objects: [], problems: [closedProblem(file, reasonOf(error))], encryption, closed: true };
  }
}

/** Whatever opening a file threw, in the form that its author is told. */
export function reasonOf(error: unknown): Undecryptable {
  if (error instanceof Undecryptable) return error;
  const hint = isGantryError(error) ? (error.hint ?? "") : "Take the file from its origin again.";
  return new Undecryptable(`can't be decrypted: ${messageOf(error)}`, hint);
}

/** Somebody forgot to encrypt it, or it is no file of age any more. @throws Undecryptable */
export function assertNamedRight(file: string): void {
  if (!file.endsWith(".age")) return;
  throw new Undecryptable(
    "is called .age, and is not encrypted with age",
    "Encrypt it: gantry secret encrypt FILE -r age1…",
  );
}

/**
 * Only Secrets may be encrypted: everything else is kept on disk and shown by `status`, `describe` and the API, where
 * what was encrypted would be read by others. With SOPS other objects may stand beside them, in clear.
 *
 * @param bytes in clear
 * @param encrypted as they are in the file
 */
export function parseOpened(
  file: string,
  bytes: Uint8Array,
  encrypted: Uint8Array,
  encryption: Encryption,
): ParseResult {
  const { objects, problems } = parseManifest(file, bytes);
  const hidden = encryption === "age" ? undefined : hiddenLines(encrypted);
  const open: LoadedObject[] = [];
  const refused: Problem[] = [];
  for (const loaded of objects) {
    if (loaded.object.kind === "Secret" || (hidden !== undefined && !isHidden(loaded, objects, hidden))) {
      open.push(loaded);
      continue;
    }
    refused.push({
      severity: "error",
      place: loaded.place,
      field: "",
      message: `a ${loaded.object.kind} can't be encrypted: what is in it would be shown, and kept on disk`,
      hint: "put the values into a Secret, encrypt that, and refer to it (secretKeyRef, envFrom or a volume)",
      object: `${loaded.object.kind} ${loaded.object.metadata.name}`,
    });
  }
  return { objects: open, problems: [...problems.map((problem) => discreet(problem, encryption)), ...refused] };
}

/** The lines, from 1, on which an encrypted value stands; every document has a MAC, which is none. */
function hiddenLines(encrypted: Uint8Array): number[] {
  const lines = Buffer.from(encrypted).toString("utf8").split("\n");
  return lines.flatMap((line, index) =>
    /ENC\[AES256_GCM,/.test(line) && !/^\s*"?mac"?:/.test(line) ? [index + 1] : [],
  );
}

/** Whether an encrypted value stands in the object: between its place and that of the next one. */
function isHidden({ place }: LoadedObject, all: readonly LoadedObject[], lines: readonly number[]): boolean {
  const next = all.map((other) => other.place.line).filter((line) => line > place.line);
  const end = Math.min(...next, Number.POSITIVE_INFINITY);
  return lines.some((line) => line >= place.line && line < end);
}

/** What the parser says may quote the text. Of Secrets it never quotes data; of the rest only names are told. */
function discreet(problem: Problem, encryption: Encryption): Problem {
  const where = encryption === "age" ? " (line and column are those of the decrypted text)" : "";
  if (problem.object !== undefined && /^(data|stringData|metadata\.name(space)?)\b/.test(problem.field)) {
    return { ...problem, message: `${problem.message}${where}` };
  }
  // Other names may be what somebody wrote to the wrong place.
  const field = /^(apiVersion|kind|metadata|type|immutable)\b/.exec(problem.field)?.[0] ?? "";
  return {
    ...problem,
    field,
    message: `is not valid here, decrypted; what it says is not shown${where}`,
    hint: "look at it in clear: gantry secret decrypt FILE | gantry validate -",
  };
}

/** The error of a file that stays closed. */
export function closedProblem(file: string, { message, hint, line, column }: Undecryptable): Problem {
  return { severity: "error", place: { file, line, column }, field: "", message, hint, object: undefined };
}
