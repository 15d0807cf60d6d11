import { expect, test } from "vitest";
import { AgentRefusal } from "../../../src/sandbox/microvm/channel/link.ts";
import { explainSubPath } from "../../../src/sandbox/microvm/create-errors.ts";

const mounts = [
  { volume: "whole", mountPath: "/w", readOnly: false, propagation: "None" },
  { volume: "data", mountPath: "/d", subPath: "part/x", readOnly: false, propagation: "None" },
] as const;
const refusal = (errno: number, message: string) => new AgentRefusal({ errno, code: "failed", message });

test.each([
  [18, "leads out of the volume by a link"],
  [20, "leads through something that is not a directory"],
])("errno %i of a subPath", (errno, why) => {
  expect(explainSubPath(refusal(errno, "volume gantry.share: part/x: as the agent says"), { mounts })).toMatchObject({
    code: "volume-failed",
    message: `the subPath "part/x" of data ${why}`,
  });
});

test("what is about something else stays as it is", () => {
  for (const error of [refusal(18, "mount at /d: x"), refusal(5, "volume data: part/x: x"), new Error("x")])
    expect(explainSubPath(error, { mounts })).toBe(error);
});
