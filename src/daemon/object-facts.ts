import { z } from "zod";
import type { FieldOwners } from "../api/contract.ts";
import type { TextTable } from "../store/contract.ts";
import type { Clock } from "../system/clock.ts";
import { messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";

const facts = z.object({
  uid: z.string().optional(),
  /** ms since the epoch */
  createdAt: z.number().optional(),
  lastApplied: z.string().optional(),
  managedFields: z.array(z.record(z.string(), z.unknown())).optional(),
});

/** What a manifest can't say about its object. */
export type ObjectFacts = z.output<typeof facts>;

export interface FactsOfObjects {
  get(key: string): ObjectFacts;
  /** The uid and the time of an object, given to it when it has none. */
  identify(key: string): { readonly uid: string; readonly createdAt: number };
  keepOwners(key: string, owners: FieldOwners): void;
  /** The object is gone: another of its name is another one. */
  forget(key: string): void;
}

/** @param table by "<kind> <namespace>/<name>" */
export function createObjectFacts(table: TextTable, clock: Clock, newUid: () => string, log: Logger): FactsOfObjects {
  const all = new Map<string, ObjectFacts>();
  for (const { key, text } of table.list()) {
    try {
      all.set(key, facts.parse(JSON.parse(text)));
    } catch (error) {
      log.warn({ object: key, reason: messageOf(error) }, "what was kept of an object can't be read; it is left out");
      table.remove(key);
    }
  }
  const put = (key: string, value: ObjectFacts): void => {
    const text = JSON.stringify(value);
    if (text === JSON.stringify(all.get(key))) return;
    all.set(key, value);
    table.put(key, text);
  };
  return {
    get: (key) => all.get(key) ?? {},
    identify(key) {
      const known = all.get(key) ?? {};
      const { uid = newUid(), createdAt = clock.now() } = known;
      if (known.uid === undefined || known.createdAt === undefined) put(key, { ...known, uid, createdAt });
      return { uid, createdAt };
    },
    keepOwners(key, { lastApplied, managedFields }) {
      const { uid, createdAt } = all.get(key) ?? {};
      const owners = {
        ...(lastApplied !== undefined && { lastApplied }),
        ...(managedFields !== undefined && { managedFields: [...managedFields] }),
      };
      const identity = { ...(uid !== undefined && { uid }), ...(createdAt !== undefined && { createdAt }) };
      const next = { ...identity, ...owners };
      if (Object.keys(next).length > 0) put(key, next);
      else if (all.delete(key)) table.remove(key);
    },
    forget(key) {
      if (all.delete(key)) table.remove(key);
    },
  };
}
