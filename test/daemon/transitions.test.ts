import { expect, test } from "vitest";
import type { PodObject } from "../../src/api/contract.ts";
import { createTransitionLines } from "../../src/daemon/transitions.ts";
import type { ContainerStatus } from "../../src/status.ts";
import { CliBackend } from "../cli/support/backend.ts";
import { ManualClock } from "../support/manual-clock.ts";

/** What is printed of a pod with one container, one line per change. */
function linesOf(statuses: readonly Partial<ContainerStatus>[]): string[] {
  const lines: string[] = [];
  const tell = createTransitionLines(new ManualClock(), (line) => lines.push(line.replace(/^\d\d:\d\d:\d\d {2}/, "")));
  for (const status of statuses) tell({ type: "MODIFIED", object: withContainer(status) });
  return lines;
}

function withContainer(status: Partial<ContainerStatus>): PodObject {
  const base = new CliBackend().set({ name: "web" });
  const [container] = base.status.containerStatuses;
  if (container === undefined) throw new Error("it has one");
  return { ...base, status: { ...base.status, containerStatuses: [{ ...container, lastState: {}, ...status }] } };
}

test("a container that is started again is said to be, with how it ended", () => {
  const waiting = { waiting: { reason: "ContainerCreating" } };
  const terminated = { exitCode: 137, reason: "Error", finishedAt: "2026-01-01T00:00:00Z", containerID: "gantry://a" };
  const running = { running: { startedAt: "2026-01-01T00:00:00Z" } };
  expect(
    linesOf([
      { state: waiting, ready: false },
      { state: running, ready: true },
      { state: waiting, lastState: { terminated }, ready: false, restartCount: 0 },
      { state: waiting, lastState: { terminated }, ready: false, restartCount: 1 },
      { state: running, lastState: { terminated }, ready: true, restartCount: 1 },
    ]),
  ).toEqual([
    "default/web  ContainerCreating  0/1",
    expect.stringMatching(/^default\/web {2}Running {2}1\/1/),
    expect.stringMatching(/^default\/web {2}Restarting {2}0\/1 {2}\w+: Error \(exit code 137\)$/),
    expect.stringMatching(/^default\/web {2}Running {2}1\/1.* {2}1 restart$/),
  ]);
});
