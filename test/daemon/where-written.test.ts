import { expect, test } from "vitest";
import { whereWritten } from "../../src/daemon/where-written.ts";
import { GantryError } from "../../src/system/errors.ts";

const id = { kind: "ConfigMap", namespace: "default", name: "settings" };
const missing = async (): Promise<never> => {
  throw new GantryError("not-found", "no manifest in the folder defines it");
};

test("what another source has is refused, with the place where it is to be changed", async () => {
  const repository = { lookAtSources: async () => {}, fileOf: () => "git:apps/prod/web.yaml" };
  await expect(whereWritten(repository, id, missing)).rejects.toMatchObject({
    code: "access-denied",
    details: { reason: "Forbidden" },
    message:
      "ConfigMap default/settings comes from the Git source apps (prod/web.yaml), which can't be written here: change it there",
  });
});

test("what is in no source any more is not found; the sources are looked at before that is said", async () => {
  let file: string | undefined = "/manifests/gone.yaml";
  const sources = {
    fileOf: () => file,
    lookAtSources: async () => {
      file = undefined;
    },
  };
  await expect(whereWritten(sources, id, missing)).rejects.toMatchObject({ code: "not-found" });
});

test("what can be written is written", async () => {
  const sources = { lookAtSources: async () => {}, fileOf: () => undefined };
  expect(await whereWritten(sources, id, async () => "/manifests/web.yaml")).toBe("/manifests/web.yaml");
});
