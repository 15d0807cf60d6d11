import { Transform } from "node:stream";

const CTRL_P = 0x10;
const CTRL_Q = 0x11;

/** How one leaves an app that takes every other key, as podman and docker have it. */
export const DETACH_HELP = "Ctrl-P Ctrl-Q";

/**
 * Passes on what is typed, but for Ctrl-P Ctrl-Q: then `onDetach` is called, and nothing more comes. A Ctrl-P waits
 * for the key that follows it.
 */
export function detachKeys(onDetach: () => void): Transform {
  let held = false;
  let detached = false;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (detached) return done();
      const data = held ? Buffer.concat([Buffer.from([CTRL_P]), chunk]) : chunk;
      const at = data.indexOf(Buffer.from([CTRL_P, CTRL_Q]));
      if (at >= 0) {
        detached = true;
        onDetach();
        return done(null, data.subarray(0, at));
      }
      held = data.at(-1) === CTRL_P;
      done(null, held ? data.subarray(0, -1) : data);
    },
    flush(done) {
      done(null, held && !detached ? Buffer.from([CTRL_P]) : undefined);
    },
  });
}
