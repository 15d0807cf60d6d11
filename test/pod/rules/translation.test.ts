import { describe, expect, it } from "vitest";
import type { Image, ImageConfig } from "../../../src/image/contract.ts";
import { containerConfig, sandboxConfig } from "../../../src/pod/config.ts";
import { dnsOf, hostNamesOf, hostnameOf, parseResolvConf } from "../../../src/pod/rules/dns.ts";
import { expand } from "../../../src/pod/rules/expand.ts";
import { qosClassOf } from "../../../src/pod/rules/qos.ts";
import {
  containerResources,
  cpuQuota,
  cpuShares,
  oomScoreAdj,
  podDemand,
  podRequestBytes,
  podResources,
} from "../../../src/pod/rules/resources.ts";
import { slotsOf } from "../../../src/pod/rules/slots.ts";
import type { ContainerConfig } from "../../../src/sandbox/driver.ts";
import { configMapOf, desiredPod, secretOf } from "../harness.ts";

const GiB = 2 ** 30;
const node = { name: "node-1", ip: "192.0.2.1", cpus: 4, memoryBytes: 4 * GiB };
const resolv = { nameservers: ["9.9.9.9"], searches: ["lan"], options: ["ndots:1", "rotate"] };

function made(
  container: object,
  spec: object = {},
  image: Partial<ImageConfig> = {},
  metadata: object = {},
): ContainerConfig {
  const desired = desiredPod({ containers: [{ name: "app", image: "app", ...container }], ...spec }, { ...metadata });
  const [slot] = slotsOf(desired).filter(({ kind }) => kind === "main");
  if (slot === undefined) throw new Error("no container");
  const config: ImageConfig = {
    entrypoint: ["/entry"],
    cmd: ["cmd"],
    env: [{ name: "IMG", value: "1" }],
    workingDir: "/work",
    user: "",
    stopSignal: undefined,
    ...image,
  };
  const held: Image = {
    digest: "sha256:1",
    names: ["app"],
    sizeBytes: 0,
    createdAt: 0,
    architecture: "amd64",
    origins: [],
    lastUsedAt: 0,
    config,
  };
  return containerConfig({
    desired,
    uid: "0123456789abcdef",
    slot,
    attempt: 3,
    sandboxId: "0123456789ab-0",
    ips: ["10.88.0.2"],
    image: held,
    node,
    podLogs: "/logs",
    confinement: {},
    configMap: (name) => (name === "settings" ? configMapOf("settings", { a: "A", "b.c": "BC" }) : undefined),
    secret: (name) => (name === "keys" ? secretOf("keys", { k: "secret ä" }) : undefined),
  });
}

const envOf = (container: object, spec: object = {}): Record<string, string> =>
  Object.fromEntries(made(container, spec).env.map(({ name, value }) => [name, value]));

describe("the command line", () => {
  it.each<[string, object, string[]]>([
    ["is the image's", {}, ["/entry", "cmd"]],
    ["args replace CMD", { args: ["x"] }, ["/entry", "x"]],
    ["command replaces ENTRYPOINT and drops CMD", { command: ["/c"] }, ["/c"]],
    ["both", { command: ["/c"], args: ["x"] }, ["/c", "x"]],
    ["empty lists are as good as none", { command: [], args: [] }, ["/entry", "cmd"]],
    [
      "expands variables",
      { env: [{ name: "A", value: "1" }], args: ["$(A)", "$(NO)", "$$(A)", "$A"] },
      ["/entry", "1", "$(NO)", "$(A)", "$A"],
    ],
  ])("%s", (_, container, argv) => {
    expect(made(container).argv).toEqual(argv);
  });

  it("without any is an error that says what to do", () => {
    expect(() => made({}, {}, { entrypoint: [], cmd: [] })).toThrow(/neither ENTRYPOINT nor CMD/);
  });
});

describe("expansion", () => {
  it.each([
    ["$(A)$(B)", "1$(B)"],
    ["$$(A)", "$(A)"],
    ["$$$(A)", "$1"],
    ["$(A", "$(A"],
    ["100$", "100$"],
    ["$()", "$()"],
  ])("of %s is %s", (text, expected) => {
    expect(expand(text, (name) => (name === "A" ? "1" : undefined))).toBe(expected);
  });
});

