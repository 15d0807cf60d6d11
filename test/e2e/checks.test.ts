import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Server as GrpcServer, ServerCredentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { podOf, podText } from "./harness/sketch.ts";
import { containerOf, freePort, isReady, type PodView, type TestHost, testHost } from "./harness.ts";

/** Probes and hooks on real containers: one daemon, all pods at once, each test looks at its own. */
let host: TestHost;
let notes: string;
let grpc: GrpcServer;
const texts: (() => [name: string, text: string])[] = [];
const pod = (name: string, text: () => string): void => void texts.push(() => [`${name}.yaml`, text()]);

beforeAll(async () => {
  host = testHost();
  notes = join(host.directory, "notes");
  mkdirSync(notes);
  grpc = new GrpcServer();
  await serveHealth(grpc);
  localPort = await freePort();
  await host.startDaemon();
  for (const text of texts) host.write(...text());
});
afterAll(async () => {
  grpc.forceShutdown();
  await host.dispose();
});

/** A web server whose pages come and go: `touch /www/ok`, `rm /www/ok`. */
const web = "mkdir -p /www && touch /www/ok && exec httpd -f -p 8080 -h /www";
const fast = { periodSeconds: 1, failureThreshold: 1 };
const okay = { httpGet: { path: "/ok", port: "web" }, ...fast };
const sh = (name: string, script: string) => host.gantry("exec", name, "--", "sh", "-c", script);
const notesIn = () => ({ volumes: [{ name: "notes", hostPath: { path: notes } }], terminationGracePeriodSeconds: 3 });
const noted = { volumeMounts: [{ name: "notes", mountPath: "/notes" }] };
const note = (file: string): string => readFileSync(join(notes, file), "utf8");
const restarts = ({ status }: PodView): number => status.containerStatuses[0]?.restartCount ?? 0;

describe("probes", () => {
  const ports = [{ name: "web", containerPort: 8080 }];
  pod("web", () =>
    podText("web", {
      command: ["sh", "-c", web],
      ports,
      startupProbe: { tcpSocket: { port: "web" }, periodSeconds: 1, failureThreshold: 60 },
      readinessProbe: okay,
      livenessProbe: { exec: { command: ["test", "!", "-e", "/sick"] }, ...fast },
    }),
  );
  test("readiness comes and goes over HTTP, and survives a restart of the daemon; liveness restarts", async () => {
    await host.waitReady("web");
    await sh("web", "rm /www/ok");
    await host.waitFor("web", (seen) => !isReady(seen), "not Ready");
    await sh("web", "touch /www/ok");
    const before = await host.waitReady("web");
    expect(restarts(before)).toBe(0);

    await host.stopDaemon("SIGKILL");
    await host.startDaemon();
    const [after] = (await host.pods()).filter(({ metadata }) => metadata.name === "web");
    expect(after !== undefined && isReady(after)).toBe(true);

    await sh("web", "touch /sick");
    const again = await host.waitFor("web", (seen) => restarts(seen) === 1 && isReady(seen), "Ready again");
    expect(containerOf(again, "app").lastState?.terminated).toMatchObject({ reason: "Error" });
    const events = await host.gantry("events", "web");
    expect(events.stdout).toContain("Liveness probe failed: exit code 1");
    expect(events.stdout).toContain("Container app failed liveness probe, will be restarted");
    expect(events.stdout).toContain("Readiness probe failed: HTTP probe failed with statuscode: 404");
  });

  pod("grpc", () =>
    podText("grpc", { readinessProbe: { grpc: { port: grpcPort, service: "app" }, ...fast } }, { hostNetwork: true }),
  );
  test("gRPC, of a pod on the host's network", async () => {
    serving = 2;
    await host.waitPhase("grpc", "Running");
    expect(isReady(await host.waitPhase("grpc", "Running"))).toBe(false);
    serving = 1;
    await host.waitReady("grpc");
  });

  pod("local", () =>
    podText(
      "local",
      {
        command: ["sh", "-c", web.replace("8080", `127.0.0.1:${localPort}`)],
        readinessProbe: { httpGet: { host: "127.0.0.1", port: localPort, path: "/ok" }, ...fast },
      },
      { hostNetwork: true },
    ),
  );
  test("HTTP of another host than the pod: the node's own loopback", async () => {
    await host.waitReady("local");
  });

  pod("side", () =>
    podOf("side", [{ name: "app", command: ["sh", "-c", "wget -qO- http://127.0.0.1:8080/ok && sleep 1000"] }], {
      initContainers: [
        {
          name: "proxy",
          image: "localhost/gantry/sample:1",
          restartPolicy: "Always",
          command: ["sh", "-c", `sleep 1; ${web}`],
          ports,
          startupProbe: { httpGet: { port: "web", path: "/ok" }, periodSeconds: 1, failureThreshold: 60 },
        },
      ],
    }),
  );
  test("an app starts only when its sidecar's startup probe has passed", async () => {
    const seen = await host.waitReady("side");
    expect(restarts(seen)).toBe(0);
  });
});

