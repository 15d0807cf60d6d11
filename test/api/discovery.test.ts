import { afterEach, beforeEach, expect, test } from "vitest";
import { type Served, serve } from "./fake-backend.ts";
import { raw } from "./raw.ts";

let served: Served;
beforeEach(async () => {
  served = await serve();
});
afterEach(() => served.close());

const get = (path: string) => raw(served.socketPath, path).then((answer) => answer.json());

interface Found {
  readonly name: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

async function everything(): Promise<(Found & { readonly base: string })[]> {
  const { groups } = (await get("/apis")) as unknown as { groups: { versions: { groupVersion: string }[] }[] };
  const bases = ["/api/v1", ...groups.flatMap(({ versions }) => versions.map((one) => `/apis/${one.groupVersion}`))];
  const lists = await Promise.all(
    bases.map(async (base) => {
      const { resources } = (await get(base)) as unknown as { resources: Found[] };
      return resources.map((resource) => ({ ...resource, base }));
    }),
  );
  return lists.flat();
}

const METHODS: Readonly<Record<string, string>> = {
  ...{ get: "GET", list: "GET", watch: "GET", create: "POST", update: "PUT", patch: "PATCH", delete: "DELETE" },
  deletecollection: "DELETE",
};

test("what is said to be there is there, with the methods that are said", async () => {
  const all = await everything();
  expect(all.length).toBeGreaterThan(30);
  for (const { base, name, namespaced, verbs } of all) {
    const [plural = "", sub] = name.split("/");
    const collection = `${base}/${namespaced ? "namespaces/none/" : ""}${plural}`;
    for (const verb of verbs) {
      if (verb === "watch") continue;
      const isOfAll = sub === undefined && ["list", "create", "deletecollection"].includes(verb);
      const path = isOfAll ? collection : `${collection}/none${sub === undefined ? "" : `/${sub}`}`;
      const answer = await raw(served.socketPath, path, { method: METHODS[verb] ?? "GET" });
      const said = `${verb} ${path} → ${answer.status}`;
      expect([said, answer.status === 405]).toEqual([said, false]);
      expect([said, answer.text.includes("nothing is served")]).toEqual([said, false]);
    }
  }
});

test("subresources are told of where there are any", async () => {
  const names = (await everything()).map(({ name }) => name).filter((name) => name.includes("/"));
  expect(names.filter((name) => name.startsWith("pods/"))).toEqual(
    ["status", "log", "exec", "attach", "portforward", "eviction"].map((name) => `pods/${name}`),
  );
  expect(names).toEqual(expect.arrayContaining(["deployments/scale", "deployments/status", "nodes/status"]));
  for (const name of ["configmaps/status", "secrets/status", "jobs/scale"]) {
    expect(names).not.toContain(name);
    expect((await raw(served.socketPath, `/api/v1/namespaces/default/${name.replace("/", "/x/")}`)).status).toBe(404);
  }
});