describe("the environment", () => {
  it("is image, then envFrom, then env", () => {
    const env = envOf({
      envFrom: [{ configMapRef: { name: "settings" } }, { prefix: "P_", secretRef: { name: "keys" } }],
      env: [
        { name: "a", value: "own" },
        { name: "IMG", value: "2" },
        { name: "SUM", value: "$(a)-$(P_k)-$(LATER)" },
        { name: "LATER", value: "x" },
      ],
    });
    expect(env).toMatchObject({
      a: "own",
      "b.c": "BC",
      P_k: "secret ä",
      IMG: "2",
      SUM: "own-secret ä-$(LATER)",
      LATER: "x",
      HOSTNAME: "web",
    });
  });

  it("takes fields of the pod and of its resources", () => {
    const field = (fieldPath: string) => ({
      name: fieldPath.replace(/\W/g, "_"),
      valueFrom: { fieldRef: { fieldPath } },
    });
    const resource = (name: string, divisor?: string) => ({
      name: name.replace(".", "_"),
      valueFrom: { resourceFieldRef: { resource: name, ...(divisor && { divisor }) } },
    });
    const env = Object.fromEntries(
      made(
        {
          resources: { limits: { cpu: "1500m", memory: "64Mi" } },
          env: [
            field("metadata.name"),
            field("metadata.uid"),
            field("metadata.labels['tier']"),
            field("status.podIP"),
            field("status.hostIP"),
            field("spec.nodeName"),
            resource("limits.cpu"),
            resource("requests.cpu", "1m"),
            resource("limits.memory", "1Mi"),
          ],
        },
        {},
        {},
        { labels: { tier: "front" } },
      ).env.map(({ name, value }) => [name, value]),
    );
    expect(env).toMatchObject({
      metadata_name: "web",
      metadata_uid: "0123456789abcdef",
      metadata_labels__tier__: "front",
      status_podIP: "10.88.0.2",
      status_hostIP: "192.0.2.1",
      spec_nodeName: "node-1",
      limits_cpu: "2",
      requests_cpu: "1500",
      limits_memory: "64",
    });
  });

  it.each<[string, object, RegExp]>([
    ["ConfigMap", { configMapKeyRef: { name: "no", key: "a" } }, /configmap "no" not found/],
    [
      "key of a ConfigMap",
      { configMapKeyRef: { name: "settings", key: "no" } },
      /couldn't find key no in ConfigMap settings/,
    ],
    ["Secret", { secretKeyRef: { name: "no", key: "a" } }, /secret "no" not found/],
    ["field", { fieldRef: { fieldPath: "spec.nope" } }, /not supported/],
  ])("a missing %s is an error, unless optional", (_, valueFrom, message) => {
    expect(() => made({ env: [{ name: "A", valueFrom }] })).toThrow(message);
  });

  it("optional references that are missing are left out", () => {
    const env = envOf({
      envFrom: [{ configMapRef: { name: "no", optional: true } }],
      env: [{ name: "A", valueFrom: { secretKeyRef: { name: "no", key: "k", optional: true } } }],
    });
    expect(env).not.toHaveProperty("A");
  });
});

describe("the user", () => {
  it.each<[string, object, object, string, object]>([
    ["is the image's", {}, {}, "www:www", { name: "www:www" }],
    ["of the pod wins over the image", {}, { runAsUser: 1 }, "www", { uid: 1 }],
    [
      "of the container wins over the pod",
      { runAsUser: 2, runAsGroup: 3 },
      { runAsUser: 1, fsGroup: 7, supplementalGroups: [5, 7] },
      "",
      { uid: 2, gid: 3, supplementalGroups: [5, 7] },
    ],
    ["non-root by number is fine", { runAsNonRoot: true }, {}, "1000:0", { name: "1000:0" }],
  ])("%s", (_, own, common, user, expected) => {
    expect(made({ securityContext: own }, { securityContext: common }, { user }).user).toEqual({
      supplementalGroups: [],
      ...expected,
    });
  });

  it.each([
    [{ runAsUser: 0 }, "", "container's runAsUser breaks non-root policy"],
    [{}, "", "container has runAsNonRoot and image will run as root"],
    [{}, "0:5", "container has runAsNonRoot and image will run as root"],
    [{}, "www", "container has runAsNonRoot and image has non-numeric user (www), cannot verify user is non-root"],
  ])("runAsNonRoot with %j and image user %j is refused", (own, user, message) => {
    expect(() => made({ securityContext: { runAsNonRoot: true, ...own } }, {}, { user })).toThrow(message);
  });
});

