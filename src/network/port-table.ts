import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { GantryError, isGantryError, messageOf } from "../system/errors.ts";
import type { OwnNetwork } from "./own-conflist.ts";
import type { Exec } from "./plugin.ts";
import { addText, deleteText, elementOf, podNetworks, portRules, tableText } from "./port-rules.ts";
import type { AttachmentRecord, Records } from "./records.ts";

const INSTALL = "Install nftables (Debian: apt-get install nftables).";

interface Change {
  /** For nft: some elements to add or delete. */
  readonly text: string;
  /** The sandbox whose rules go; undefined when some are added. */
  readonly without: string | undefined;
}

interface WaitingChange extends Change {
  readonly done: PromiseWithResolvers<void>;
}

/** A change takes a few ms, and may be made together with those of other pods: nobody calls it off. */
const UNSTOPPABLE = new AbortController().signal;

/** The nft table of a root, kept equal to what the records say. One change at a time. */
export class PortTable {
  readonly #exec: Exec;
  readonly #table: string;
  readonly #records: Records;
  #own: OwnNetwork | undefined;
  /** Networks that the table knows; undefined until it was built. */
  #networks: string | undefined;
  #last: Promise<unknown> = Promise.resolve();
  readonly #waiting: WaitingChange[] = [];

  constructor(exec: Exec, table: string, records: Records) {
    this.#exec = exec;
    this.#table = table;
    this.#records = records;
  }

  /** Builds the table anew from the records. @throws network-failed, command-missing */
  rebuild(own: OwnNetwork | undefined, signal: AbortSignal): Promise<void> {
    return this.#inTurn(() => {
      this.#own = own;
      return this.#rebuild(signal);
    });
  }

  /** True once `rebuild` has succeeded with this network. */
  isBuiltFor(own: OwnNetwork | undefined): boolean {
    return this.#networks !== undefined && isDeepStrictEqual(this.#own, own);
  }

  /** Adds the rules of one record that is among the records. */
  add(record: AttachmentRecord): Promise<void> {
    return this.#change({ text: addText(this.#table, portRules(record)), without: undefined });
  }

  /** Removes the rules of one record. Those that are gone already are fine. */
  remove(record: AttachmentRecord): Promise<void> {
    return this.#change({ text: deleteText(this.#table, portRules(record)), without: record.sandboxId });
  }

  /** True when the table holds exactly the port rules of the records. */
  isIntact(signal: AbortSignal): Promise<boolean> {
    return this.#inTurn(async () => {
      const listed = await this.#nft(["-j", "list", "table", "ip", this.#table], "", signal, "any");
      if (listed.exitCode !== 0) return false;
      const wanted = this.#records
        .all()
        .flatMap(portRules)
        .map(elementOf)
        .map(({ map, key, value }) => `${map} ${key} : ${value}`);
      const found = elementsIn(listed.stdout);
      return wanted.length === found.size && wanted.every((element) => found.has(element));
    });
  }

  /** Removes the table. */
  async drop(signal: AbortSignal): Promise<void> {
    await this.#inTurn(() =>
      this.#nft(["-f", "-"], `add table ip ${this.#table}\ndelete table ip ${this.#table}\n`, signal),
    );
    this.#networks = undefined;
  }

  /** Changes that come while another is under way are made together: with many pods that saves most processes. */
  #change(change: Change): Promise<void> {
    if (change.text === "") return Promise.resolve();
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ ...change, done });
    if (this.#waiting.length === 1) void this.#inTurn(() => this.#changeAll(this.#waiting.splice(0)));
    return done.promise;
  }

  async #changeAll(changes: readonly WaitingChange[]): Promise<void> {
    if (changes.length > 1 && (await this.#quickly(changes).catch(() => false))) {
      for (const { done } of changes) done.resolve();
      return;
    }
    // One of them can't be made: each on its own, so that it is told to the right one.
    for (const change of changes) await this.#one(change).then(change.done.resolve, change.done.reject);
  }

  async #one(change: Change): Promise<void> {
    if (!(await this.#quickly([change]))) await this.#rebuild(UNSTOPPABLE, change.without);
  }

  /**
   * The quick way is to change some elements (6 ms measured; touching an interval set as well makes it 20 ms). Where
   * it fails, because somebody changed the table behind our back, the table is built anew. @returns false then
   */
  async #quickly(changes: readonly Change[]): Promise<boolean> {
    const adding = changes.some(({ without }) => without === undefined);
    const known = this.#networks !== undefined;
    if (!known || (adding && this.#networks !== podNetworks(this.#own, this.#records.all()).join())) return false;
    const text = changes.map((change) => change.text).join("");
    return (await this.#nft(["-f", "-"], text, UNSTOPPABLE, "any")).exitCode === 0;
  }

  async #rebuild(signal: AbortSignal, without?: string): Promise<void> {
    const records = this.#records.all().filter((record) => record.sandboxId !== without);
    await this.#nft(["-f", "-"], tableText(this.#table, this.#own, records), signal);
    this.#networks = podNetworks(this.#own, records).join();
  }

  async #nft(args: readonly string[], input: string, signal: AbortSignal, okCodes: "any" | readonly number[] = [0]) {
    try {
      return await this.#exec("nft", args, { input, signal, okCodes, installHint: INSTALL });
    } catch (error) {
      if (!isGantryError(error, "command-failed")) throw error;
      throw new GantryError(
        "network-failed",
        `nftables refused the rules of table '${this.#table}': ${messageOf(error)}`,
        {
          kind: "system",
          cause: error,
          hint: "The kernel needs nf_tables with NAT (modules nft_nat, nft_masq, nft_fib_ipv4); run 'gantry doctor'.",
        },
      );
    }
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const run = this.#last.then(task, task);
    this.#last = run.catch(() => undefined);
    return run;
  }
}

/** A concatenation as `nft -j` prints it. */
const concatSchema = z.object({ concat: z.array(z.union([z.string(), z.number()])) });
const listingSchema = z.object({
  nftables: z.array(
    z.object({
      map: z.object({ name: z.string(), elem: z.array(z.tuple([concatSchema, concatSchema])).optional() }).optional(),
    }),
  ),
});

/** Elements of the port maps in a listing, as "map key : value". */
export function elementsIn(json: string): ReadonlySet<string> {
  const listing = listingSchema.safeParse(JSON.parse(json));
  if (!listing.success) return new Set();
  const all = listing.data.nftables.flatMap(({ map }) =>
    (map?.elem ?? []).map(([key, value]) => `${map?.name} ${key.concat.join(" . ")} : ${value.concat.join(" . ")}`),
  );
  return new Set(all);
}
