import { fileURLToPath } from "node:url";
import { spawn } from "@lydell/node-pty";
import { eventually } from "./eventually.ts";

const MAIN = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url));

/** `gantry` on a terminal, and somebody at it. */
export interface Terminal {
  write(text: string): void;
  resize(columns: number, rows: number): void;
  /** Waits for text after everything that was waited for before. */
  see(text: string | RegExp): Promise<void>;
  /** Hangs up. */
  kill(): void;
  /** The exit code. */
  readonly ended: Promise<number>;
}

/** Runs `gantry ARGS` below `root` on a terminal of 90 by 30. */
export function openTerminal(root: string, args: readonly string[]): Terminal {
  return openOn(process.execPath, [MAIN, ...args], { GANTRY_ROOT: root });
}

/** Runs any command on such a terminal. */
export function openOn(command: string, args: readonly string[], env: Readonly<Record<string, string>>): Terminal {
  const options = { cols: 90, rows: 30, env: { ...process.env, TERM: "xterm", ...env } };
  const pty = spawn(command, [...args], options);
  let output = "";
  let from = 0;
  pty.onData((data) => {
    output += data;
  });
  return {
    write: (text) => pty.write(text),
    resize: (columns, rows) => pty.resize(columns, rows),
    kill: () => pty.kill(),
    async see(text) {
      const probe = (): boolean => {
        const rest = output.slice(from);
        const found = typeof text === "string" ? rest.indexOf(text) : rest.search(text);
        if (found < 0) return false;
        from += found + 1;
        return true;
      };
      await eventually(probe, { what: `${text} on the terminal`, explain: () => JSON.stringify(output) });
    },
    ended: new Promise((resolve) => pty.onExit(({ exitCode }) => resolve(exitCode))),
  };
}
