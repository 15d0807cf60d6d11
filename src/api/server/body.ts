import type { Readable } from "node:stream";
import type { FastifyRequest } from "fastify";
import { readDocuments } from "../../manifest/yaml/document.ts";
import { GantryError, messageOf } from "../../system/errors.ts";
import { refuseExcess } from "../patch/plain.ts";
import { httpError } from "../status-error.ts";

/** The API server of Kubernetes takes requests of up to 3 MiB. */
export const MAX_BODY_BYTES = 3 * 1024 * 1024;
export const YAML_TYPES = ["application/yaml", "application/x-yaml", "text/yaml"] as const;
const BODY_TIMEOUT_MS = 30_000;

export interface BodyRules {
  /** Media types without parameters; none given is fine too. */
  readonly contentTypes: readonly string[];
  readonly maxBytes?: number;
  readonly timeoutMs?: number;
}

/** Reads a request's body as UTF-8 text. @throws GantryError as readBytes; usage */
export async function readBody(stream: Readable, contentType: string | undefined, rules: BodyRules): Promise<string> {
  return textOf(await readBytes(stream, contentType, rules));
}

/**
 * Reads a request's body.
 * @throws GantryError usage with the reason UnsupportedMediaType (415), RequestEntityTooLarge (413), RequestTimeout (408)
 */
async function readBytes(stream: Readable, contentType: string | undefined, rules: BodyRules): Promise<Buffer> {
  checkContentType(contentType, rules.contentTypes);
  const maxBytes = rules.maxBytes ?? MAX_BODY_BYTES;
  const timeoutMs = rules.timeoutMs ?? BODY_TIMEOUT_MS;
  const chunks: Buffer[] = [];
  let bytes = 0;
  const clock: { timer?: NodeJS.Timeout } = {};
  // The stream is left as it is: destroyed, it would take the connection with it, and nobody would learn why.
  const late = new Promise<never>((_resolve, reject) => {
    const error = httpError("RequestTimeout", `the body did not arrive within ${timeoutMs} ms`);
    clock.timer = setTimeout(() => reject(error), timeoutMs);
  });
  try {
    const pieces: AsyncIterator<Buffer> = stream.iterator({ destroyOnReturn: false });
    for (;;) {
      const next = await Promise.race([pieces.next(), late]);
      if (next.done === true) break;
      bytes += next.value.length;
      if (bytes > maxBytes) {
        throw httpError(
          "RequestEntityTooLarge",
          `the body is larger than ${maxBytes} bytes`,
          "Send it in smaller pieces.",
        );
      }
      chunks.push(next.value);
    }
  } finally {
    clearTimeout(clock.timer);
  }
  return Buffer.concat(chunks);
}

function textOf(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new GantryError("usage", "the body is not UTF-8 text", { cause, hint: "Is this a binary file?" });
  }
}

/** @throws GantryError usage with the reason UnsupportedMediaType */
export function checkContentType(contentType: string | undefined, allowed: readonly string[]): void {
  const type = mediaTypeOf(contentType);
  if (type === "" || allowed.includes(type)) return;
  const hint = `Send it with the header 'Content-Type: ${allowed[0] ?? "application/json"}'.`;
  throw httpError("UnsupportedMediaType", `can't take a body of the type '${type}'`, hint);
}

/** Without its parameters; "" when none is given. */
function mediaTypeOf(contentType: string | undefined): string {
  return contentType?.split(";")[0]?.trim().toLowerCase() ?? "";
}

/** What kubectl and other clients in Go send where they know the kind. */
const PROTOBUF = "application/vnd.kubernetes.protobuf";
/** In which an object may come. */
export const OBJECT_TYPES = ["application/json", PROTOBUF] as const;

/**
 * The plain data of a body, in the form that its type says.
 * @throws GantryError as readBytes; usage, for what can't be read, or an empty body
 */
export async function readData(
  request: FastifyRequest,
  contentTypes: readonly string[] = OBJECT_TYPES,
  hint?: string,
): Promise<unknown> {
  const data = await readDataIfAny(request, contentTypes, hint);
  if (data !== undefined) return data;
  throw new GantryError("usage", "the body is empty", { hint: hint ?? "Send an object." });
}

/** The same; undefined for an empty body. */
export async function readDataIfAny(
  request: FastifyRequest,
  contentTypes: readonly string[] = OBJECT_TYPES,
  hint?: string,
): Promise<unknown> {
  const type = request.headers["content-type"];
  const bytes = await readBytes(request.raw, type, { contentTypes });
  if (bytes.length === 0) return undefined;
  if (mediaTypeOf(type) === PROTOBUF) {
    // Most daemons never see one: it takes memory only once one has come.
    const { decodeBody } = await import("../protobuf/decode.ts");
    return decodeBody(bytes);
  }
  const text = textOf(bytes);
  if (text.trim() === "") return undefined;
  return /yaml/i.test(type ?? "") ? parseYaml(text) : parseJson(text, hint);
}

/** @throws GantryError usage, also for what is nested deeper, or has more in it, than anything that makes sense here */
export function parseJson(text: string, hint = "Send an object."): unknown {
  if (text.trim() === "") throw new GantryError("usage", "the body is empty", { hint });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new GantryError("usage", `the body is not JSON: ${messageOf(cause)}`, { hint, cause });
  }
  refuseExcess(value);
  return value;
}

/** As manifests are read. @throws GantryError usage */
function parseYaml(text: string): unknown {
  const { documents, issues } = readDocuments(text);
  const [found] = issues;
  if (found !== undefined) {
    const { line, column, issue } = found;
    const hint = issue.hint === undefined ? {} : { hint: issue.hint };
    throw new GantryError("usage", `the body is not YAML: line ${line}, column ${column}: ${issue.message}`, hint);
  }
  if (documents.length === 1) return documents[0]?.value;
  throw new GantryError("usage", documents.length === 0 ? "the body is empty" : "the body has several objects", {
    hint: "Send an object.",
  });
}
