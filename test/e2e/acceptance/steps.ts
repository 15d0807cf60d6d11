import { mkdirSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseDocument } from "yaml";
import { parseDurationMs } from "../../../src/cli/parse/duration.ts";
import { type CliResult, eventually, type RuntimeClass, runOf, type TestHost } from "../harness.ts";
import type { File, Run, Step } from "./case.ts";
import { type ClockStep, putOn } from "./clock.ts";
import type { Loaded } from "./load.ts";
import { mismatch } from "./match.ts";
import { Observer } from "./observer.ts";
import { manifest } from "./shorthand.ts";
import type { PodView } from "./view.ts";

/** Between two tries of a command: each is a process, and what they wait for needs the processor, too. */
const COMMAND_PAUSE_MS = 200;

/** Where cases take place; the observer is another one after a restart of the daemon. */
export interface Stage {
  readonly host: TestHost;
  readonly runtimeClass: RuntimeClass;
  observer: Observer;
  /** How the daemon's clock has been put on: ms in all since then, by the host's clock. */
  readonly clockSteps: ClockStep[];
}

/** One case while it is played. */
export class Play {
  readonly #stage: Stage;
  readonly #case: Loaded;
  readonly #texts = new Map<string, string>();
  readonly #remembered = new Map<string, PodView>();

  constructor(stage: Stage, loaded: Loaded) {
    this.#stage = stage;
    this.#case = loaded;
  }

