import { describe, expect, it } from "vitest";
import {
  formatProblem,
  type ManifestObject,
  type Pod,
  parseManifest,
  parseManifestText,
} from "../../src/manifest/index.ts";

/** A pod of which the marked place is replaced. Line 8 is `    image: busybox:1`. */
const POD = `apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: app
    image: busybox:1
`;

function problemsOf(text: string): string[] {
  return parseManifestText("f.yaml", text).problems.map(formatProblem);
}

function podOf(text: string): Pod {
  const { objects, problems } = parseManifestText("f.yaml", text);
  const object: ManifestObject | undefined = objects[0]?.object;
  if (object?.kind !== "Pod") throw new Error(problems.map(formatProblem).join("\n"));
  return object;
}

describe("defaults", () => {
  it("are those of the API server", () => {
    const pod = podOf(
      `${POD}    ports: [{containerPort: 80}]\n    resources: {limits: {cpu: 1, memory: 64Mi}, requests: {cpu: 500m}}\n  volumes: [{name: v}, {name: h, hostPath: {path: /x}}, {name: s, secret: {secretName: s}}]\n`,
    );
    expect(pod.metadata.namespace).toBe("default");
    expect(pod.spec).toEqual({
      containers: [
        {
          name: "app",
          image: "busybox:1",
          imagePullPolicy: "IfNotPresent",
          ports: [{ containerPort: 80, protocol: "TCP" }],
          resources: { limits: { cpu: "1", memory: "64Mi" }, requests: { cpu: "500m", memory: "64Mi" } },
          terminationMessagePath: "/dev/termination-log",
          terminationMessagePolicy: "File",
        },
      ],
      dnsPolicy: "ClusterFirst",
      enableServiceLinks: true,
      restartPolicy: "Always",
      securityContext: {},
      terminationGracePeriodSeconds: 30,
      volumes: [
        { name: "v", emptyDir: {} },
        { name: "h", hostPath: { path: "/x", type: "" } },
        { name: "s", secret: { secretName: "s", defaultMode: 0o644 } },
      ],
    });
  });

  it.each([
    ["busybox", "Always"],
    ["busybox:latest", "Always"],
    ["localhost:5000/busybox", "Always"],
    ["localhost:5000/busybox:1", "IfNotPresent"],
    [`busybox@sha256:${"0".repeat(64)}`, "IfNotPresent"],
  ])("pull policy of %s is %s", (image, policy) => {
    expect(podOf(POD.replace("busybox:1", image)).spec.containers[0]?.imagePullPolicy).toBe(policy);
  });

  it("fold stringData into data, and drop what a server writes with a warning", () => {
    const { objects, problems } = parseManifestText(
      "f.yaml",
      "apiVersion: v1\nkind: Secret\nmetadata: {name: s, uid: x, creationTimestamp: null}\ndata: {a: eA==, b: eA==}\nstringData: {b: new}\nstatus: {}\n",
    );
    expect(objects[0]?.object).toMatchObject({
      type: "Opaque",
      data: { a: "eA==", b: "bmV3" },
      metadata: { name: "s" },
    });
    expect(problems.map(formatProblem)).toEqual([
      "f.yaml:3:21: warning: metadata.uid: is ignored: Gantry sets it itself (remove it)",
    ]);
    expect(objects[0]?.warnings).toEqual(problems);
  });
});

