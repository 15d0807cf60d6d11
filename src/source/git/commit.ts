/** What a commit object says of itself. Pure. */
import { z } from "zod";

/** One commit that a source may be at. */
export const revisionSchema = z.object({
  oid: z.string(),
  /** The tag that led there. */
  tag: z.string().optional(),
  author: z.string(),
  /** ms since the epoch, as the author's clock had it. */
  authoredAt: z.number(),
  /** The first line of the message. */
  subject: z.string(),
  /** Commits of its submodules, where they are followed. */
  submodules: z.array(z.string()).optional(),
});
export type Revision = Readonly<z.output<typeof revisionSchema>>;

const LONGEST = 200;

/** @param text the raw commit object */
export function parseCommit(oid: string, text: string, tag?: string): Revision {
  const end = text.indexOf("\n\n");
  const head = end < 0 ? text : text.slice(0, end);
  const match = /^author (.*) <([^<>\n]*)> (\d{1,12}) [+-]\d{4}$/m.exec(head);
  const [, name = "", mail = "", seconds = "0"] = match ?? [];
  const [subject = ""] = (end < 0 ? "" : text.slice(end + 2)).split("\n", 1);
  return {
    oid,
    ...(tag !== undefined && { tag }),
    author: plain(mail === "" ? name : `${name} <${mail}>`),
    authoredAt: Number(seconds) * 1000,
    subject: plain(subject),
  };
}

/** What others wrote must not move anybody's cursor. */
function plain(text: string): string {
  return text
    .replaceAll(/\p{Cc}/gu, "\u{fffd}")
    .trim()
    .slice(0, LONGEST);
}

/** "3f2a9c01d5e7", or the tag with it. */
export function revisionText({ oid, tag }: Pick<Revision, "oid" | "tag">): string {
  const short = oid.slice(0, 12);
  return tag === undefined ? short : `${tag} (${short})`;
}
