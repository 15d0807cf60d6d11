import { Server as GrpcServer, ServerCredentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { podText } from "./harness/sketch.ts";
import { containerOf, freePort, isReady, type PodView, RUNTIME_CLASSES, type TestHost, testHost } from "./harness.ts";

/** Probes, where the cases of acceptance/ do not reach: over a crash of the daemon, and with servers on the host. */
let host: TestHost;
let grpc: GrpcServer;
let grpcPort = 0;
let serving = 2;
let localPort = 0;

beforeAll(async () => {
  grpc = new GrpcServer();
  await serveHealth(grpc);
  localPort = await freePort();
});
afterAll(() => grpc.forceShutdown());

/** Probes run every second; what they run may take long where a machine is emulated. */
const fast = { periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 20 };
/** A web server whose pages come and go: `touch /www/ok`, `rm /www/ok`. */
const web = "mkdir -p /www && touch /www/ok && exec httpd -f -p 8080 -h /www";
const ports = [{ name: "web", containerPort: 8080 }];
const restarts = ({ status }: PodView): number => status.containerStatuses[0]?.restartCount ?? 0;
/** Several emulated machines may be booting at once. */
const ready = (name: string): Promise<PodView> => host.waitFor(name, isReady, "Ready", 120_000);

describe.each(RUNTIME_CLASSES)("%s", (runtimeClass) => {
  const pod = podText("web", {
    command: ["sh", "-c", web],
    ports,
    startupProbe: { tcpSocket: { port: "web" }, ...fast, failureThreshold: 90 },
    readinessProbe: { httpGet: { path: "/ok", port: "web" }, ...fast },
    livenessProbe: { exec: { command: ["test", "!", "-e", "/sick"] }, ...fast },
  });

  beforeAll(async () => {
    host = testHost({ runtimeClass });
    await host.startDaemon();
    host.write("web.yaml", pod);
  });
  afterAll(() => host.dispose());

  test("readiness comes and goes, and survives a restart of the daemon; liveness restarts", async () => {
    const sh = (script: string) => host.gantry("exec", "web", "--", "sh", "-c", script);
    await ready("web");
    await sh("rm /www/ok");
    await host.waitFor("web", (seen) => !isReady(seen), "not Ready", 60_000);
    await sh("touch /www/ok");
    expect(restarts(await ready("web"))).toBe(0);

    await host.stopDaemon("SIGKILL");
    await host.startDaemon();
    expect((await host.pods()).some((pod) => pod.metadata.name === "web" && isReady(pod))).toBe(true);

    await sh("touch /sick");
    const again = await host.waitFor("web", (seen) => restarts(seen) === 1 && isReady(seen), "Ready again", 60_000);
    expect(containerOf(again, "app").lastState?.terminated).toMatchObject({ reason: "Error" });
    const { stdout } = await host.gantry("events", "web");
    expect(stdout).toContain("Liveness probe failed: exit code 1");
    expect(stdout).toContain("Container app failed liveness probe, will be restarted");
    expect(stdout).toContain("Readiness probe failed: HTTP probe failed with statuscode: 404");
  });

  // Micro-VMs share nothing of the host's network.
  if (runtimeClass === "microvm") return;

  test("gRPC, of a pod on the host's network", async () => {
    const readinessProbe = { grpc: { port: grpcPort, service: "app" }, ...fast };
    host.write("grpc.yaml", podText("grpc", { readinessProbe }, { hostNetwork: true }));
    expect(isReady(await host.waitPhase("grpc", "Running"))).toBe(false);
    serving = 1;
    await ready("grpc");
  });

  test("HTTP of another host than the pod: the node's own loopback", async () => {
    const readinessProbe = { httpGet: { host: "127.0.0.1", port: localPort, path: "/ok" }, ...fast };
    const container = { command: ["sh", "-c", web.replace("8080", `127.0.0.1:${localPort}`)], readinessProbe };
    host.write("local.yaml", podText("local", container, { hostNetwork: true }));
    await ready("local");
  });
});

/** grpc.health.v1.Health for the service "app", as the usual library serves it. */
async function serveHealth(server: GrpcServer): Promise<void> {
  const whole = (value: Buffer): Buffer => value;
  const check = {
    path: "/grpc.health.v1.Health/Check",
    requestStream: false,
    responseStream: false,
    requestSerialize: whole,
    requestDeserialize: whole,
    responseSerialize: whole,
    responseDeserialize: whole,
  } as const;
  server.addService(
    { check },
    {
      check: ({ request }: { request: Buffer }, answer: (error: object | null, value?: Buffer) => void) =>
        request.toString().endsWith("app") ? answer(null, Buffer.from([8, serving])) : answer({ code: 5 }),
    },
  );
  grpcPort = await new Promise<number>((resolve, reject) =>
    server.bindAsync("0.0.0.0:0", ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    ),
  );
}