describe("places", () => {
  it.each<[string, string, string]>([
    [
      "a misspelt field",
      POD.replace("image", "imgae"),
      "8:5: error: spec.containers[0].imgae: unknown field 'imgae' (did you mean 'image'?)",
    ],
    ["a missing field", POD.replace("    image: busybox:1\n", ""), "7:5: error: spec.containers[0].image: is required"],
    [
      "a number for a string",
      `${POD}    args: [1]\n`,
      '9:12: error: spec.containers[0].args[0]: must be a string, not the number 1 (put it in quotes: "1")',
    ],
    [
      "a word for a flag",
      `${POD}  hostNetwork: yes\n`,
      '9:16: error: spec.hostNetwork: must be true or false, not the string "yes" (write true, without quotes)',
    ],
    [
      "an unknown value",
      `${POD}  restartPolicy: always\n`,
      '9:18: error: spec.restartPolicy: "always" is not one of "Always", "OnFailure", "Never" (did you mean \'Always\'?)',
    ],
    [
      "an object for a list",
      POD.replace("  - name", "    name"),
      "7:5: error: spec.containers: must be a list, not an object (start each entry with '- ')",
    ],
    [
      "a capability that is none",
      `${POD}    securityContext: {capabilities: {drop: [ALL], add: [NET_ADMN]}}\n`,
      "9:57: error: spec.containers[0].securityContext.capabilities.add[0]: \"NET_ADMN\" is not a capability (did you mean 'NET_ADMIN'?)",
    ],
    [
      "an empty list",
      "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers: []\n",
      "5:15: error: spec.containers: must have at least one entry",
    ],
    [
      "a bad quantity",
      `${POD}    resources: {limits: {memory: 64 MB}}\n`,
      "9:34: error: spec.containers[0].resources.limits.memory: \"64 MB\" must be a quantity, e.g. 500m, 0.5, 128Mi or 2Gi (did you mean '64Mi'?)",
    ],
    [
      "a request above its limit",
      `${POD}    resources: {limits: {cpu: 1}, requests: {cpu: 2}}\n`,
      "9:51: error: spec.containers[0].resources.requests.cpu: the request 2 is larger than the limit 1 (lower the request or raise the limit)",
    ],
    [
      "a whole pod that requests less than its containers",
      `${POD}    resources: {requests: {cpu: "2", memory: 1Gi}}\n  resources: {requests: {cpu: "1"}, limits: {memory: 2Gi}}\n`,
      "10:31: error: spec.resources.requests.cpu: 1 is less than what the containers request together, 2 (raise it, or lower the containers' requests)",
    ],
    [
      "a whole pod whose limit its containers exceed",
      `${POD}    resources: {requests: {memory: 2Gi}}\n  resources: {limits: {memory: 1Gi}}\n`,
      "10:32: error: spec.resources.limits.memory: 1Gi is less than what the containers request together, 2Gi (raise it, or lower the containers' requests)",
    ],
    [
      "a container that may have more than its pod",
      `${POD}    resources: {requests: {memory: 1Gi}, limits: {memory: 3Gi}}\n  resources: {limits: {memory: 2Gi}}\n`,
      "9:59: error: spec.containers[0].resources.limits.memory: 3Gi is more than the limit of the whole pod, 2Gi (lower it, or raise spec.resources.limits)",
    ],
    [
      "a resource that a whole pod can't have",
      `${POD}  resources: {limits: {hugepages-2Mi: 2Mi}}\n`,
      "9:24: error: spec.resources.limits.hugepages-2Mi: the resource hugepages-2Mi is not supported here; cpu and memory are (remove it)",
    ],
    [
      "a port out of range",
      `${POD}    ports: [{containerPort: 70000}]\n`,
      "9:29: error: spec.containers[0].ports[0].containerPort: 70000 is too large: the most is 65535",
    ],
    [
      "an unknown volume",
      `${POD}    volumeMounts: [{name: dta, mountPath: /x}]\n  volumes: [{name: data}]\n`,
      "9:27: error: spec.containers[0].volumeMounts[0].name: there is no volume \"dta\" in spec.volumes (did you mean 'data'?)",
    ],
    [
      "two volume sources",
      `${POD}  volumes: [{name: v, emptyDir: {}, hostPath: {path: /x}}]\n`,
      "9:47: error: spec.volumes[0].hostPath: the volume has the source emptyDir, too (a volume has exactly one source)",
    ],
    [
      "an empty volume source",
      `${POD}  volumes:\n  - name: v\n    configMap:\n`,
      "10:5: error: spec.volumes[0].configMap: the volume source configMap is empty (say what to mount)",
    ],
    [
      "two containers of a name",
      `${POD}  - {name: app, image: b}\n`,
      '9:12: error: spec.containers[1].name: the container name "app" is taken by spec.containers[0] (each must be unique)',
    ],
    [
      "hostPort with hostNetwork",
      `${POD}    ports: [{containerPort: 80, hostPort: 81}]\n  hostNetwork: true\n`,
      "9:43: error: spec.containers[0].ports[0].hostPort: must be the containerPort 80 with hostNetwork, not 81 (remove hostPort)",
    ],
    [
      "a name that is no DNS name",
      POD.replace("web", "Web_1"),
      "4:9: error: metadata.name: \"Web_1\" must consist of lower case letters, digits, '-' and '.', and start and end with a letter or digit (a DNS name)",
    ],
    [
      "a probe that asks a port that is not there",
      `${POD}    ports: [{name: http, containerPort: 80}]\n    livenessProbe: {httpGet: {port: htp}}\n`,
      "10:37: error: spec.containers[0].livenessProbe.httpGet.port: container app has no port named \"htp\" (did you mean 'http'?)",
    ],
    [
      "a probe without a command",
      `${POD}    startupProbe: {exec: {}}\n`,
      "9:26: error: spec.containers[0].startupProbe.exec: must have a command",
    ],
    [
      "a header that is none",
      `${POD}    readinessProbe: {httpGet: {port: 80, httpHeaders: [{name: "a b", value: c}]}}\n`,
      "9:63: error: spec.containers[0].readinessProbe.httpGet.httpHeaders[0].name: \"a b\" must consist of letters, digits and '-', as the name of an HTTP header",
    ],
    [
      "a hook that Kubernetes can't run either",
      `${POD}    lifecycle: {preStop: {tcpSocket: {port: 80}}}\n`,
      "9:27: error: spec.containers[0].lifecycle.preStop.tcpSocket: a hook can't be a tcpSocket: in Kubernetes it would fail when it is run (remove it)",
    ],
    [
      "a hook that outlasts the grace",
      `${POD}    lifecycle: {preStop: {sleep: {seconds: 31}}}\n`,
      "9:44: error: spec.containers[0].lifecycle.preStop.sleep.seconds: 31 is longer than the grace of the pod, 30 s (lower it, or raise terminationGracePeriodSeconds)",
    ],
    [
      "a signal that there is not",
      `${POD}    lifecycle: {stopSignal: SIGTREM}\n`,
      '9:29: error: spec.containers[0].lifecycle.stopSignal: "SIGTREM" must be the name of a signal, e.g. SIGTERM or SIGQUIT',
    ],
    [
      "a storage system",
      `${POD}  volumes: [{name: v, nfs: {server: a, path: /}}]\n`,
      "9:23: error: spec.volumes[0].nfs: Gantry does not mount volumes of storage systems; mount it on the host and use hostPath (remove it)",
    ],
    [
      "another node's business",
      `${POD}  nodeSelector: {a: b}\n`,
      "9:3: warning: spec.nodeSelector: has no effect: there is only this node",
    ],
    [
      "a claim of a raw disk",
      "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a}\nspec:\n  accessModes: [ReadWriteOnce]\n  volumeMode: Block\n  resources: {requests: {storage: 1Gi}}\n",
      "6:3: error: spec.volumeMode: raw block devices (volumeMode Block) are not supported; Filesystem is (remove it)",
    ],
    [
      "a claim of an unknown mode",
      "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a}\nspec:\n  accessModes: [ReadWriteOne]\n  resources: {requests: {storage: 1Gi}}\n",
      "5:17: error: spec.accessModes[0]: \"ReadWriteOne\" is no access mode (did you mean 'ReadWriteOnce'?)",
    ],
    [
      "a claim of a storage class from elsewhere",
      "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a}\nspec:\n  accessModes: [ReadWriteOnce]\n  storageClassName: gp2\n  resources: {requests: {storage: 1Gi}}\n",
      "6:3: warning: spec.storageClassName: has no effect: all volumes are files of this host; gantry-retain or gantry-delete says what becomes of the data",
    ],
    [
      "an unknown kind",
      "apiVersion: v1\nkind: Pods\n",
      "2:7: error: kind: unknown kind \"Pods\" (did you mean 'Pod'?)",
    ],
    [
      "another version",
      POD.replace("v1", "v2"),
      "1:13: error: apiVersion: Pod has no version \"v2\" here (write 'apiVersion: v1')",
    ],
    [
      "a duplicate key",
      POD.replace("  name: web", "  name: web\n  name: web2"),
      "5:3: error: metadata.name: the key 'name' is there twice (remove one of them)",
    ],
    [
      "a tab",
      POD.replace("  name", "\tname"),
      "4:1: error: not valid YAML: Tabs are not allowed as indentation (indent with spaces; YAML does not allow tabs there)",
    ],
    [
      "a cut",
      `${POD}    command: [sleep, "1`,
      "9:22: error: not valid YAML: the quote that begins here is not closed (close it at the end of the text)",
    ],
    [
      "an alias without an anchor",
      POD.replace("busybox:1", "*x"),
      "8:12: error: spec.containers[0].image: the alias *x has no anchor before it (define it with &x)",
    ],
    [
      "a scalar",
      "hello\n",
      "1:1: error: a manifest is an object with apiVersion and kind, not \"hello\" (start with 'apiVersion: v1')",
    ],
    [
      "an item of a List",
      `apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, dta: {}}\n`,
      "4:58: error: items[0].dta: unknown field 'dta' (did you mean 'data'?)",
    ],
    [
      "a secret value",
      "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {k: hunter2!}\n",
      "4:11: error: data.k: the value must be a string in base64 (encode it with base64, or write it as it is under stringData)",
    ],
    [
      "the second document",
      `${POD}---\n${POD.replace("image", "Image")}`,
      "17:5: error: spec.containers[0].Image: unknown field 'Image' (did you mean 'image'?)",
    ],
    [
      "JSON",
      '{\n\t"apiVersion": "v1",\n\t"kind": "ConfigMap",\n\t"metadata": {"name": "a", "name": "b"}\n}\n',
      "4:28: error: metadata.name: the key 'name' is there twice (remove one of them)",
    ],
  ])("of %s", (_what, text, expected) => {
    expect(problemsOf(text)).toEqual([`f.yaml:${expected}`]);
  });
});

