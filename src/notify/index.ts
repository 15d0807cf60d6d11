/** Notifications: who is told when a source was synchronised, or could not be. */
import type { Config } from "../config/index.ts";
import type { Clock } from "../system/clock.ts";
import { messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import type { Notifier } from "./contract.ts";
import { backoffMs, type Notice, noticeOf } from "./message.ts";
import { post, Refused, run, writeStatus } from "./send.ts";

export type { Notifier, SyncOutcome, SyncResult } from "./contract.ts";

export interface NotifierOptions {
  readonly settings: Config["notify"];
  readonly node: string;
  readonly clock: Clock;
  readonly log: Pick<Logger, "warn">;
}

/** Waiting results beyond this are dropped, the oldest first: a receiver that is away for days fills no memory. */
const MAX_WAITING = 100;

interface Channel {
  readonly name: string;
  readonly tries: number;
  send(notice: Notice, signal: AbortSignal): Promise<void>;
}

export function createNotifier({ settings, node, clock, log }: NotifierOptions): Notifier {
  const abort = new AbortController();
  const queues = channelsOf(settings).map((channel) => queueOf(channel));
  return {
    notify(result) {
      if (settings.results === "failures" && (result.outcome === "synced" || result.outcome === "progressing")) {
        // A status file says how it is now, whatever else is wanted.
        for (const queue of queues) if (queue.name === "status file") queue.add(noticeOf(result, node));
        return;
      }
      for (const queue of queues) queue.add(noticeOf(result, node));
    },
    settled: async () => void (await Promise.all(queues.map((queue) => queue.settled()))),
    async close() {
      abort.abort();
      await Promise.all(queues.map((queue) => queue.settled()));
    },
  };

  function queueOf(channel: Channel) {
    // By source: of one that waits, the newest counts.
    const waiting = new Map<string, Notice>();
    let working: Promise<void> | undefined;
    return {
      name: channel.name,
      add(notice: Notice): void {
        if (abort.signal.aborted) return;
        waiting.delete(notice.source);
        waiting.set(notice.source, notice);
        const [oldest] = waiting.keys();
        if (waiting.size > MAX_WAITING && oldest !== undefined) waiting.delete(oldest);
        working ??= work().finally(() => {
          working = undefined;
        });
      },
      settled: async (): Promise<void> => working,
    };

    async function work(): Promise<void> {
      for (let [entry] = waiting; entry !== undefined && !abort.signal.aborted; [entry] = waiting) {
        const [source, notice] = entry;
        waiting.delete(source);
        await deliver(channel, notice, () => waiting.has(source));
      }
    }
  }

  async function deliver(channel: Channel, notice: Notice, outdated: () => boolean): Promise<void> {
    for (let failures = 1; ; failures += 1) {
      try {
        return await channel.send(notice, abort.signal);
      } catch (error) {
        if (abort.signal.aborted || outdated()) return;
        if (error instanceof Refused || failures >= channel.tries) {
          const said = { source: notice.source, outcome: notice.outcome, tries: failures };
          log.warn(said, `the ${channel.name} was not told: ${messageOf(error)}`);
          return;
        }
      }
      await pause(backoffMs(failures));
    }
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = clock.setTimeout(done, ms);
      abort.signal.addEventListener("abort", done, { once: true });
      function done(): void {
        clock.clearTimeout(timer);
        abort.signal.removeEventListener("abort", done);
        resolve();
      }
    });
  }
}

function channelsOf(settings: Config["notify"]): Channel[] {
  const { url, secretFile, command, statusDirectory, tries } = settings;
  return [
    ...(url === undefined
      ? []
      : [
          {
            name: "webhook",
            tries,
            send: (notice: Notice, signal: AbortSignal) => post(url, secretFile, notice, signal),
          },
        ]),
    ...(command.length === 0
      ? []
      : [{ name: "command", tries: 1, send: (notice: Notice, signal: AbortSignal) => run(command, notice, signal) }]),
    ...(statusDirectory === undefined
      ? []
      : [{ name: "status file", tries, send: (notice: Notice) => writeStatus(statusDirectory, notice) }]),
  ];
}
