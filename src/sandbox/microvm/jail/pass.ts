import { GantryError } from "../../../system/errors.ts";
import { connectUnix } from "../qemu/socket.ts";

const TIMEOUT_MS = 10_000;
const MAX_ANSWER = 1024;

/**
 * Has a VM's jailer open a file and give it to QEMU, which finds it at /dev/fdset/<set>: QEMU itself can open nothing.
 * @param socket where the jailer listens
 * @param mode "append" makes the file when it is not there
 * @throws GantryError runtime-failed with the reason, timeout
 */
export async function passFile(
  socket: string,
  file: { readonly set: number; readonly mode: "read" | "append"; readonly path: string },
): Promise<void> {
  const failed = (why: string): GantryError =>
    new GantryError("runtime-failed", `cannot give ${file.path} to the micro-VM: ${why}`, { kind: "system" });
  if (/[\n\0]/.test(file.path)) throw failed("its path has a line break");
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  const connection = await connectUnix(socket, limit);
  let answer = "";
  connection.setEncoding("utf8");
  connection.on("data", (text: string) => {
    answer += text;
    if (answer.length > MAX_ANSWER) connection.destroy();
  });
  connection.on("error", () => {}); // the answer says whether it worked
  limit.addEventListener("abort", () => connection.destroy(), { once: true });
  const closed = new Promise<void>((resolve) => connection.once("close", () => resolve()));
  connection.write(`${file.mode} ${file.set} ${file.path}\n`);
  await closed;
  if (answer === "ok\n") return;
  if (limit.aborted)
    throw new GantryError("timeout", `the micro-VM did not take ${file.path} in time`, { kind: "system" });
  throw failed(answer.replace(/^error /, "").trim() || "its QEMU is gone");
}
