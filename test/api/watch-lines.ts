import { request } from "node:http";

export interface Line {
  readonly type: string;
  readonly object: {
    readonly kind: string;
    readonly apiVersion: string;
    readonly metadata: {
      readonly name?: string;
      readonly resourceVersion: string;
      readonly annotations?: Record<string, string>;
    };
    readonly rows?: readonly { readonly cells: readonly unknown[]; readonly object?: { readonly kind: string } }[];
    readonly code?: number;
  };
}

/** A watch as it comes over the wire. */
export interface Lines {
  readonly lines: Line[];
  readonly ended: boolean;
  stop(): void;
}

export function watchLines(socketPath: string, path: string, accept = "application/json"): Lines {
  const found = { lines: [] as Line[], ended: false, stop: () => void sent.destroy() };
  let rest = "";
  const sent = request({ socketPath, path, headers: { accept } }, (response) => {
    response.setEncoding("utf8");
    response.on("data", (text: string) => {
      const parts = `${rest}${text}`.split("\n");
      rest = parts.pop() ?? "";
      found.lines.push(...parts.map((line) => JSON.parse(line)));
    });
    response.on("close", () => {
      found.ended = true;
    });
  });
  sent.on("error", () => {});
  sent.end();
  return found;
}
