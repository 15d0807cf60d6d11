/** Lists in pieces, collections taken away at once, and the other forms of objects. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Served, serve, until } from "./fake-backend.ts";
import { raw } from "./raw.ts";
import { type Lines, watchLines } from "./watch-lines.ts";

let served: Served;
const open: Lines[] = [];
beforeEach(async () => {
  served = await serve({ watchCapacity: 20 });
  for (const name of ["c", "a", "b"]) served.backend.put(name, { app: name === "b" ? "y" : "x" });
});
afterEach(async () => {
  for (const watch of open.splice(0)) watch.stop();
  await served.close();
});

const TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json";
const METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";

const ask = (path: string, accept = "application/json", method = "GET") =>
  raw(served.socketPath, path, { method, headers: { accept } });
interface List {
  readonly kind: string;
  readonly items: readonly { readonly metadata: { readonly name: string } }[];
  readonly metadata: {
    readonly continue?: string;
    readonly remainingItemCount?: number;
    readonly resourceVersion: string;
  };
}
const list = async (query: string) => (await ask(`/api/v1/pods?${query}`)).json() as unknown as List;
const names = ({ items }: List) => items.map(({ metadata }) => metadata.name);

describe("limit and continue", () => {
  test("give each object once, in order, whatever comes in between", async () => {
    const first = await list("limit=2");
    expect([names(first), first.metadata.remainingItemCount]).toEqual([["a", "b"], 1]);
    served.backend.put("aa");
    const token = encodeURIComponent(first.metadata.continue ?? "");
    const rest = await list(`limit=2&continue=${token}`);
    expect([names(rest), rest.metadata.continue]).toEqual([["c"], undefined]);
    expect(rest.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
  });

  test("end when too much has changed since the first piece", async () => {
    const first = await list("limit=1");
    for (let count = 0; count < 40; count += 1) served.backend.put("a");
    const next = await ask(`/api/v1/pods?limit=1&continue=${encodeURIComponent(first.metadata.continue ?? "")}`);
    expect(next.asStatus()).toMatchObject({ code: 410, reason: "Expired" });
    const future = Buffer.from(JSON.stringify({ v: "99999", after: "" })).toString("base64url");
    expect((await ask(`/api/v1/pods?continue=${future}`)).status).toBe(410);
  });

  test("go with a selector", async () => {
    const first = await list("limit=1&labelSelector=app%3Dx");
    const rest = await list(`labelSelector=app%3Dx&continue=${encodeURIComponent(first.metadata.continue ?? "")}`);
    expect([names(first), names(rest)]).toEqual([["a"], ["c"]]);
  });

  test.each([
    ["limit=-1", 400],
    ["limit=x", 400],
    ["continue=nonsense", 400],
    [`continue=${Buffer.from("{}").toString("base64url")}`, 400],
    ["resourceVersion=99&resourceVersionMatch=Exact", 410],
    ["resourceVersionMatch=Perhaps", 400],
  ])("%s → %i", async (query, code) => {
    expect((await ask(`/api/v1/pods?${query}`)).asStatus()).toMatchObject({ kind: "Status", code });
  });
});

describe("a collection taken away", () => {
  const PODS = "/api/v1/namespaces/default/pods";
  test("by what is chosen, or as a trial", async () => {
    await ask(`${PODS}?dryRun=All`, undefined, "DELETE");
    expect(served.backend.calls).toEqual([]);
    const gone = await ask(`${PODS}?labelSelector=app%3Dx&gracePeriodSeconds=1`, undefined, "DELETE");
    expect(names(gone.json() as unknown as List)).toEqual(["c", "a"]);
    expect(served.backend.calls).toEqual(["delete default/c 1000", "delete default/a 1000"]);
  });

  test("only in a namespace", async () => {
    expect((await ask("/api/v1/pods", undefined, "DELETE")).status).toBe(405);
  });
});

describe("other forms", () => {
  test("of one object and of many", async () => {
    expect((await ask("/api/v1/namespaces/default/pods/a", TABLE)).json()).toMatchObject({
      ...{ kind: "Table", apiVersion: "meta.k8s.io/v1" },
      rows: [{ cells: expect.arrayContaining(["a"]), object: { kind: "PartialObjectMetadata" } }],
    });
    const whole = await ask("/api/v1/pods?includeObject=Object", TABLE);
    expect(whole.json()).toMatchObject({ rows: [{ object: { kind: "Pod" } }, {}, {}] });
    const one = (await ask("/api/v1/namespaces/default/pods/a", METADATA)).json();
    expect([one["kind"], one["spec"]]).toEqual(["PartialObjectMetadata", undefined]);
    const many = (await ask("/api/v1/pods", METADATA_LIST)).json();
    expect(many).toMatchObject({
      kind: "PartialObjectMetadataList",
      items: [{ kind: "PartialObjectMetadata" }, {}, {}],
    });
  });

  test.each([
    [TABLE, "Table"],
    [METADATA, "PartialObjectMetadata"],
  ])("of a watch: %s", async (accept, kind) => {
    const watch = watchLines(served.socketPath, "/api/v1/pods?watch=true&fieldSelector=metadata.name%3Da", accept);
    open.push(watch);
    await until(() => watch.lines.length === 1, "the first");
    served.backend.put("a");
    served.backend.remove("a");
    await until(() => watch.lines.length === 3, "the rest");
    expect(watch.lines.map(({ type, object }) => [type, object.kind])).toEqual(
      ["ADDED", "MODIFIED", "DELETED"].map((type) => [type, kind]),
    );
    if (kind === "Table") expect(watch.lines[2]?.object.rows?.[0]?.cells[0]).toBe("a");
  });

  test("of events: events.k8s.io has the same ones, and tells of them", async () => {
    const watch = watchLines(served.socketPath, "/apis/events.k8s.io/v1/events?watch=true");
    open.push(watch);
    served.backend.happen();
    await until(() => watch.lines.length > 0, "the event");
    const { items } = (
      await ask("/apis/events.k8s.io/v1/namespaces/default/events?fieldSelector=regarding.name%3Dweb")
    ).json();
    expect(items).toMatchObject([
      { apiVersion: "events.k8s.io/v1", regarding: { name: "web" }, note: expect.any(String) },
    ]);
    expect(watch.lines[0]?.object).toMatchObject({ kind: "Event", apiVersion: "events.k8s.io/v1" });
  });
});
