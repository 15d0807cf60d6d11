/**
 * crun 1.8 takes what a command printed last on a terminal, before it ended at once, for something to be logged: in
 * pieces of up to 255 bytes, each with a newline after it (libcrun, flush_fd_to_err). Its own messages are JSON.
 */
const PIECE_BYTES = 255;
const NEWLINE = 0x0a;

/** The output of the command that the runtime put into its log; undefined when there are only messages of its own. Pure. */
export function outputInLog(log: Buffer): Buffer | undefined {
  if (log.length === 0 || /^\{"(msg|level|time)"/.test(log.toString("latin1", 0, 16))) return undefined;
  const pieces: Buffer[] = [];
  let at = 0;
  while (log.length - at > PIECE_BYTES + 1 && log[at + PIECE_BYTES] === NEWLINE) {
    pieces.push(log.subarray(at, at + PIECE_BYTES));
    at += PIECE_BYTES + 1;
  }
  const rest = log.subarray(at);
  pieces.push(rest.at(-1) === NEWLINE ? rest.subarray(0, -1) : rest);
  return Buffer.concat(pieces);
}
