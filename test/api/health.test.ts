import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { formatFamilies, Histogram } from "../../src/metrics/exposition.ts";
import { createRecorder } from "../../src/metrics/recorder.ts";
import { type Served, serve } from "./fake-backend.ts";
import { raw } from "./raw.ts";

let served: Served;
beforeAll(async () => {
  served = await serve();
});
afterAll(async () => {
  await served.close();
});

describe("/livez, /readyz, /healthz", () => {
  test("are as kube-apiserver has them", async () => {
    served.backend.checks = [
      { name: "reconcile", scope: "live", problem: undefined },
      { name: "manifests", scope: "ready", problem: "folder /m: is gone" },
    ];
    const get = (path: string) => raw(served.socketPath, path);
    expect(await get("/livez")).toMatchObject({ status: 200, text: "ok" });
    expect((await get("/livez?verbose")).text).toBe("[+]ping ok\n[+]reconcile ok\nlivez check passed\n");
    const ready = await get("/readyz");
    expect(ready).toMatchObject({ status: 500 });
    expect(ready.text).toContain("[-]manifests failed: folder /m: is gone\nreadyz check failed");
    expect(await get("/healthz")).toMatchObject({ status: 200, text: "ok" });
    expect((await get("/readyz?exclude=manifests")).text).toBe("ok");
    expect((await get("/readyz/reconcile")).status).toBe(200);
    expect((await get("/readyz/manifests")).status).toBe(500);
    expect((await get("/livez/manifests")).asStatus()).toMatchObject({ code: 404, kind: "Status" });
  });
});

describe("metrics", () => {
  test.each([
    ["/metrics", "kubelet"],
    ["/metrics/cadvisor", "cadvisor"],
    ["/api/v1/nodes/host/proxy/metrics/resource", "resource"],
  ])("%s has the text format", async (path, what) => {
    const answer = await raw(served.socketPath, path, {
      headers: { accept: "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1" },
    });
    expect(answer.headers["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(answer.text).toContain(`# HELP x ${what}`);
  });

  test("labels are escaped, histograms add up", () => {
    const histogram = new Histogram([1, 2]);
    for (const value of [0.5, 1.5, 3]) histogram.observe(value);
    const text = formatFamilies([
      { name: "a", type: "gauge", help: "A.", samples: [{ labels: { x: 'q"\\\n' }, value: 1, at: 5 }] },
      { name: "h", type: "histogram", help: "H.", samples: histogram.samples() },
      { name: "none", type: "counter", help: "N.", samples: [] },
    ]);
    expect(text).toBe(
      '# HELP a A.\n# TYPE a gauge\na{x="q\\"\\\\\\n"} 1 5\n# HELP h H.\n# TYPE h histogram\n' +
        'h_bucket{le="1"} 1\nh_bucket{le="2"} 2\nh_bucket{le="+Inf"} 3\nh_sum 5\nh_count 3\n',
    );
  });

  test("the start of a pod is timed once, that of an adopted one not at all", () => {
    let now = 0;
    const recorder = createRecorder(() => now);
    const { backend } = served;
    const pending = backend.put("new", {}, "Pending");
    recorder.podChanged({ type: "ADDED", object: pending });
    now = 700;
    const running = backend.put("new", {}, "Running");
    recorder.podChanged({ type: "MODIFIED", object: running });
    recorder.podChanged({ type: "MODIFIED", object: running });
    recorder.podChanged({ type: "ADDED", object: backend.put("old", {}, "Running") });
    recorder.happened({ type: "Normal", reason: "Pulled" });
    const text = formatFamilies(recorder.families());
    expect(text).toContain("kubelet_pod_start_duration_seconds_sum 0.7\nkubelet_pod_start_duration_seconds_count 1\n");
    expect(text).toContain('gantry_image_pulls_total{result="success"} 1');
  });
});
