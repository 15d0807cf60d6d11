import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { kubectls } from "../support/kubectl.ts";
import { KubectlUser } from "./harness/kubectl.ts";
import { podOf } from "./harness/sketch.ts";
import { eventually, type TestHost, testHost } from "./harness.ts";

/** Unmodified kubectls read and write the objects of a live daemon. What they do with pods that run: kubectl-pods.test.ts */
const found = await kubectls();
if (found.length === 0) test.skip("there is no kubectl on this machine to be tested with", () => {});

const IMAGE = "localhost/gantry/sample:1";
const WEB = `# my web server
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1 # enough
  selector:
    matchLabels: { app: web }
  template:
    metadata:
      labels: { app: web }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: app
          image: ${IMAGE}
          imagePullPolicy: IfNotPresent
          command: [sh, -c, "sleep 100000"]
`;

const template = { spec: { restartPolicy: "Never", containers: [{ name: "app", image: IMAGE, command: ["true"] }] } };
const labels = { app: "kind" };
const forever = {
  metadata: { labels },
  spec: { terminationGracePeriodSeconds: 0, containers: [{ name: "app", image: IMAGE, command: ["sleep", "9999"] }] },
};
const selector = { matchLabels: labels };
/** One of each kind, to be shown by `get`. */
const OF_EACH_KIND = [
  ["apps/v1", "DaemonSet", { spec: { selector, template: forever } }],
  ["apps/v1", "StatefulSet", { spec: { selector, serviceName: "one", replicas: 0, template: forever } }],
  ["batch/v1", "Job", { spec: { template } }],
  ["batch/v1", "CronJob", { spec: { schedule: "0 3 * * *", jobTemplate: { spec: { template } } } }],
  ["v1", "Service", { spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] } }],
  ["v1", "ConfigMap", { data: { a: "1", b: "2" } }],
  ["v1", "Secret", { stringData: { password: "secret" } }],
  [
    "v1",
    "PersistentVolumeClaim",
    { spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Mi" } } } },
  ],
] as const;

const meta = { name: "web", namespace: "shop" };
const RBAC = "rbac.authorization.k8s.io";
/** Most of it is without effect on one host. */
const APPLICATION = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop", labels: { team: "a" } } },
  { apiVersion: "v1", kind: "ServiceAccount", metadata: meta },
  {
    ...{ apiVersion: `${RBAC}/v1`, kind: "Role", metadata: { ...meta, name: "reader" } },
    rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }],
  },
  {
    ...{ apiVersion: `${RBAC}/v1`, kind: "RoleBinding", metadata: { ...meta, name: "web:reader" } },
    roleRef: { apiGroup: RBAC, kind: "Role", name: "reader" },
    subjects: [{ kind: "ServiceAccount", ...meta }],
  },
  { apiVersion: "policy/v1", kind: "PodDisruptionBudget", metadata: meta, spec: { minAvailable: 1, selector } },
  {
    ...{ apiVersion: "autoscaling/v1", kind: "HorizontalPodAutoscaler", metadata: meta },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
      ...{ minReplicas: 1, maxReplicas: 3, targetCPUUtilizationPercentage: 80 },
    },
  },
  { apiVersion: "v1", kind: "ConfigMap", metadata: meta, data: { a: "1" } },
  { apiVersion: "apps/v1", kind: "Deployment", metadata: meta, spec: { replicas: 0, selector, template: forever } },
  { apiVersion: "v1", kind: "Service", metadata: meta, spec: { selector: labels, ports: [{ port: 80 }] } },
]
  .map((object) => JSON.stringify(object))
  .join("\n");

let host: TestHost;
beforeAll(async () => {
  host = testHost();
  await host.startDaemon();
});
afterAll(() => host.dispose());

