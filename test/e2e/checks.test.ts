import { createServer, type Server } from "node:http";
import { Server as GrpcServer, ServerCredentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SAMPLE_IMAGE } from "../../src/image/sample.ts";
import { podOf, podText } from "./harness/sketch.ts";
import {
  containerOf,
  eventually,
  freePort,
  isReady,
  type PodView,
  RUNTIME_CLASSES,
  type TestHost,
  testHost,
} from "./harness.ts";

/** Probes and hooks on real containers: one daemon a class, all pods at once, each test looks at its own. */
let host: TestHost;
let notes: Server;
/** What hooks and apps have told the server on the host, in order: they outlive their pods. */
const told: string[] = [];
let notesPort = 0;
let grpc: GrpcServer;
let grpcPort = 0;
let serving = 2;
let localPort = 0;

beforeAll(async () => {
  notes = createServer(({ url = "" }, answer) => {
    told.push(url.slice(1));
    answer.end();
  });
  notesPort = await freePort();
  await new Promise<void>((resolve) => notes.listen(notesPort, "0.0.0.0", resolve));
  grpc = new GrpcServer();
  await serveHealth(grpc);
  localPort = await freePort();
});
afterAll(async () => {
  grpc.forceShutdown();
  await new Promise((resolve) => notes.close(resolve));
});

/** Probes run every second; what they run may take long where a machine is emulated. */
const fast = { periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 20 };
/** A web server whose pages come and go: `touch /www/ok`, `rm /www/ok`. */
const web = "mkdir -p /www && touch /www/ok && exec httpd -f -p 8080 -h /www";
const ports = [{ name: "web", containerPort: 8080 }];
const hostIp = { name: "HOST_IP", valueFrom: { fieldRef: { fieldPath: "status.hostIP" } } };
const tell = (what: string): string => `wget -qO- http://$HOST_IP:${notesPort}/${what}`;
const command = (script: string) => ({ exec: { command: ["sh", "-c", script] } });
const restarts = ({ status }: PodView): number => status.containerStatuses[0]?.restartCount ?? 0;
/** Several emulated machines may be booting at once. */
const ready = (name: string): Promise<PodView> => host.waitFor(name, isReady, "Ready", 120_000);
const toldBy = (who: string): string[] => told.filter((line) => line.startsWith(who));

describe.each(RUNTIME_CLASSES)("%s", (runtimeClass) => {
  const mark = runtimeClass.slice(0, 2);
  const pods: Readonly<Record<string, () => string>> = {
    web: () =>
      podText("web", {
        command: ["sh", "-c", web],
        ports,
        startupProbe: { tcpSocket: { port: "web" }, ...fast, failureThreshold: 90 },
        readinessProbe: { httpGet: { path: "/ok", port: "web" }, ...fast },
        livenessProbe: { exec: { command: ["test", "!", "-e", "/sick"] }, ...fast },
      }),
    side: () =>
      podOf("side", [{ name: "app", command: ["sh", "-c", "wget -qO- http://127.0.0.1:8080/ok && sleep 1000"] }], {
        initContainers: [
          {
            name: "proxy",
            image: SAMPLE_IMAGE,
            restartPolicy: "Always",
            command: ["sh", "-c", `sleep 1; ${web}`],
            ports,
            startupProbe: { httpGet: { port: "web", path: "/ok" }, ...fast, failureThreshold: 90 },
          },
        ],
      }),
    hooked: () =>
      podText(
        "hooked",
        {
          env: [hostIp],
          command: ["sh", "-c", `trap '${tell(`${mark}-app-QUIT`)}; exit 3' QUIT; while :; do sleep 0.1; done`],
          lifecycle: {
            postStart: command(`sleep 0.5; ${tell(`${mark}-app-started`)}`),
            preStop: command(`sleep 0.5; ${tell(`${mark}-app-bye`)}`),
            stopSignal: "SIGQUIT",
          },
        },
        { terminationGracePeriodSeconds: 30 },
      ),
  };

  /** What a driver has no part in: one class shows it as well as two. */
  const more: typeof pods = {
    served: () =>
      podText(
        "served",
        {
          env: [hostIp],
          command: [
            "sh",
            "-c",
            `mkdir -p /www/cgi-bin; printf '#!/bin/sh\\n${tell(`${mark}-http-bye`)}\\necho; echo ok\\n' > /www/cgi-bin/bye; ` +
              "chmod 755 /www/cgi-bin/bye; httpd -f -p 8080 -h /www & trap exit TERM; wait",
          ],
          lifecycle: {
            postStart: { sleep: { seconds: 1 } },
            preStop: { httpGet: { port: 8080, path: "/cgi-bin/bye" } },
          },
        },
        { terminationGracePeriodSeconds: 30 },
      ),
    unlucky: () => podText("unlucky", { lifecycle: { postStart: command("echo why >&2; exit 4") } }),
    said: () =>
      podText(
        "said",
        { command: ["sh", "-c", "seq 100; exit 3"], terminationMessagePolicy: "FallbackToLogsOnError" },
        { restartPolicy: "Never" },
      ),
  };

  beforeAll(async () => {
    host = testHost({ runtimeClass });
    await host.startDaemon();
    const all = runtimeClass === "namespace" ? { ...pods, ...more } : pods;
    for (const [name, text] of Object.entries(all)) host.write(`${name}.yaml`, text());
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

  test("an app starts only when its sidecar's startup probe has passed", async () => {
    expect(restarts(await ready("side"))).toBe(0);
  });

  test("postStart before Ready; preStop before the signal that the manifest names", async () => {
    await ready("hooked");
    expect(toldBy(`${mark}-app`)).toEqual([`${mark}-app-started`]);
    host.remove("hooked.yaml");
    await host.waitGone("hooked");
    expect(toldBy(`${mark}-app`)).toEqual([`${mark}-app-started`, `${mark}-app-bye`, `${mark}-app-QUIT`]);
  });

  // Micro-VMs share nothing of the host's network.
  if (runtimeClass === "microvm") return;

  test("preStop over HTTP reaches its server before the pod is gone", async () => {
    await ready("served");
    host.remove("served.yaml");
    await host.waitGone("served");
    expect(toldBy(`${mark}-http`)).toEqual([`${mark}-http-bye`]);
  });

  test("a postStart hook that fails costs the container its life", async () => {
    const failed = await host.waitFor(
      "unlucky",
      ({ status }) => status.containerStatuses[0]?.state.waiting?.reason === "PostStartHookError",
      "PostStartHookError",
    );
    expect(containerOf(failed, "app").state.waiting?.message).toContain("exit code 4: why");
    expect((await host.gantry("events", "unlucky")).stdout).toContain("FailedPostStartHook");
  });

  test("a message from the end of the log", async () => {
    const message = await eventually(
      async () => {
        const pod = (await host.pods()).find(({ metadata }) => metadata.name === "said");
        return pod && containerOf(pod, "app").state.terminated?.message;
      },
      { what: "the message", explain: () => host.explain() },
    );
    expect(message.trim().split("\n")).toEqual(Array.from({ length: 80 }, (_, line) => String(line + 21)));
  });

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
