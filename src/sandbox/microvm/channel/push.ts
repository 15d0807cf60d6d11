import { MAX_PAYLOAD, type PushFile } from "../protocol/index.ts";
import { type AgentLink, AgentRefusal } from "./link.ts";

export interface FileToPush extends PushFile {
  readonly data: Uint8Array;
}

/**
 * Puts files into a volume of the guest. `atomic`: all at once, as the kubelet does; otherwise each is replaced by
 * itself. One push per agent at a time: the caller sees to it.
 * @throws AgentRefusal, GantryError
 */
export async function pushFiles(
  link: AgentLink,
  volume: string,
  files: readonly FileToPush[],
  atomic: boolean,
): Promise<void> {
  const id = link.newId();
  const begun = link.answerTo(id, "push");
  link.send({ type: "pushBegin", body: { volume, atomic } }, id);
  await begun;
  // Its frames are only answered when something is wrong; and the commit in any case.
  const committed = link.answerTo(id, "push");
  for (const { data, ...file } of files) {
    link.send({ type: "pushFile", body: file }, id);
    for (let at = 0; at < data.length; at += MAX_PAYLOAD) {
      link.data("pushData", id, data.subarray(at, at + MAX_PAYLOAD));
    }
  }
  link.send({ type: "pushCommit", body: null }, id);
  await committed;
}

export function isRefusal(error: unknown, code?: AgentRefusal["reply"]["code"]): error is AgentRefusal {
  return error instanceof AgentRefusal && (code === undefined || error.reply.code === code);
}