describe("a container's config", () => {
  it("has its own log, id and stop signal", () => {
    const config = made({}, {}, { stopSignal: "SIGQUIT" });
    expect(config).toMatchObject({
      id: "0123456789ab-0-app-3",
      logPath: "/logs/default_web_0123456789abcdef/app/3.log",
      labels: { "gantry.dev/stop-signal": "SIGQUIT" },
      workingDir: "/work",
      security: { privileged: false, noNewPrivileges: false, seccomp: { type: "RuntimeDefault" } },
    });
  });

  it("mounts what is made from manifests read-only, and parts of volumes", () => {
    const volumes = [
      { name: "c", configMap: { name: "settings" } },
      { name: "e", emptyDir: {} },
    ];
    const mounts = [
      { name: "c", mountPath: "/c" },
      { name: "e", mountPath: "/e" },
    ];
    expect(made({ volumeMounts: mounts }, { volumes }).mounts.map(({ readOnly }) => readOnly)).toEqual([true, false]);
    const env = [{ name: "A", value: "a" }];
    const part = (more: object) =>
      made({ env, volumeMounts: [{ name: "e", mountPath: "/e", ...more }] }, { volumes }).mounts[0]?.subPath;
    expect(part({ subPath: "x" })).toBe("x");
    expect(part({ subPath: "$(A)" })).toBe("$(A)");
    expect(part({ subPathExpr: "logs/$(A)/$$(A)" })).toBe("logs/a/$(A)");
    expect(part({ subPathExpr: "" })).toBeUndefined();
    expect(() => part({ subPathExpr: "$(B)" })).toThrow(/names B, which is not set/);
    env[0] = { name: "A", value: "../.." };
    expect(() => part({ subPathExpr: "$(A)" })).toThrow(/not below the volume/);
  });

  it("reads capabilities with and without CAP_", () => {
    const securityContext = {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"], add: ["CAP_NET_BIND_SERVICE", "chown"] },
    };
    expect(made({ securityContext }).security).toMatchObject({
      noNewPrivileges: true,
      capabilities: { drop: ["ALL"], add: ["NET_BIND_SERVICE", "CHOWN"] },
    });
  });
});