describe.each(found)("$title", (kubectl) => {
  let user: KubectlUser;
  const ok = (line: string, env: Record<string, string> = {}): Promise<string> => user.ok(line, { env });
  const inHome = (name: string, text: string): string => {
    const path = join(user.home, name);
    writeFileSync(path, text);
    return path;
  };
  /** An older one has no `wait --for=create`. */
  const seen = (name: string): Promise<boolean> =>
    eventually(async () => (await user.run(`get ${name}`)).code === 0, { what: name });
  beforeEach(async () => {
    user = await KubectlUser.on(host, kubectl);
  });
  afterEach(async () => {
    await user[Symbol.asyncDispose]();
    await host.removePods(); // and all files: of a test that has failed, too
  });

  test("a Deployment: rolled out, scaled, changed; the comments of its file are kept", async () => {
    const file = join(host.manifests, "web.yaml");
    const text = (): string => readFileSync(file, "utf8");
    host.write("web.yaml", WEB);
    await seen("deployment/web");
    expect(await ok("rollout status deployment/web --timeout=60s")).toContain("successfully rolled out");
    expect(await ok("get deploy")).toMatch(/^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +1\/1 +1 +1 +/);
    expect(await ok("describe deployment web")).toMatch(/Events:[\s\S]*ScalingReplicaSet/);

    expect(await ok("scale deployment/web --replicas=2")).toContain("scaled");
    expect(await ok("label deployment web tier=front")).toContain("labeled");
    expect(await ok("annotate deployment web note=hello")).toContain("annotated");
    expect(await ok("set env deployment/web GREETING=hi")).toContain("updated");
    expect(text()).toContain("# my web server");
    expect(text()).toMatch(/replicas: 2 # enough/);
    expect(text()).toMatch(/tier: front/);
    expect(text()).toMatch(/name: GREETING\n +value: hi/);
    expect(text()).not.toMatch(/uid|status|resourceVersion|dnsPolicy/);
    await ok("rollout status deployment/web --timeout=60s");
    expect(await ok("rollout history deployment/web")).toMatch(/REVISION[\s\S]*1[\s\S]*2/);
    await ok("rollout undo deployment/web");
    expect(text()).not.toContain("GREETING");
    await ok("rollout pause deployment/web");
    await ok("rollout resume deployment/web");
    await ok("rollout restart deployment/web");
    expect(text()).toContain("kubectl.kubernetes.io/restartedAt");
    expect(await ok("set image deployment/web app=localhost/gantry/none:1")).toContain("updated");
    expect(text()).toContain("image: localhost/gantry/none:1");
    const patch = '{"spec":{"template":{"spec":{"containers":[{"name":"app","workingDir":"/tmp"}]}}}}';
    await ok(`patch deployment web -p ${patch}`);
    await ok(`patch deployment web --type=json -p [{"op":"replace","path":"/spec/replicas","value":1}]`);
    await ok(`patch deployment web --type=merge -p {"metadata":{"labels":{"tier":null}}}`);
    expect(text()).toMatch(/replicas: 1 # enough/);
    expect(await ok("expose deployment web --port=80 --name=front")).toContain("exposed");
    const gone = await ok("delete deployment/web service/front --wait=true");
    expect(gone).toContain('deployment.apps "web" deleted');
    expect(readdirSync(host.manifests)).toEqual([]);
  });

  test("create, edit, replace: what a client makes gets a file of its own", async () => {
    const two = `apiVersion: v1
kind: ConfigMap
metadata: { name: settings }
data: { a: "1" }
---
apiVersion: v1
kind: Secret
metadata: { name: key }
stringData: { password: secret }
`;
    const fresh = inHome("fresh.yaml", two);
    await ok(`create -f ${fresh}`);
    expect(readdirSync(host.manifests).sort()).toEqual(["configmap-default-settings.yaml", "secret-default-key.yaml"]);
    const again = await user.run(`create -f ${fresh}`);
    expect([again.code, again.err]).toEqual([1, expect.stringContaining('configmaps "settings" already exists')]);
    const editor = inHome("editor.sh", "sed -i 's/^  a: .*/  a: two/' \"$1\"\n");
    await ok("edit configmap settings", { EDITOR: `sh ${editor}` });
    expect(await ok("get configmap settings -o jsonpath={.data.a}")).toBe("two");
    expect((await user.run("edit configmap settings", { env: { EDITOR: "true" } })).err).toContain("no changes made");
    inHome("fresh.yaml", two.replace('a: "1"', 'a: "3"'));
    expect(await ok(`replace -f ${fresh}`)).toContain("configmap/settings replaced");
    expect(await ok("get configmap settings -o go-template={{.data.a}}")).toBe("3");
    await ok(`delete -f ${fresh}`);
  });

  test("apply, diff, dry run; a field that nobody knows is told", async () => {
    const configMap = (value: string): string =>
      `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\ndata: {a: "${value}"}\n`;
    const mine = inHome("cm.yaml", configMap("1"));
    expect(await ok(`apply -f ${mine} --dry-run=server`)).toContain("created (server dry run)");
    expect(await ok(`apply -f ${mine}`)).toContain("created");
    expect(await ok(`apply -f ${mine}`)).toContain("unchanged");
    inHome("cm.yaml", configMap("2"));
    const diff = await user.run(`diff -f ${mine}`);
    expect([diff.code, diff.out]).toEqual([1, expect.stringMatching(/^- {2}a: "1"\n\+ {2}a: "2"$/m)]);
    expect(await ok(`apply -f ${mine}`)).toContain("configured");
    expect((await user.run(`diff -f ${mine}`)).code).toBe(0);
    expect(await ok(`apply --server-side -f ${mine} --force-conflicts`)).toContain("serverside-applied");
    inHome("cm.yaml", `${configMap("2")}unknown: true\n`);
    const refused = await user.run(`apply -f ${mine}`);
    expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/unknown field ["']unknown["']/)]);
    // Where kubectl does not look, the server does, and takes what it knows: as the API server of Kubernetes.
    const loose = await user.run(`apply -f ${mine} --validate=${kubectl.minor > 24 ? "warn" : "false"}`);
    expect([loose.code, loose.err]).toEqual([0, expect.stringContaining('unknown field "unknown"')]);
    expect(readFileSync(join(host.manifests, "configmap-default-applied.yaml"), "utf8")).not.toContain("unknown");
    inHome("cm.yaml", podOf("wrong", [{ name: "app", ports: [{ containerPort: 800_000 }] }]));
    const invalid = await user.run(`apply -f ${mine}`);
    expect([invalid.code, invalid.err]).toEqual([1, expect.stringContaining("800000 is too large: the most is 65535")]);
    inHome("cm.yaml", podOf("ok", [{ name: "app", livenessProbe: { httpGet: { port: 80 } } }]));
    expect(await ok(`apply -f ${mine} --dry-run=server`)).toBe("pod/ok created (server dry run)\n");
    await ok("delete configmap applied");
  });

  test("create KIND, and auth can-i", async () => {
    await ok("create configmap made --from-literal=a=1");
    await ok("create secret generic made --from-literal=password=secret");
    await ok(`create deployment made --image=${IMAGE}`);
    await ok(`create job made --image=${IMAGE} -- true`);
    expect(await ok("get cm/made secret/made deploy/made job/made -o name")).toBe(
      "configmap/made\nsecret/made\ndeployment.apps/made\njob.batch/made\n",
    );
    await ok("delete cm/made secret/made deploy/made job/made");
    expect(await ok("auth can-i create pods")).toBe("yes\n");
    expect(await ok("auth can-i --list")).toMatch(/\*\.\* .*\[\*\]/);
  });

  test("a whole application: what has no effect here is kept, shown and changed as in a cluster, and told of", async () => {
    const app = inHome("app.yaml", APPLICATION);
    const applied = await user.run(`apply -f ${app}`);
    expect([applied.code, applied.err]).toEqual([
      0,
      expect.stringContaining("ServiceAccount has no effect: pods here"),
    ]);
    expect(applied.err.match(/Warning: .*Role has no effect/g)).toHaveLength(1);
    expect(await ok(`apply -f ${app}`)).toContain("rolebinding.rbac.authorization.k8s.io/web:reader unchanged");
    expect(await ok("get ns,sa,role,rolebinding,pdb,hpa -n shop -o name")).toBe(
      [
        ...["namespace/default", "namespace/shop", "serviceaccount/web", "role.rbac.authorization.k8s.io/reader"],
        ...["rolebinding.rbac.authorization.k8s.io/web:reader", "poddisruptionbudget.policy/web"],
        ...["horizontalpodautoscaler.autoscaling/web", ""],
      ].join("\n"),
    );
    expect(await ok("get hpa -n shop")).toMatch(
      /^NAME +REFERENCE +TARGETS +MINPODS +MAXPODS +REPLICAS +AGE\nweb +Deployment\/web +cpu: <unknown>\/80% +1 +3 +0 /,
    );
    expect(await ok("describe hpa,pdb,sa,role,rolebinding -n shop")).toMatch(
      /Max replicas: +3[\s\S]*Min available: +1/,
    );
    host.write("commented.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: { name: more } # mine\n");
    await seen("sa/more");
    await ok("label sa more a=b");
    await ok("label ns shop stage=test");
    await ok(`patch pdb web -n shop --type=merge -p {"spec":{"minAvailable":2}}`);
    const editor = inHome("editor.sh", "sed -i 's/maxReplicas: 3/maxReplicas: 5/' \"$1\"\n");
    await ok("edit hpa web -n shop", { EDITOR: `sh ${editor}` });
    const text = (name: string): string => readFileSync(join(host.manifests, name), "utf8");
    expect(text("commented.yaml")).toMatch(/a: b.*# mine/);
    expect(text("namespace-shop.yaml")).toMatch(/stage: test/);
    expect(text("namespace-shop.yaml")).not.toContain("kubernetes.io/metadata.name");
    expect(text("poddisruptionbudget-shop-web.yaml")).toContain("minAvailable: 2");
    expect(text("horizontalpodautoscaler-shop-web.yaml")).toContain("maxReplicas: 5");

    const full = await user.run("delete ns shop");
    expect([full.code, full.err]).toEqual([
      1,
      expect.stringMatching(/namespace shop is not empty: it has .*role\/reader/),
    ]);
    await user.run(`delete -f ${app}`);
    await ok(`delete -f ${app} --ignore-not-found`);
    await ok("delete sa more");
    expect(readdirSync(host.manifests)).toEqual([]);
    await ok("create namespace other");
    await ok("create clusterrole system:x --verb=get --resource=pods");
    expect(await ok("get ns other -o jsonpath={.status.phase}")).toBe("Active");
    expect(await ok("explain role.rules")).toContain("resourceNames");
    await ok("delete ns/other clusterrole/system:x");
  });

  test("get: the columns of every kind are those of a cluster", async () => {
    host.write(
      "kinds.yaml",
      OF_EACH_KIND.map(([apiVersion, kind, rest]) =>
        JSON.stringify({ apiVersion, kind, metadata: { name: "one" }, ...rest }),
      ).join("\n---\n"),
    );
    await seen("pvc/one");
    const headers = {
      ds: "NAME DESIRED CURRENT READY UP-TO-DATE AVAILABLE NODE SELECTOR AGE CONTAINERS IMAGES SELECTOR",
      sts: "NAME READY AGE CONTAINERS IMAGES",
      job: "NAME STATUS COMPLETIONS DURATION AGE CONTAINERS IMAGES SELECTOR",
      cronjob: "NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST SCHEDULE AGE CONTAINERS IMAGES SELECTOR",
      svc: "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE SELECTOR",
      ep: "NAME ENDPOINTS AGE",
      endpointslices: "NAME ADDRESSTYPE PORTS ENDPOINTS AGE",
      pvc: "NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE VOLUMEMODE",
      node: "NAME STATUS ROLES AGE VERSION INTERNAL-IP EXTERNAL-IP OS-IMAGE KERNEL-VERSION CONTAINER-RUNTIME",
      events: "LAST SEEN TYPE REASON OBJECT SUBOBJECT SOURCE MESSAGE FIRST SEEN COUNT NAME",
      cm: "NAME DATA AGE",
      secret: "NAME TYPE DATA AGE",
      ns: "NAME STATUS AGE",
    };
    const shown = await Promise.all(
      Object.keys(headers).map(async (kind) => {
        const [header = ""] = (await ok(`get ${kind} -o wide`)).split("\n");
        return [kind, header.trim().replace(/ +/g, " ")] as const;
      }),
    );
    expect(Object.fromEntries(shown)).toEqual(headers);
    expect(await ok("get svc one --no-headers")).toMatch(/^one +ClusterIP +10\.\S+ +<none> +80\/TCP /);
    const all = (await ok("get all -o name")).split("\n").filter((name) => name.endsWith("/one"));
    expect(all.sort()).toEqual(
      ["cronjob.batch/one", "daemonset.apps/one", "job.batch/one", "service/one", "statefulset.apps/one"].sort(),
    );
    host.remove("kinds.yaml");
  });

  test("what there is: explain, api-resources, cluster-info, version", async () => {
    expect(await ok("explain pod.spec.containers")).toMatch(
      /image\s+<string> -required-\n +The image that the container is made from/,
    );
    expect(await ok("explain pod.spec.containers --recursive")).toMatch(
      /valueFrom[\s\S]*secretKeyRef[\s\S]*key\s+<string>/,
    );
    expect(await ok("explain deployment.spec.strategy")).toMatch(/rollingUpdate/);
    const nothing = await user.run("explain pod.spec.nothing");
    expect([nothing.code, nothing.err]).toEqual([1, expect.stringContaining('"nothing" does not exist')]);
    expect(await ok("api-resources")).toMatch(/deployments +deploy +apps\/v1 +true +Deployment/);
    expect(await ok("api-versions")).toContain("batch/v1\n");
    expect(await ok("cluster-info")).toContain("is running at");
    expect(await ok(`cluster-info dump --output-directory=${user.home}/dump`)).toContain("dumped");
    expect(await ok("version")).toMatch(/Server Version: (v1\.|version\.Info\{Major:"1")/);
    expect(await ok("get namespaces -o name")).toBe("namespace/default\n");
  });

  test("a file that is read-only refuses every change, and says so", async () => {
    host.write("fixed.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: fixed }\ndata: { a: b }\n");
    await seen("cm/fixed");
    chmodSync(join(host.manifests, "fixed.yaml"), 0o444);
    const mine = inHome("cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: fixed }\ndata: { a: c }\n");
    for (const line of ["label cm fixed a=b", `apply -f ${mine}`, "delete cm fixed"]) {
      const { code, err } = await user.run(line);
      expect([code, err], line).toEqual([1, expect.stringContaining("fixed.yaml is read-only")]);
    }
    expect(await ok("get cm fixed -o jsonpath={.data.a}")).toBe("b");
  });

  const NOT_FOUND = /NotFound|not found/;
  /** Lines that can't be, and what is said. */
  const wrong: readonly (readonly [line: string, said: RegExp])[] = [
    ["get pod none", /pods "none" not found/],
    ["get nonsense", /doesn't have a resource type "nonsense"/],
    ["describe pod none", NOT_FOUND],
    ["delete pod none", /pods "none" not found/],
    ["delete deployment none", /deployments\.apps "none" not found/],
    ["scale deployment none --replicas=1", NOT_FOUND],
    ["scale node --all --replicas=1", /could not find|not served|nothing is served/],
    ["rollout undo deployment/none", NOT_FOUND],
    ["set image deployment/none app=x", NOT_FOUND],
    ["top pod none", NOT_FOUND],
    ["logs none", NOT_FOUND],
    ["exec none -- true", NOT_FOUND],
    ["port-forward pod/none :80", NOT_FOUND],
    ["wait pod/none --for=condition=Ready --timeout=1s", NOT_FOUND],
    ["label node --all a=b", /a Node can't be written: it is this host/],
    ["taint node --all a=b:NoSchedule", /a Node can't be written: it is this host/],
    ["cordon -l kubernetes.io/os=linux", /a Node can't be written: it is this host/],
    ["drain -l kubernetes.io/os=linux", /a Node can't be written: it is this host/],
    ["delete namespace default", /this namespace may not be deleted/],
    ["certificate approve none", /doesn't have a resource type "certificatesigningrequests"/],
    ["create quota none", /ResourceQuota is not supported: set resources in each pod/],
    ["create ingress none --rule=a/b=c:80", /Ingress is not supported: publish a port of the pod/],
    ["get --raw /api/v1/nodes/none/proxy", /nothing is served at/],
    ["apply -f /dev/null", /no objects passed to apply/],
  ];

  test("what is not there, or can't make sense here, is refused in words", async () => {
    const said = await Promise.all(
      wrong.map(async ([line, expected]) => {
        const { err, out } = await user.run(line);
        return expected.test(`${out}${err}`) ? undefined : `${line}: ${out}${err}`;
      }),
    );
    expect(said.filter((one) => one !== undefined)).toEqual([]);
  });
});
