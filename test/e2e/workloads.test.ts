import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { eventually, FOREVER, isReady, type PodView, type TestHost, testHost } from "./harness.ts";

function deployment(replicas: number, command: string): string {
  return `# my web server
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: ${replicas} # as many as we need
  selector:
    matchLabels: { app: web }
  template:
    metadata:
      labels: { app: web }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: app
          image: localhost/gantry/sample:1
          imagePullPolicy: IfNotPresent
          command: [sh, -c, ${JSON.stringify(command)}]
`;
}

async function podsOf(host: TestHost, prefix: string, count: number, what: string): Promise<PodView[]> {
  let found: PodView[] = [];
  const there = async (): Promise<boolean> => {
    found = (await host.pods()).filter(({ metadata }) => metadata.name.startsWith(prefix));
    return found.length === count && found.every(isReady);
  };
  await eventually(there, { what, explain: () => host.explain() });
  return found;
}

const namesOf = (pods: readonly PodView[]): string[] => pods.map(({ metadata }) => metadata.name).sort();

test("a Deployment: pods with lasting names, a rolling change, an undo into the file, scale, and its end", async () => {
  await using host = testHost();
  await host.startDaemon();
  host.write("web.yaml", deployment(2, FOREVER));
  const first = namesOf(await podsOf(host, "web-", 2, "two pods"));
  expect(first[0]).toMatch(/^web-[a-z0-9]+-[a-z0-9]{5}$/);

  await host.stopDaemon("SIGKILL");
  await host.startDaemon();
  expect(namesOf(await podsOf(host, "web-", 2, "the same two pods"))).toEqual(first);

  host.write("web.yaml", deployment(2, `: two; ${FOREVER}`));
  expect(await host.gantry("rollout", "status", "deployment/web", "--timeout", "60s")).toMatchObject({ code: 0 });
  const second = namesOf(await podsOf(host, "web-", 2, "two new pods"));
  expect(second.some((name) => first.includes(name))).toBe(false);
  const history = await host.gantry("rollout", "history", "deployment/web");
  expect(history.stdout.trim().split("\n")).toHaveLength(3);

  expect(await host.gantry("rollout", "undo", "deployment/web")).toMatchObject({ code: 0, stderr: "" });
  expect(await host.gantry("rollout", "status", "deployment/web", "--timeout", "60s")).toMatchObject({ code: 0 });
  const text = readFileSync(join(host.manifests, "web.yaml"), "utf8");
  expect(text).toContain("# my web server");
  expect(text).not.toContain(": two;");

  expect(await host.gantry("scale", "deployment/web", "--replicas", "1")).toMatchObject({ code: 0, stderr: "" });
  expect(readFileSync(join(host.manifests, "web.yaml"), "utf8")).toContain("replicas: 1 # as many as we need");
  await podsOf(host, "web-", 1, "one pod left");
  const shown = await host.gantry("status");
  expect(shown.stdout).toMatch(/deployment\/web +1\/1 +1 +1 +Complete/);
  expect((await host.gantry("describe", "deployment/web")).stdout).toContain("NewReplicaSetAvailable");

  // A template that can't be read disturbs nothing.
  host.write("web.yaml", deployment(3, FOREVER).replace("image:", "imagee:"));
  await eventually(async () => (await host.gantry("status")).stdout.includes("imagee"), {
    what: "the error in status",
  });
  await podsOf(host, "web-", 1, "the same pod");

  host.write("web.yaml", deployment(1, FOREVER));
  expect(await host.gantry("wait", "deployment/web")).toMatchObject({ code: 0 });
  expect(await host.gantry("delete", "deployment/web")).toMatchObject({ code: 0, stderr: "" });
  await podsOf(host, "web-", 0, "nothing left");
});

test("a Job ends, and is not done again; a StatefulSet has its order; a pod that is deleted comes again", async () => {
  await using host = testHost();
  await host.startDaemon();
  host.write(
    "job.yaml",
    `apiVersion: batch/v1
kind: Job
metadata: { name: sums }
spec:
  completions: 2
  template:
    spec:
      restartPolicy: Never
      containers: [{ name: app, image: localhost/gantry/sample:1, imagePullPolicy: IfNotPresent, command: [echo, "42"] }]
`,
  );
  expect(await host.gantry("wait", "job/sums", "--for", "succeeded", "--timeout", "60s")).toMatchObject({
    code: 0,
    stdout: "job/sums has succeeded\n",
  });
  const complete = async (): Promise<boolean> =>
    /job\/sums +2\/2 .*Complete/.test((await host.gantry("status")).stdout);
  await eventually(complete, { what: "two completions", explain: () => host.explain() });
  await host.stopDaemon("SIGKILL");
  await host.startDaemon();
  await eventually(complete, { what: "the job still complete" });
  expect((await host.pods()).filter(({ metadata }) => metadata.name.startsWith("sums-"))).toHaveLength(2);

  host.write(
    "db.yaml",
    deployment(2, FOREVER).replace("kind: Deployment", "kind: StatefulSet").replace("name: web", "name: db"),
  );
  const pods = await podsOf(host, "db-", 2, "db-0 and db-1");
  expect(namesOf(pods)).toEqual(["db-0", "db-1"]);
  expect(await host.gantry("delete", "db-1", "--no-wait")).toMatchObject({ code: 0 });
  const uid = pods.find(({ metadata }) => metadata.name === "db-1")?.metadata.uid;
  const again = async (): Promise<boolean> => {
    const pod = (await host.pods()).find(({ metadata }) => metadata.name === "db-1");
    return pod !== undefined && pod.metadata.uid !== uid && isReady(pod);
  };
  await eventually(again, { what: "another db-1", explain: () => host.explain() });
});
