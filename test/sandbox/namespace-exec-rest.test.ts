import { expect, test } from "vitest";
import { outputInLog } from "../../src/sandbox/namespace/exec-rest.ts";

/** As crun's flush_fd_to_err writes it. */
function logged(output: string): Buffer {
  const bytes = Buffer.from(output);
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 255) pieces.push(bytes.subarray(at, at + 255), Buffer.from("\n"));
  return Buffer.concat(pieces);
}

test.each([
  ["short"],
  ["two\r\nlines\r\n"],
  ["x".repeat(254)],
  ["x".repeat(255)],
  ["x".repeat(256)],
  ["ü€\n".repeat(300)],
])("gives back what a command printed (%#)", (output) => expect(outputInLog(logged(output))?.toString()).toBe(output));

test("the runtime's own messages are none", () => {
  expect(outputInLog(Buffer.alloc(0))).toBeUndefined();
  expect(outputInLog(Buffer.from('{"msg":"no such file","level":"error","time":"x"}\n'))).toBeUndefined();
  expect(outputInLog(Buffer.from('{"level":"error","msg":"no such file"}\n'))).toBeUndefined();
});