  get #deadlineMs(): number {
    return this.#stage.runtimeClass === "microvm" ? 120_000 : 60_000;
  }

  /** @throws Error naming the step that did not come true, with what the host says of the case's namespace */
  async run(): Promise<void> {
    mkdirSync(this.#hostDir);
    this.write(this.#case.files);
    for (const [index, step] of this.#case.steps.entries()) {
      try {
        await this.#step(step);
      } catch (error) {
        const { stdout } = await this.#gantry(["status", "-o", "wide"]);
        const events = await this.#gantry(["events"]);
        const why = error instanceof Error ? error.message : String(error);
        throw new Error(
          `step ${index + 1}, ${JSON.stringify(step)}: ${why}\n${stdout}\n${events.stdout.split("\n").slice(-25).join("\n")}`,
          { cause: error },
        );
      }
    }
  }

  /** Takes the case's files and pods away, without waiting for their grace. */
  async leave(): Promise<void> {
    // Some are gone already: `gantry delete` takes a pod out of its file.
    for (const name of this.#texts.keys()) rmSync(join(this.#stage.host.manifests, name), { force: true });
    const { namespace } = this.#case;
    const pods = (await this.#stage.host.pods()).filter(({ metadata }) => metadata.namespace === namespace);
    for (const { metadata } of pods)
      await this.#stage.host.api(
        "DELETE",
        `/api/v1/namespaces/${namespace}/pods/${metadata.name}?gracePeriodSeconds=0`,
      );
  }

  write(files: Readonly<Record<string, File>>): void {
    for (const [name, file] of Object.entries(files)) this.#put(name, this.#textOf(file));
  }

  #put(name: string, text: string): void {
    const own = this.#ownName(name);
    this.#texts.set(own, text);
    this.#stage.host.write(own, text);
  }

  /** Files of all cases lie in one folder. */
  #ownName(name: string): string {
    return `${this.#case.namespace}-${name}`;
  }

  #textOf(file: File): string {
    const { namespace } = this.#case;
    const objects = typeof file === "string" ? [] : Array.isArray(file) ? file : [file];
    const texts = objects.map((each) =>
      JSON.stringify(manifest(each, namespace, this.#stage.runtimeClass), undefined, 2),
    );
    const text = typeof file === "string" ? file : `${texts.join("\n---\n")}\n`;
    return text.replaceAll("HOSTDIR", this.#hostDir);
  }

  get #hostDir(): string {
    return join(this.#stage.host.directory, this.#case.namespace);
  }

  #gantry(args: readonly string[], stdin = ""): Promise<CliResult> {
    return this.#stage.host.gantryWith({ input: stdin, timeoutMs: 120_000 }, "-n", this.#case.namespace, ...args);
  }

  #until(name: string, judge: (pod: PodView | undefined) => string | undefined): Promise<void> {
    return this.#stage.observer.until(this.#case.namespace, name, judge, this.#deadlineMs);
  }

  #eventually(what: string, judge: () => Promise<string | undefined>, everyMs = 20): Promise<void> {
    let last = "";
    const probe = async (): Promise<boolean> => {
      const complaint = await judge();
      if (complaint !== undefined) last = complaint;
      return complaint === undefined;
    };
    return eventually(probe, { what, everyMs, deadlineMs: this.#deadlineMs, explain: () => last }).then(
      () => undefined,
    );
  }

  async #step(step: Step): Promise<void> {
    const { host } = this.#stage;
    const { namespace } = this.#case;
    if ("write" in step) return this.write(step.write);
    if ("set" in step) return this.#set(step.set.file, step.set.path, step.set.to);
    if ("delete" in step) {
      const own = this.#ownName(step.delete);
      this.#texts.delete(own);
      return host.remove(own);
    }
    if ("pod" in step) {
      for (const [name, expected] of Object.entries(step.pod))
        await this.#until(name, (pod) => mismatch(pod, expected));
      return;
    }
    if ("never" in step) {
      for (const [name, expected] of Object.entries(step.never))
        for (const pod of this.#past(name)) if (mismatch(pod, expected) === undefined) fail(`pod ${name} has been so`);
      return;
    }
    if ("pods" in step) return this.#eventually("exactly these pods", () => this.#lacking(step.pods));
    if ("gone" in step) {
      return this.#eventually(`the end of ${step.gone}`, async () => {
        const there = (await host.pods()).some(
          ({ metadata }) => metadata.namespace === namespace && metadata.name === step.gone,
        );
        return there ? "it is still there" : undefined;
      });
    }
    if ("log" in step) {
      for (const [whose, stdout] of Object.entries(step.log)) {
        const [pod = "", container] = whose.split("/");
        await this.#until(pod, (view) => (hasRun(view, container) ? undefined : "it has printed nothing yet"));
        await this.#command({ args: ["logs", pod, ...(container === undefined ? [] : ["-c", container])], stdout });
      }
      return;
    }
    if ("events" in step) {
      for (const [pod, stdout] of Object.entries(step.events)) await this.#command({ args: ["events", pod], stdout });
      return;
    }
    if ("run" in step) return this.#command(step.run);
    if ("fetch" in step) {
      const { pod, port, path, body } = step.fetch;
      return this.#eventually(`http ${path} of ${pod}`, async () => {
        const address = this.#stage.observer.latest(namespace, pod)?.["podIP"];
        const answer = await fetch(`http://${String(address)}:${port}${path}`, { signal: AbortSignal.timeout(20_000) });
        return mismatch(await answer.text(), body);
      });
    }
    if ("host" in step) {
      for (const [name, expected] of Object.entries(step.host))
        await this.#eventually(`${name} of the host`, async () =>
          mismatch(await readFile(join(this.#hostDir, name), "utf8"), expected),
        );
      return;
    }
    if ("touch" in step) {
      for (const name of step.touch) await writeFile(join(this.#hostDir, name), "");
      return;
    }
    if ("remember" in step) {
      const pod = this.#stage.observer.latest(namespace, step.remember);
      if (pod === undefined) throw new Error(`pod ${step.remember} has not been seen`);
      this.#remembered.set(step.remember, pod);
      return;
    }
    if ("same" in step) return this.#same(step.same);
    if ("other" in step) {
      const { uid } = this.#recalled(step.other);
      return this.#until(step.other, (pod) =>
        pod === undefined || pod.uid === uid ? "it is the same pod" : undefined,
      );
    }
    if ("crash" in step) {
      const [name = "", container = ""] = step.crash.split("/");
      const pod = (await host.pods()).find(
        ({ metadata }) => metadata.namespace === namespace && metadata.name === name,
      );
      if (pod === undefined) throw new Error(`no pod ${name}`);
      process.kill(runOf(pod, container).pid, "SIGKILL");
      return;
    }
    if ("daemon" in step) return this.#daemon(step.daemon);
    const ms = parseDurationMs(step.clock, "clock");
    await putOn(clockSocketOf(host), ms);
    const { clockSteps } = this.#stage;
    clockSteps.push({ at: Date.now(), ahead: (clockSteps.at(-1)?.ahead ?? 0) + ms });
  }

  #set(file: string, path: string, to: unknown): void {
    const own = this.#ownName(file);
    const document = parseDocument(this.#texts.get(own) ?? "");
    document.setIn(
      path.split(".").map((part) => (/^\d+$/.test(part) ? Number(part) : part)),
      to,
    );
    this.#put(file, document.toString());
  }

  async #lacking(expected: readonly unknown[]): Promise<string | undefined> {
    const pods = (await this.#stage.host.pods())
      .filter(({ metadata }) => metadata.namespace === this.#case.namespace)
      .map(({ metadata }) => metadata.name)
      .sort();
    return mismatch(pods, expected);
  }

  #past(name: string): readonly PodView[] {
    const past = this.#stage.observer.past(this.#case.namespace, name);
    if (past.length === 0) throw new Error(`pod ${name} has not been seen`);
    return past;
  }

  #recalled(name: string): PodView {
    const pod = this.#remembered.get(name);
    if (pod === undefined) throw new Error(`pod ${name} was not remembered`);
    return pod;
  }

  #same(whose: string): void {
    const [name = "", only] = whose.split("/");
    const before = this.#recalled(name);
    const now = this.#stage.observer.latest(this.#case.namespace, name);
    fail(mismatch(now?.uid, before.uid, "uid"));
    fail(mismatch(now?.["podIP"], before["podIP"], "podIP"));
    for (const [container, { id, restarts }] of Object.entries(before.containers))
      if (only === undefined || only === container)
        fail(mismatch(now?.containers[container], { id, restarts }, container));
  }

  async #command(run: Partial<Run> & Pick<Run, "args">): Promise<void> {
    const { code = 0, stdout, stderr, json, stdin } = run;
    const judge = async (): Promise<string | undefined> => {
      const result = await this.#gantry(run.args, stdin);
      const expected = { code, ...(stdout !== undefined && { stdout }), ...(stderr !== undefined && { stderr }) };
      const complaint = mismatch(result, expected);
      if (complaint !== undefined || json === undefined) return complaint && `${complaint}\n${result.stderr}`;
      return mismatch(JSON.parse(result.stdout), json);
    };
    if (run.once !== true) return this.#eventually(`gantry ${run.args.join(" ")}`, judge, COMMAND_PAUSE_MS);
    fail(await judge());
  }

  async #daemon(what: "stop" | "start" | "kill" | "restart"): Promise<void> {
    const { host, clockSteps } = this.#stage;
    if (what !== "start") {
      await this.#stage.observer.close();
      await host.stopDaemon(what === "stop" ? "SIGTERM" : "SIGKILL");
    }
    if (what !== "start" && what !== "restart") return;
    await startClocked(host, clockSteps);
    this.#stage.observer = new Observer(host);
  }
}

/** Where the clock of a host's daemon is put on. */
function clockSocketOf(host: TestHost): string {
  return join(host.directory, "clock");
}

/** @param steps how the clock of the daemon before had been put on */
export async function startClocked(host: TestHost, steps: readonly ClockStep[]): Promise<void> {
  await host.startDaemon({ env: { CLOCK_SOCKET: clockSocketOf(host), CLOCK_STEPS: JSON.stringify(steps) } });
}

/** Whether a container, any or the one of that name, can have printed something. */
function hasRun(pod: PodView | undefined, container: string | undefined): boolean {
  return Object.entries(pod?.containers ?? {}).some(
    ([name, { state, restarts }]) =>
      (container === undefined || name === container) && (state !== "waiting" || restarts > 0),
  );
}

function fail(complaint: string | undefined): void {
  if (complaint !== undefined) throw new Error(complaint);
}
