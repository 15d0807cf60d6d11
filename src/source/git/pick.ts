/** Which of a remote's refs is meant. Pure. */
import { compare, parse, satisfies } from "semver";

export interface RemoteRef {
  readonly name: string;
  readonly oid: string;
}

/** The lines of `git ls-remote`; peeled tags (^{}) are left out. */
export function parseRemoteRefs(text: string): RemoteRef[] {
  return text.split("\n").flatMap((line) => {
    const [oid = "", name = ""] = line.split("\t");
    return /^[0-9a-f]{40,64}$/.test(oid) && name !== "" && !name.endsWith("^{}") ? [{ name, oid }] : [];
  });
}

const TAGS = "refs/tags/";

/**
 * The tag with the highest version in the range; tags may begin with "v". Pre-releases count only where the range
 * names one, as npm has it.
 */
export function highestTag(refs: readonly RemoteRef[], range: string): string | undefined {
  const found = refs.flatMap(({ name }) => {
    if (!name.startsWith(TAGS)) return [];
    const tag = name.slice(TAGS.length);
    const version = parse(tag.replace(/^v(?=\d)/, ""));
    return version !== null && satisfies(version, range) ? [{ tag, version }] : [];
  });
  found.sort((a, b) => compare(b.version, a.version) || b.version.compareBuild(a.version) || (a.tag < b.tag ? -1 : 1));
  return found[0]?.tag;
}
