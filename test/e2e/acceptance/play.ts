import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { RUNTIME_CLASSES, type RuntimeClass, type TestHost, testHost } from "../harness.ts";
import { isAlone } from "./case.ts";
import { type Loaded, loadCases } from "./load.ts";
import { Observer } from "./observer.ts";
import { Play, type Stage, startClocked } from "./steps.ts";

/** Registers all cases on one runtime class: those that leave daemon and time alone beside each other, the others in turn. */
export function playCases(runtimeClass: RuntimeClass): void {
  const cases = loadCases().filter(({ only }) => only === undefined || only === runtimeClass);
  describe.runIf(RUNTIME_CLASSES.includes(runtimeClass))(runtimeClass, () => {
    describe("beside each other", () => {
      const stage = onStage(runtimeClass);
      for (const one of cases.filter((each) => !isAlone(each)))
        test.concurrent(titleOf(one), () => play(stage(), one), 240_000);
    });
    describe("with a daemon of their own", () => {
      const stage = onStage(runtimeClass);
      for (const one of cases.filter(isAlone)) test(titleOf(one), () => play(stage(), one), 240_000);
    });
  });
}

function titleOf({ topic, name }: Loaded): string {
  return `${topic}: ${name}`;
}

async function play(stage: Stage, one: Loaded): Promise<void> {
  const played = new Play(stage, one);
  try {
    await played.run();
  } finally {
    await played.leave();
  }
}

/** A host for the tests of this block. */
function onStage(runtimeClass: RuntimeClass): () => Stage {
  let host: TestHost | undefined;
  let stage: Stage | undefined;
  beforeAll(async () => {
    host = testHost({ runtimeClass, daemonMain: join(import.meta.dirname, "clocked-daemon.ts") });
    await startClocked(host, []);
    stage = { host, runtimeClass, observer: new Observer(host), clockSteps: [] };
  });
  afterAll(async () => {
    await stage?.observer.close();
    await host?.dispose();
  });
  return () => {
    if (stage === undefined) throw new Error("no daemon");
    return stage;
  };
}
