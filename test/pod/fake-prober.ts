import type { ExecIn, HookAction, ProbeAction, ProbeOutcome, Prober } from "../../src/probe/contract.ts";
import { within } from "../../src/probe/deadline.ts";
import type { Clock } from "../../src/system/clock.ts";
import { GantryError } from "../../src/system/errors.ts";

/** Answers as told, and remembers who was asked, and when. */
export class FakeProber implements Prober {
  readonly #clock: Clock;
  readonly #startedAt: number;
  /** In order: "<s since the beginning> <what>". */
  readonly asked: string[] = [];
  /** By what is asked: see `nameOf`. Default: success. */
  answer: (name: string) => ProbeOutcome["result"] | "never" = () => "success";
  /** How long a hook takes, ms; or why it fails. */
  hook: (name: string) => number | Error = () => 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedAt = clock.now();
  }

  get seconds(): number {
    return (this.#clock.now() - this.#startedAt) / 1000;
  }

  async probe(action: ProbeAction, timeoutMs: number, _exec: ExecIn, signal: AbortSignal): Promise<ProbeOutcome> {
    const name = nameOf(action);
    this.asked.push(`${this.seconds} ${name}`);
    const result = this.answer(name);
    if (result !== "never") return { result, message: `${name} says ${result}` };
    await within(this.#clock, timeoutMs, signal, () => new Promise(() => {}));
    return { result: "failure", message: "late" };
  }

  async runHook(action: HookAction, _exec: ExecIn, signal: AbortSignal): Promise<void> {
    const name = action.type === "sleep" ? `sleep ${action.ms}` : nameOf(action);
    this.asked.push(`${this.seconds} ${name}`);
    const outcome = action.type === "sleep" ? action.ms : this.hook(name);
    if (outcome instanceof Error) throw outcome;
    if (outcome > 0) await within(this.#clock, outcome, signal, () => new Promise(() => {}));
    if (signal.aborted) throw new GantryError("cancelled", "called off");
  }

  /** When `name` was asked, in s since the beginning. */
  timesOf(name: string): number[] {
    return this.asked.filter((line) => line.endsWith(` ${name}`)).map((line) => Number(line.split(" ", 1)[0]));
  }
}

/** "ready" for an exec of [ready], "10.88.0.4:80/healthz" for an httpGet, … */
function nameOf(action: ProbeAction): string {
  switch (action.type) {
    case "exec":
      return action.command.join(" ");
    case "httpGet":
      return `${action.host}:${action.port}${action.path}`;
    case "tcpSocket":
    case "grpc":
      return `${action.host}:${action.port}`;
  }
}
