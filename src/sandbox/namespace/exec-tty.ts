import { PassThrough, Writable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import type { ExecRequest, ExecSession } from "../driver.ts";
import type { ExecLaunch } from "./exec.ts";
import { InnerTerminalSize } from "./exec-size.ts";
import { killTree } from "./process-tree.ts";

const DEFAULT_SIZE = { cols: 80, rows: 24 };

/** Runs the OCI runtime on a pseudo-terminal of ours, which it connects with the one it makes in the container. */
export async function execOnTerminal(launch: ExecLaunch, request: ExecRequest): Promise<ExecSession> {
  // Loaded only now: most daemons never have anybody at a terminal.
  const { spawn } = await import("@lydell/node-pty");
  const pty = spawn(launch.runtime, [...launch.args], {
    ...DEFAULT_SIZE,
    encoding: null,
    env: { ...launch.env },
    name: "xterm",
  });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const stdout = new PassThrough();
  let ended = false;
  const inner = new InnerTerminalSize(launch.pidFile, () => ended);
  const kill = (): void => {
    if (ended) return;
    launch.killInside();
    killTree(pty.pid);
  };
  pty.onData((data: string | Buffer) => {
    stdout.write(data);
  });
  pty.onExit(({ exitCode, signal }) => {
    ended = true;
    launch.signal.removeEventListener("abort", kill);
    launch
      .finish(signal ? 128 + signal : exitCode, (rest) => stdout.write(rest))
      .finally(() => stdout.end())
      .then(resolve, reject);
  });
  launch.signal.addEventListener("abort", kill, { once: true });
  promise.catch(() => {});
  const decoder = new StringDecoder("utf8");
  const stdin = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (!ended) pty.write(decoder.write(chunk));
      done();
    },
    final(done) {
      if (!ended) pty.write("\x04"); // end of file, as typed at a terminal
      done();
    },
  });
  return {
    ...(request.stdin ? { stdin } : {}),
    stdout,
    resize: (columns, rows) => {
      if (ended) return;
      const size = { cols: Math.max(1, columns), rows: Math.max(1, rows) };
      try {
        pty.resize(size.cols, size.rows);
      } catch {
        return; // closed already, though its end has not been told yet
      }
      inner.set(size);
    },
    exitCode: promise,
    kill,
  };
}
