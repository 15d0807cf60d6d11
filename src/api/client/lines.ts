import { GantryError, isGantryError } from "../../system/errors.ts";
import { errorOfStatus } from "../status-error.ts";
import type { Endpoint } from "./endpoint.ts";
import { type ApiRequest, openRequest, parseObject } from "./request.ts";
import { unreachable } from "./unreachable.ts";

/**
 * Reads an answer of one JSON object per line to its end.
 * @throws the error that the last line tells of; daemon-unreachable; cancelled
 */
export async function* readLines<T extends object>(
  endpoint: Endpoint,
  request: ApiRequest,
): AsyncGenerator<T, void, undefined> {
  const answer = await openRequest(endpoint, request);
  answer.setEncoding("utf8");
  let rest = "";
  try {
    for await (const chunk of answer as AsyncIterable<string>) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) yield parseLine<T>(line);
    }
  } catch (error) {
    if (request.signal?.aborted && !isGantryError(error)) {
      throw new GantryError("cancelled", "the request was cancelled", { kind: "system", cause: error });
    }
    throw error instanceof GantryError ? error : unreachable(endpoint, error);
  }
}

function parseLine<T extends object>(line: string): T {
  const value = parseObject<T | { readonly type: "ERROR"; readonly object: unknown }>(line);
  if ("type" in value && value.type === "ERROR" && "object" in value)
    throw errorOfStatus(JSON.stringify(value.object), 0);
  return value as T;
}
