import { createServer } from "node:net";
import { SAMPLE_IMAGE } from "../../../src/image/index.ts";

export type Fields = Readonly<Record<string, unknown>>;

/** A container of the sample image that runs a line of shell; other fields win. */
export function shell(name: string, script: string, fields: Fields = {}): Fields {
  return { name, image: SAMPLE_IMAGE, command: ["sh", "-c", script], ...fields };
}

/** Goes on for ever and ends at once when told to. */
export const FOREVER = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";

/** The text of a Pod manifest (JSON, which is YAML). Grace 1 s unless `spec` says otherwise. */
export function podText(name: string, containers: readonly Fields[], spec: Fields = {}, metadata: Fields = {}): string {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, ...metadata },
    spec: { terminationGracePeriodSeconds: 1, containers, ...spec },
  };
  return `${JSON.stringify(pod, undefined, 2)}\n`;
}

export function configMapText(name: string, data: Readonly<Record<string, string>>): string {
  return `${JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data })}\n`;
}

/** A TCP port of this host that nobody uses now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "0.0.0.0", () => {
      const address = server.address();
      server.close(() => {
        if (typeof address === "object" && address !== null) resolve(address.port);
        else reject(new Error("no port"));
      });
    });
  });
}
