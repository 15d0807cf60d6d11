import { spawnSync } from "node:child_process";
import type { ExecSession } from "../sandbox/driver.ts";

/**
 * Joins this process' terminal or pipes with a command that runs in a container, until it has ended.
 *
 * With `tty` the local terminal is made raw, so that Ctrl-C and the like reach the command, and its size is passed on.
 * The terminal is put back however this process ends.
 *
 * @returns the command's exit code
 */
export async function attachTerminal(session: ExecSession, tty: boolean): Promise<number> {
  const { stdin, stdout, stderr } = process;
  const resize = (): void => session.resize(stdout.columns, stdout.rows);
  const restore = (): void => {
    if (stdin.isTTY) stdin.setRawMode(false);
  };
  if (tty) {
    process.once("exit", restore);
    stdin.setRawMode(true);
    // Node.js' raw mode still makes CR LF of every LF that is printed; here the terminal inside has done that already.
    spawnSync("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
    if (stdout.isTTY) {
      resize();
      stdout.on("resize", resize);
    }
  }
  if (session.stdin !== undefined) {
    // The command may end, or close its input, before it has read everything: its exit code tells the rest.
    session.stdin.on("error", () => {});
    stdin.pipe(session.stdin);
  }
  session.stdout.pipe(stdout, { end: false });
  session.stderr?.pipe(stderr, { end: false });
  const ended = [session.stdout, session.stderr].filter((stream) => stream !== undefined).map(untilRead);
  try {
    const exitCode = await session.exitCode;
    await Promise.all(ended);
    return exitCode;
  } finally {
    stdout.removeListener("resize", resize);
    stdin.unpipe();
    stdin.pause();
    if (tty) {
      restore();
      process.removeListener("exit", restore);
    }
  }
}

function untilRead(stream: NodeJS.ReadableStream): Promise<void> {
  return new Promise((resolve) => {
    stream.once("end", resolve);
    stream.once("close", resolve);
    stream.once("error", () => resolve());
  });
}
