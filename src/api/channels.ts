/** The WebSocket subprotocols of exec, as both ends need them (k8s.io/apimachinery, remotecommand constants). Pure. */
export const PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"] as const;
/** Of port forwarding: SPDY within a WebSocket (kubectl since 1.31), or two channels for each port. */
export const FORWARD_PROTOCOLS = ["SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io"] as const;

/** The first byte of a message. */
export const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

export function channelMessage(channel: number, payload: Uint8Array): Buffer {
  const message = Buffer.allocUnsafe(payload.length + 1);
  message[0] = channel;
  message.set(payload, 1);
  return message;
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** What the resize channel carries: {"Width":80,"Height":24}. Undefined when it is anything else. */
export function parseSize(text: string): TerminalSize | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || !("Width" in value) || !("Height" in value)) return undefined;
  const { Width: columns, Height: rows } = value;
  return isUint16(columns) && isUint16(rows) ? { columns, rows } : undefined;
}

/** A terminal's size is two unsigned short ints (ioctl_tty(2)). */
function isUint16(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 65_535;
}
