import { Readable } from "node:stream";
import { GantryError } from "../../system/errors.ts";
import { notRunning } from "../attach-app.ts";
import type { ExecRequest, ExecSession } from "../driver.ts";
import { SessionInput } from "./channel/input.ts";
import { type AgentLink, type SessionListener, violation } from "./channel/link.ts";
import { isRefusal } from "./channel/push.ts";
import { noSuchContainer } from "./container.ts";
import type { Context } from "./context.ts";
import { containerFiles, sandboxFiles } from "./dirs.ts";
import { observeContainer } from "./list.ts";
import { guestProcess } from "./process-spec.ts";

/** Bytes of output that may be on their way; more is asked for as it is read. */
const OUTPUT_WINDOW = 256 * 1024;
const SIGKILL = 9;
const ENOENT = 2;
/** EACCES, ENOEXEC, EISDIR … as a shell has it: there, but not to be run. */
const NOT_EXECUTABLE: ReadonlySet<number> = new Set([8, 13, 20, 21]);

/** See SandboxDriver.exec. */
export async function execInContainer(
  ctx: Context,
  sandboxId: string,
  id: string,
  request: ExecRequest,
  signal: AbortSignal,
): Promise<ExecSession> {
  const sandbox = await ctx.records.sandbox(sandboxFiles(ctx.dirs, sandboxId).record);
  const container = sandbox ? await observeContainer(ctx, sandbox, id) : undefined;
  const process = await ctx.records.process(containerFiles(ctx.dirs, sandboxId, id).process);
  if (!sandbox || !container || !process) throw noSuchContainer(sandboxId, id);
  if (container.state !== "running") throw notRunning(container.name);
  if (signal.aborted) throw new GantryError("cancelled", "exec was cancelled", { kind: "system" });
  const link = await ctx.machines.get(sandboxId).guest.link(signal);
  const session = new Session(link, request);
  const env = request.tty ? ["TERM=xterm"] : [];
  try {
    await session.start({
      container: id,
      process: guestProcess(process, request.command, env),
      tty: request.tty,
      stdin: request.stdin,
      credit: OUTPUT_WINDOW,
    });
  } catch (error) {
    if (!isRefusal(error)) throw error;
    if (error.reply.code === "state" || error.reply.code === "unknown") throw notRunning(container.name);
    session.failed(error.message, exitCodeOf(error.reply.errno));
  }
  const onAbort = (): void => session.kill();
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  void session.exitCode.finally(() => signal.removeEventListener("abort", onAbort)).catch(() => {});
  return session;
}

function exitCodeOf(errno: number): number {
  if (errno === ENOENT) return 127;
  return NOT_EXECUTABLE.has(errno) ? 126 : 125;
}

type StartBody = Parameters<typeof requestOf>[0];
const requestOf = (body: Extract<Parameters<AgentLink["begin"]>[0], { type: "exec" }>["body"]) =>
  ({ type: "exec", body }) as const;

/** One exec on a link: streams with flow control both ways. */
export class Session implements ExecSession, SessionListener {
  readonly #link: AgentLink;
  readonly #id: number;
  readonly #exit = Promise.withResolvers<number>();
  /** Bytes of output that the agent may still send. */
  #allowed = OUTPUT_WINDOW;
  readonly stdout: Readable;
  readonly stderr?: Readable;
  readonly stdin?: SessionInput;

  constructor(link: AgentLink, request: ExecRequest) {
    this.#link = link;
    this.#id = link.newId();
    this.stdout = this.#output();
    if (!request.tty) this.stderr = this.#output();
    if (request.stdin) this.stdin = new SessionInput(link, this.#id);
    this.#exit.promise.catch(() => {}); // whoever asks for the code sees it; nobody has to
  }

  get exitCode(): Promise<number> {
    return this.#exit.promise;
  }

  async start(body: StartBody): Promise<void> {
    await this.#link.begin(requestOf(body), this.#id, this);
  }

  resize(columns: number, rows: number): void {
    this.#link.send({ type: "execResize", body: { columns, rows } }, this.#id);
  }

  kill(): void {
    this.#link.send({ type: "execSignal", body: { signal: SIGKILL } }, this.#id);
  }

  output(data: Buffer, stderr: boolean): void {
    this.#allowed -= data.length;
    if (this.#allowed < 0) throw violation("more output of a command than it was allowed");
    (stderr && this.stderr ? this.stderr : this.stdout).push(data);
  }

  stdinCredit(bytes: number): void {
    this.stdin?.credit(bytes);
  }

  exit(code: number): void {
    this.#end();
    this.#exit.resolve(code);
  }

  lost(error: Error): void {
    this.#end();
    this.#exit.reject(error);
  }

  /** It never ran. */
  failed(message: string, code: number): void {
    (this.stderr ?? this.stdout).push(`${message}\n`);
    this.exit(code);
  }

  #end(): void {
    this.stdout.push(null);
    this.stderr?.push(null);
    this.stdin?.destroy();
  }

  #output(): Readable {
    let owed = 0;
    const stream = new Readable({
      highWaterMark: OUTPUT_WINDOW,
      read: () => {
        if (owed === 0) return;
        this.#allowed += owed;
        this.#link.send({ type: "execCredit", body: { bytes: owed } }, this.#id);
        owed = 0;
      },
    });
    const push = stream.push.bind(stream);
    stream.push = (chunk: unknown, encoding?: BufferEncoding) => {
      if (Buffer.isBuffer(chunk)) owed += chunk.length;
      return push(chunk, encoding);
    };
    return stream;
  }
}
