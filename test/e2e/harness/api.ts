import { request } from "node:http";

export interface ApiAnswer {
  readonly status: number;
  readonly body: string;
}

/** One plain HTTP request to the daemon's socket. */
export function callApi(socket: string, method: string, path: string, body?: string): Promise<ApiAnswer> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-type": "application/yaml" };
    const call = request({ socketPath: socket, method, path, headers, timeout: 30_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") }),
      );
    });
    call.on("error", reject);
    call.on("timeout", () => call.destroy(new Error(`${method} ${path}: no answer within 30 s`)));
    call.end(body);
  });
}
