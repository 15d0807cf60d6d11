import type { ApiClient } from "../api/client.ts";
import type { ServedObject } from "../api/contract.ts";
import { GantryError, isGantryError } from "../system/errors.ts";
import { progressOf } from "./commands/rollout.ts";
import type { Context } from "./context.ts";
import type { Goal } from "./goal.ts";
import { conditionsOf, type ObjectRef } from "./objects.ts";
import { followWatch } from "./watch.ts";

/** Whether a Deployment, Job … has got there; a text that says how it stands otherwise. */
function standing(
  object: ServedObject,
  goal: Goal,
): { readonly met: boolean; readonly never: boolean; readonly text: string } {
  const said = (text: string, met = false, never = false) => ({ met, never, text });
  if (goal === "deleted") return said("is there still");
  if (object.kind === "Job") {
    const is = (type: string) => conditionsOf(object).find((one) => one.type === type && one.status === "True");
    if (is("Complete") !== undefined) return said("is complete", goal === "succeeded", goal === "ready");
    const failed = is("Failed");
    if (failed !== undefined) return said(`has failed: ${failed.message}`, false, true);
    return said("is not complete yet");
  }
  if (goal === "succeeded" || object.kind === "CronJob" || object.kind === "Service")
    return said(`is a ${object.kind}, which never gets there`, false, true);
  const { done, failed, text } = progressOf(object);
  return said(text, done, failed);
}

/**
 * Resolves once the object has reached the goal; one that is yet to appear is waited for.
 * @throws GantryError `timeout`, or `conflict` for one that can never get there
 */
export async function waitForObject(
  client: ApiClient,
  context: Context,
  { kind, namespace, name }: ObjectRef,
  goal: Goal,
  timeoutMs: number,
): Promise<void> {
  const label = `${kind.kind.toLowerCase()}/${name}`;
  let text = "does not exist";
  /** @returns true when the goal is reached */
  const look = (object: ServedObject | undefined): boolean => {
    if (object === undefined) return goal === "deleted";
    const found = standing(object, goal);
    text = found.text;
    if (found.never)
      throw new GantryError("conflict", `${label} can't get there: ${text}`, {
        hint: `See 'gantry describe ${label}'.`,
      });
    return found.met;
  };
  const list = await client.listObjects(kind.plural, { namespace, fieldSelector: `metadata.name=${name}` });
  if (look(list.items[0])) return;
  const signal = AbortSignal.any([AbortSignal.timeout(Math.min(timeoutMs, 2 ** 31 - 1)), context.signal]);
  const scope = { namespace, fieldSelector: `metadata.name=${name}`, resourceVersion: list.metadata.resourceVersion };
  try {
    for await (const { type, object } of followWatch(
      (watch) => client.watchObjects(kind.plural, watch),
      scope,
      signal,
    )) {
      if (look(type === "DELETED" ? undefined : object)) return;
    }
  } catch (error) {
    if (!isGantryError(error, "cancelled") || context.signal.aborted) throw error;
  }
  if (context.signal.aborted) throw new GantryError("cancelled", "interrupted");
  throw new GantryError("timeout", `gave up waiting for ${label}: ${text}`, {
    hint: `See 'gantry describe ${label}', or wait longer with --timeout.`,
  });
}
