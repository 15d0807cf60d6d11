import { once } from "node:events";
import { GantryError } from "../../../system/errors.ts";
import { connectUnix } from "../qemu/socket.ts";

const TIMEOUT_MS = 10_000;
const MAX_ANSWER = 1024;

/**
 * Has a VM's jailer open a file and give it to QEMU, which finds it at /dev/fdset/<set>: QEMU itself can open nothing.
 * @param socket where the jailer listens
 * @param mode "append" makes the file when it is not there
 * @throws GantryError runtime-failed with the reason, timeout, cancelled
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
  try {
    connection.write(`${file.mode} ${file.set} ${file.path}\n`);
    await once(connection, "close", { signal: limit });
  } catch (cause) {
    throw new GantryError("timeout", `the micro-VM did not take ${file.path}`, { kind: "system", cause });
  } finally {
    connection.destroy();
  }
  if (answer === "ok\n") return;
  throw failed(answer.replace(/^error /, "").trim() || "its QEMU is gone");
}
