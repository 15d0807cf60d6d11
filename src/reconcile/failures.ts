/** What could not be done about a pod and is tried again: for status, until it could. */
import type { Problem } from "../manifest/index.ts";
import type { DesiredPod } from "../pod/contract.ts";
import type { NewEvent } from "../store/contract.ts";
import { isGantryError, messageOf } from "../system/errors.ts";

export class Failures {
  readonly #byKey = new Map<string, unknown>();

  /** @returns true when this is another error than the last one about this pod */
  add(key: string, error: unknown): boolean {
    const before = this.#byKey.get(key);
    this.#byKey.set(key, error);
    return before === undefined || messageOf(before) !== messageOf(error);
  }

  clear(key: string): void {
    this.#byKey.delete(key);
  }

  /** @param find the pod as it is wanted, or else as it runs */
  problems(find: (key: string) => DesiredPod | undefined): Problem[] {
    return [...this.#byKey].map(([key, error]) => ({
      severity: "error",
      place: placeOf(find(key)?.origin ?? key),
      field: "",
      message: `can't be acted on: ${messageOf(error)}`,
      hint: isGantryError(error) ? error.hint : "It is tried again by itself.",
      object: `Pod ${key}`,
    }));
  }
}

/** For those who ask later why it took so long. */
export function failureEvent(key: string, error: unknown, at: number): NewEvent {
  const message = messageOf(error);
  return { object: `Pod/${key}`, podUid: undefined, type: "Warning", reason: "ReconcileFailed", message, at };
}

/** "web.yaml:7", as DesiredPod has it. */
function placeOf(origin: string): Problem["place"] {
  const [, file = origin, line = "1"] = /^(.*):(\d+)$/s.exec(origin) ?? [];
  return { file, line: Number(line), column: 1 };
}
