import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GantryError } from "../../src/system/errors.ts";
import { desiredPod, Harness, UID } from "./harness.ts";

let h: Harness;
beforeEach(() => {
  h = new Harness();
});
afterEach(() => h.close());

const app = (fields: object = {}) => ({ name: "app", image: "app:1", ...fields });

describe("when images are pulled", () => {
  it("with a tag only what is missing, without one at every start, with Never nothing", async () => {
    h.images.set("app:1", {}).set("never", {});
    await h.ensure(
      desiredPod({
        containers: [
          app(),
          app({ name: "always", image: "app" }),
          app({ name: "never", image: "never", imagePullPolicy: "Never" }),
        ],
      }),
    );
    expect(h.pulls).toEqual(["app"]);
    for (const name of ["app", "always", "never"]) await h.exit(name, 1);
    expect(h.container("always")).toMatchObject({ restartCount: 1 });
    expect(h.pulls).toEqual(["app", "app"]);
    const pulled = h.events.filter(({ reason }) => reason === "Pulled").map(({ message }) => message);
    expect(pulled).toContain('Container image "app:1" already present on machine');
    expect(pulled).toContain('Successfully pulled image "app" in 0ms. Image size: 1 bytes.');
  });

  it("at 0, 10, 30, 70, 150, 310 s and then every 5 minutes, with the kubelet's reasons", async () => {
    await h.ensure(desiredPod({ containers: [app({ image: "nope:1" })] }));
    expect(h.container("app").state).toMatchObject({ type: "waiting", reason: "ErrImagePull" });
    await h.pass(11_000, 1000);
    expect(h.container("app").state).toMatchObject({
      reason: "ImagePullBackOff",
      message: "no registry has nope:1: import it",
    });
    expect(h.pod().problem).toMatchObject({ reason: "ImagePullBackOff" });
    await h.pass(989_000, 1000);
    expect(h.pulls).toHaveLength([0, 10, 30, 70, 150, 310, 610, 910].length);
    expect(h.events).toContainEqual({ type: "Normal", reason: "BackOff", message: 'Back-off pulling image "nope:1"' });
    expect(h.reasons().filter((reason) => reason === "Pulling")).toHaveLength(8);
    h.images.set("nope:1", {});
    h.supervisor.imagesChanged();
    await h.settle();
    expect(h.container("app").state.type).toBe("running");
  });

  it("a backoff of its own: what fails after it begins with 10 s again", async () => {
    await h.ensure(desiredPod({ containers: [app({ image: "nope:1" })] }));
    await h.pass(80_000, 1000);
    h.images.set("nope:1", {});
    h.volumeErrors.push(new GantryError("volume-failed", "no"));
    h.supervisor.imagesChanged();
    await h.settle();
    expect(h.pod().problem).toMatchObject({ reason: "FailedMount" });
    await h.pass(10_500, 500);
    expect(h.container("app").state.type).toBe("running");
  });

  it("a signature that is missing has a reason of its own", async () => {
    h.pulling = () => Promise.reject(new GantryError("image-untrusted", "not signed"));
    await h.ensure(desiredPod({ containers: [app({ image: "nope:1" })] }));
    expect(h.container("app").state).toMatchObject({ reason: "SignatureValidationFailed" });
  });
});

describe("while an image is pulled", () => {
  it("status and events say how far it is; a deletion calls it off", async () => {
    let calledOff = false;
    h.pulling = (_name, { onProgress, signal }) =>
      new Promise((_, reject) => {
        onProgress?.({ stage: "copying", bytes: 1024, totalBytes: 4096, layers: 0, totalLayers: 2 });
        h.clock.advance(1500);
        onProgress?.({ stage: "copying", bytes: 2048, totalBytes: 4096, layers: 1, totalLayers: 2 });
        signal.addEventListener("abort", () => {
          calledOff = true;
          reject(new GantryError("cancelled", "called off"));
        });
      });
    await h.ensure(desiredPod({ containers: [app({ image: "slow:1" })] }));
    const message = 'pulling image "slow:1": copying 2 KiB of 4 KiB, 1 of 2 layers';
    expect(h.container("app").state).toEqual({ type: "waiting", reason: "ContainerCreating", message });
    expect(h.events.at(-1)).toMatchObject({ reason: "Pulling", message: message.replace("pulling", "Pulling") });
    h.supervisor.remove(UID);
    await h.settle();
    expect(calledOff).toBe(true);
    expect(h.supervisor.list()).toEqual([]);
    expect(h.reasons()).not.toContain("Failed");
  });

  it("secrets that are missing are said, and those that are there are used", async () => {
    const given: unknown[] = [];
    h.pulling = async (_name, { credentials }) => void given.push(credentials);
    await h.ensure(desiredPod({ containers: [app({ image: "app" })], imagePullSecrets: [{ name: "none" }] }));
    expect(given).toEqual([[]]);
    expect(h.events[0]).toMatchObject({ reason: "FailedToRetrieveImagePullSecret" });
  });
});
