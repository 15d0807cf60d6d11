import { connect } from "node:net";

/** Connects to a port and hangs up. @returns false when nobody listens there */
export function knock(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, address);
    socket.on("connect", () => {
      socket.end();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
