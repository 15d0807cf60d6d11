import { spawn } from "node:child_process";
import { errnoOf, GantryError } from "../system/errors.ts";
import { installHint } from "./tools.ts";

/**
 * Runs `work` while holding an exclusive lock on `file`, across processes. Node.js has no flock(2), so flock(1)
 * holds it for us, for as long as our end of its stdin is open: the kernel frees it however we die.
 * Waits as long as it takes; keep the work short.
 * @throws GantryError cancelled, command-missing, command-failed; and what `work` throws
 */
export async function withLock<T>(file: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const release = await acquire(file, signal);
  try {
    return await work();
  } finally {
    await release();
  }
}

function acquire(file: string, signal: AbortSignal | undefined): Promise<() => Promise<void>> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(cancelled(file));
      return;
    }
    // `cat` says back the byte that we send, once flock has the lock and has become it.
    const holder = spawn("flock", ["--exclusive", "--no-fork", file, "cat"], {
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
    const closed = new Promise<void>((done) => holder.once("close", () => done()));
    let said = "";
    const onAbort = (): void => {
      holder.kill("SIGKILL");
      reject(cancelled(file));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    holder.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString("utf8");
    });
    holder.stdin.on("error", () => {
      // it ended before it read; `close` tells why
    });
    holder.on("error", (cause) => {
      signal?.removeEventListener("abort", onAbort);
      const missing = errnoOf(cause) === "ENOENT";
      reject(
        new GantryError(
          missing ? "command-missing" : "command-failed",
          missing ? "flock is not installed" : `cannot run flock: ${cause.message}`,
          {
            ...(missing ? { hint: installHint("flock") } : { kind: "system" as const }),
            cause,
          },
        ),
      );
    });
    holder.once("close", (code) => {
      signal?.removeEventListener("abort", onAbort);
      reject(
        new GantryError(
          "command-failed",
          `cannot lock ${file}: ${said.trim() || `flock ended with exit code ${code}`}`,
          { kind: "system" },
        ),
      );
    });
    holder.stdout.once("data", () => {
      signal?.removeEventListener("abort", onAbort);
      resolve(async () => {
        holder.stdin.end();
        await closed;
      });
    });
    holder.stdin.write("\n");
  });
}

function cancelled(file: string): GantryError {
  return new GantryError("cancelled", `cancelled while waiting for the lock ${file}`, { kind: "system" });
}