describe("hooks", () => {
  pod("hooked", () =>
    podText(
      "hooked",
      {
        command: ["sh", "-c", `trap 'echo TERM >> /notes/order; exit 3' QUIT; ${web} & while :; do sleep 0.1; done`],
        ...noted,
        lifecycle: {
          postStart: { exec: { command: ["sh", "-c", "sleep 0.5; echo started > /notes/started"] } },
          preStop: { exec: { command: ["sh", "-c", "sleep 0.5; echo bye >> /notes/order"] } },
          stopSignal: "SIGQUIT",
        },
      },
      notesIn(),
    ),
  );
  test("postStart before Ready; preStop before the signal that the manifest names", async () => {
    await host.waitReady("hooked");
    expect(note("started")).toBe("started\n");
    host.remove("hooked.yaml");
    await host.waitGone("hooked");
    expect(note("order")).toBe("bye\nTERM\n");
  });

  pod("served", () =>
    podText(
      "served",
      {
        command: [
          "sh",
          "-c",
          "mkdir -p /www/cgi-bin; printf '#!/bin/sh\\necho called >> /notes/http\\necho; echo ok\\n' > /www/cgi-bin/bye; chmod 755 /www/cgi-bin/bye; exec httpd -f -p 8080 -h /www",
        ],
        ...noted,
        lifecycle: { preStop: { httpGet: { port: 8080, path: "/cgi-bin/bye" } }, postStart: { sleep: { seconds: 1 } } },
      },
      notesIn(),
    ),
  );
  test("preStop over HTTP reaches its server before the pod is gone", async () => {
    await host.waitReady("served");
    host.remove("served.yaml");
    await host.waitGone("served");
    expect(note("http")).toBe("called\n");
  });

  pod("unlucky", () =>
    podText("unlucky", { lifecycle: { postStart: { exec: { command: ["sh", "-c", "echo why >&2; exit 4"] } } } }),
  );
  test("a postStart hook that fails costs the container its life", async () => {
    const failed = await host.waitFor(
      "unlucky",
      ({ status }) => status.containerStatuses[0]?.state.waiting?.reason === "PostStartHookError",
      "PostStartHookError",
    );
    expect(containerOf(failed, "app").state.waiting?.message).toContain("exit code 4: why");
    expect((await host.gantry("events", "unlucky")).stdout).toContain("FailedPostStartHook");
  });
});

test("a message from the end of the log", async () => {
  host.write(
    "said.yaml",
    podText(
      "said",
      { command: ["sh", "-c", "seq 100; exit 3"], terminationMessagePolicy: "FallbackToLogsOnError" },
      { restartPolicy: "Never" },
    ),
  );
  const seen = await host.waitFor(
    "said",
    (one) => containerOf(one, "app").state.terminated?.message !== undefined,
    "its end",
  );
  const message = containerOf(seen, "app").state.terminated?.message ?? "";
  expect(message.trim().split("\n")).toEqual(Array.from({ length: 80 }, (_, i) => String(i + 21)));
});

let serving = 2;
let grpcPort = 0;
let localPort = 0;

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