describe("a sandbox's config", () => {
  const config = (spec: object) =>
    sandboxConfig({ desired: desiredPod(spec), uid: "0123456789abcdef", attempt: 2, volumes: [], node, resolv });

  it("maps host ports, unless the pod uses the host's network", () => {
    const containers = [
      { name: "app", image: "app", ports: [{ containerPort: 80, hostPort: 8080 }, { containerPort: 81 }] },
    ];
    expect(config({ containers })).toMatchObject({
      id: "0123456789ab-2",
      hostname: "web",
      portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "TCP" }],
    });
    expect(config({ containers, hostNetwork: true })).toMatchObject({ hostname: "node-1", portMappings: [] });
  });

  it.each<[string, object, object]>([
    ["ClusterFirst acts as Default", {}, { policy: "host" }],
    [
      "None needs no host",
      { dnsPolicy: "None", dnsConfig: { nameservers: ["1.1.1.1"] } },
      { policy: "custom", nameservers: ["1.1.1.1"], searches: [], options: [] },
    ],
    [
      "dnsConfig is added to the host's",
      {
        dnsConfig: {
          nameservers: ["1.1.1.1"],
          searches: ["corp"],
          options: [{ name: "ndots", value: "5" }, { name: "edns0" }],
        },
      },
      {
        policy: "custom",
        nameservers: ["9.9.9.9", "1.1.1.1"],
        searches: ["lan", "corp"],
        options: ["rotate", "ndots:5", "edns0"],
      },
    ],
  ])("dns: %s", (_, spec, expected) => {
    expect(dnsOf(desiredPod(spec).pod, resolv)).toEqual(expected);
  });

  it("reads resolv.conf", () => {
    expect(parseResolvConf("# x\nnameserver 1.1.1.1 # one\nsearch a\nsearch b c\noptions ndots:2 rotate\n")).toEqual({
      nameservers: ["1.1.1.1"],
      searches: ["b", "c"],
      options: ["ndots:2", "rotate"],
    });
  });

  it.each<[string, object, object]>([
    [
      "ClusterFirst asks the cluster's server, its domains first",
      {},
      {
        nameservers: ["10.77.0.1"],
        searches: ["default.svc.example", "svc.example", "example", "lan"],
        options: ["ndots:5"],
      },
    ],
    ["with the host's network only where it says so", { hostNetwork: true }, { policy: "host" }],
    [
      "with the host's network only where it says so",
      { hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" },
      { nameservers: ["10.77.0.1"] },
    ],
    ["Default is the host's", { dnsPolicy: "Default" }, { policy: "host" }],
    [
      "dnsConfig wins over the cluster's options",
      { dnsConfig: { options: [{ name: "ndots", value: "2" }], searches: ["corp"] } },
      { options: ["ndots:2"], searches: ["default.svc.example", "svc.example", "example", "lan", "corp"] },
    ],
  ])("cluster dns: %s", (_, spec, expected) => {
    const cluster = { domain: "example", server: "10.77.0.1" };
    expect(dnsOf(desiredPod(spec).pod, resolv, cluster)).toMatchObject(expected);
  });

  it("host names: with a domain only where a subdomain gives one; no longer than a kernel takes", () => {
    const { pod } = desiredPod({ hostname: "db-0", subdomain: "db", setHostnameAsFQDN: true });
    expect(hostnameOf(pod, "n")).toBe("db-0.db.default.svc.cluster.local");
    expect(hostNamesOf(pod)).toEqual(["db-0.db.default.svc.cluster.local", "db-0"]);
    expect(hostnameOf(desiredPod({ setHostnameAsFQDN: true }).pod, "n")).toBe("web");
    expect(hostNamesOf(desiredPod({ hostnameOverride: "a.b", subdomain: "db" }).pod)).toEqual(["a.b"]);
    const long = desiredPod({ hostname: "h".repeat(50), subdomain: "db", setHostnameAsFQDN: true }).pod;
    expect(() => hostnameOf(long, "n")).toThrow("has 79 characters; the most is 64");
  });

  it("cuts long host names", () => {
    expect(hostnameOf(desiredPod({}, { name: `${"a".repeat(62)}.b` }).pod, "n")).toBe("a".repeat(62));
  });
});