describe("YAML", () => {
  it.each<[string, Buffer, string]>([
    ["a NUL byte", Buffer.from("a: 1\nb: \0\n"), "2:4: error: the file is binary: it has a NUL byte here"],
    [
      "invalid UTF-8",
      Buffer.concat([Buffer.from("a: 1\nb: ä"), Buffer.from([0xff, 0x41])]),
      "2:5: error: the file is not valid UTF-8",
    ],
    ["UTF-16", Buffer.from("\ufeffa: 1", "utf16le"), "1:1: error: the file is UTF-16, not UTF-8"],
    [
      "too much",
      Buffer.alloc(1024 * 1024 + 1, "#"),
      "1:1: error: the file has 1048577 bytes; a manifest may have at most 1048576",
    ],
  ])("refuses %s", (_what, bytes, expected) => {
    expect(parseManifest("f", bytes).problems.map(formatProblem)).toEqual([expect.stringContaining(`f:${expected}`)]);
  });

  it("takes byte order marks, CRLF, comments and empty documents", () => {
    const text = `\ufeff# hello\r\n---\r\n---\r\n${POD.replaceAll("\n", "\r\n")}---\r\n# nothing\r\n`;
    const { objects, problems } = parseManifest("f", Buffer.from(text));
    expect(problems).toEqual([]);
    expect(objects).toHaveLength(1);
    expect(objects[0]?.place.line).toBe(4);
    expect(parseManifest("f", Buffer.alloc(0))).toEqual({ objects: [], problems: [] });
  });

  it("reads modes as kubectl does, and 'no' as the word", () => {
    const pod = podOf(
      `${POD}    args: [no, "1"]\n  volumes: [{name: v, configMap: {name: c, defaultMode: 0400}}, {name: w, configMap: {name: c, defaultMode: 0o444}}, {name: x, configMap: {name: c, defaultMode: 256}}]\n`,
    );
    expect(pod.spec.containers[0]?.args).toEqual(["no", "1"]);
    expect(pod.spec.volumes?.map((volume) => volume.configMap?.defaultMode)).toEqual([0o400, 0o444, 256]);
  });

  it("follows aliases and merge keys", () => {
    const pod = podOf(
      `${POD}    env: &env [{name: A, value: x}]\n  - name: b\n    <<: {image: "c:1", env: *env}\n    image: "d:1"\n`,
    );
    expect(pod.spec.containers[1]).toMatchObject({ name: "b", image: "d:1", env: [{ name: "A", value: "x" }] });
  });

  it.each<[string, string, string]>([
    [
      "an alias bomb",
      `a: &a [x, x, x, x, x, x, x, x, x, x]\n${[..."bcdefgh"].map((name, index) => `${name}: &${name} [${Array(10).fill(`*${"abcdefgh"[index]}`).join(", ")}]`).join("\n")}\n`,
      "aliases expand to more than",
    ],
    ["an alias of itself", "a: &a [*a]\n", "contains itself"],
    ["deep nesting", `${"[".repeat(150)}${"]".repeat(150)}`, "nested more than 100 levels deep"],
    ["very deep nesting", "[".repeat(20_000), "not valid YAML"],
  ])("survives %s", (_what, text, message) => {
    expect(problemsOf(text)).toEqual([expect.stringContaining(message)]);
  });

  it("accepts its own output again", () => {
    const { objects } = parseManifestText(
      "f",
      `${POD}    resources: {limits: {cpu: 1}}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n---\napiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: r}\nhandler: crun\n`,
    );
    const again = parseManifestText(
      "f",
      JSON.stringify({ apiVersion: "v1", kind: "List", items: objects.map((loaded) => loaded.object) }),
    );
    expect(again.problems).toEqual([]);
    expect(again.objects.map((loaded) => loaded.object)).toEqual(objects.map((loaded) => loaded.object));
    expect(objects).toHaveLength(3);
  });
});

