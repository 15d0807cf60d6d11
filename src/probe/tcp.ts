import { connect } from "node:net";
import type { ProbeOutcome, TcpAction } from "./contract.ts";

/** Passes when the port takes the connection; nothing is sent. @throws when it does not */
export async function probeTcp({ host, port }: TcpAction, signal: AbortSignal): Promise<ProbeOutcome> {
  const { promise, resolve, reject } = Promise.withResolvers<ProbeOutcome>();
  const socket = connect({ host, port });
  const stop = (): void => void socket.destroy();
  signal.addEventListener("abort", stop, { once: true });
  socket.once("connect", () => resolve({ result: "success", message: "" }));
  socket.on("error", reject);
  socket.once("close", () => reject(new Error("the connection was closed")));
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", stop);
    socket.destroy();
  }
}