describe("resources", () => {
  it.each([
    [0, 2],
    [1, 2],
    [250, 256],
    [1000, 1024],
    [1_000_000, 262_144],
  ])("%i m of cpu weigh %i", (milli, shares) => expect(cpuShares(milli)).toBe(shares));

  it.each([
    [1, 1000],
    [10, 1000],
    [500, 50_000],
    [2000, 200_000],
  ])("a limit of %i m is %i µs", (milli, quota) => expect(cpuQuota(milli)).toBe(quota));

  it.each([
    ["Guaranteed", 0, -997],
    ["BestEffort", 0, 1000],
    ["Burstable", 0, 999],
    ["Burstable", 2 * GiB, 500],
    ["Burstable", 4 * GiB, 3],
  ] as const)("oom_score_adj of %s with %i bytes is %i", (qos, request, score) =>
    expect(oomScoreAdj(qos, request, 4 * GiB)).toBe(score),
  );

  const full = { limits: { cpu: "1", memory: "1Gi" } };
  it.each<[string, object[], string]>([
    ["limits alone are requests too", [{ resources: full }], "Guaranteed"],
    ["one of two", [{ resources: full }, {}], "Burstable"],
    ["a request", [{ resources: { requests: { cpu: "1m" } } }], "Burstable"],
    ["none", [{}, {}], "BestEffort"],
    ["other resources don't count", [{ resources: { limits: { "ephemeral-storage": "1Gi" } } }], "BestEffort"],
  ])("QoS: %s", (_, containers, qos) => {
    expect(
      qosClassOf(desiredPod({ containers: containers.map((one, i) => ({ name: `c${i}`, image: "app", ...one })) }).pod),
    ).toBe(qos);
  });

  it("of the pod are the sum of those that run together", () => {
    const containers = [
      { name: "a", image: "i", resources: full },
      { name: "b", image: "i", resources: full },
    ];
    const initContainers = [{ name: "i", image: "i", resources: { limits: { cpu: "4", memory: "1Gi" } } }];
    expect(podResources(desiredPod({ containers, initContainers }).pod)).toEqual({
      cpuShares: 4096,
      cpuQuotaUs: 400_000,
      cpuPeriodUs: 100_000,
      memoryLimitBytes: 2 * GiB,
    });
    expect(podResources(desiredPod({ containers: [...containers, { name: "c", image: "i" }] }).pod)).toEqual({
      cpuShares: 2048,
    });
  });

  const each = { requests: { cpu: "100m", memory: "256Mi" } };
  const whole = { limits: { cpu: "2", memory: "2Gi" }, requests: { memory: "1Gi" } };
  it("of a whole pod are as it says, and hold for containers without limits", () => {
    const containers = [
      { name: "a", image: "i", resources: each },
      { name: "b", image: "i" },
    ];
    const { pod } = desiredPod({ containers, resources: whole });
    // The CPU is not requested as a whole, but by a container.
    expect(podResources(pod)).toEqual({
      cpuShares: cpuShares(100),
      cpuQuotaUs: 200_000,
      cpuPeriodUs: 100_000,
      memoryLimitBytes: 2 * GiB,
    });
    const [a, b] = pod.spec.containers.map((one) => containerResources(pod, one, 4 * GiB));
    expect(a).toMatchObject({ cpuShares: cpuShares(100), cpuQuotaUs: 200_000, memoryLimitBytes: 2 * GiB });
    // What is left of the pod's request, 768Mi, is shared by two.
    expect([a?.oomScoreAdj, b?.oomScoreAdj]).toEqual([1000 - 156, 1000 - 93]);
    expect(podDemand(pod)).toEqual({
      memory: { bytes: 2 * GiB, open: false, limitBytes: 2 * GiB },
      cpu: { milli: 2000, open: false },
    });
    expect(podRequestBytes(pod, "memory")).toBe(GiB);
  });

  it.each<[string, object, object[], string]>([
    ["limits alone", { limits: { cpu: "1", memory: "1Gi" } }, [{}], "Guaranteed"],
    ["requests below limits", whole, [{}], "Burstable"],
    ["the containers' do not count beside them", { requests: { cpu: "1" } }, [{ resources: full }], "Burstable"],
    ["nothing", {}, [{ resources: full }], "Guaranteed"],
  ])("QoS of a whole pod: %s", (_, resources, containers, qos) => {
    const named = containers.map((one, i) => ({ name: `c${i}`, image: "app", ...one }));
    expect(qosClassOf(desiredPod({ resources, containers: named }).pod)).toBe(qos);
  });

  it("of the pod have its overhead on top, limits where there are any", () => {
    const overhead = { cpu: "250m", memory: "64Mi" };
    const limited = [{ name: "a", image: "i", resources: full }];
    expect(podResources(desiredPod({ containers: limited, overhead }).pod)).toEqual({
      cpuShares: cpuShares(1250),
      cpuQuotaUs: 125_000,
      cpuPeriodUs: 100_000,
      memoryLimitBytes: GiB + 64 * 2 ** 20,
    });
    expect(podResources(desiredPod({ overhead }).pod)).toEqual({ cpuShares: cpuShares(250) });
  });
});