it("fields that only a look beyond the file can find fault with have places", () => {
  const text = [
    "apiVersion: v1",
    "kind: List",
    "items:",
    "  - apiVersion: v1",
    "    kind: Pod",
    "    metadata:",
    "      name: web",
    "    spec:",
    "      runtimeClassName: special",
    "      containers:",
    "        - name: a",
    "          image: b",
    "          env: [{ name: A, valueFrom: { secretKeyRef: { name: s, key: k } } }]",
    "          envFrom: [{ configMapRef: { name: c } }]",
    "          ports: [{ containerPort: 80 }, { containerPort: 81, hostPort: 8081 }]",
    "      volumes: [{ name: v, hostPath: { path: /x } }, { name: w, configMap: { name: c } }]",
  ].join("\n");
  const [pod] = parseManifestText("web.yaml", text).objects;
  const places = [...(pod?.places ?? [])].map(([field, { line, column }]) => `${field} ${line}:${column}`);
  expect(places).toEqual([
    "metadata.name 7:13",
    "spec.runtimeClassName 9:25",
    "spec.containers[0].image 12:18",
    "spec.containers[0].env[0].valueFrom.secretKeyRef 13:55",
    "spec.containers[0].envFrom[0].configMapRef 14:37",
    "spec.containers[0].ports[1].hostPort 15:73",
    "spec.volumes[0].hostPath.path 16:46",
    "spec.volumes[1].configMap.name 16:84",
  ]);
});
