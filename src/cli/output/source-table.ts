/** Git sources for people. */
import type { SourceStatus } from "../../source/git/index.ts";
import { formatSpan } from "./age.ts";
import type { Colors } from "./color.ts";
import { renderTable } from "./table.ts";
import { oneLine } from "./text.ts";

/** One line: "Synced, Healthy, 3f2a9c01d5e7 Change the greeting". */
export function sourceLine({ sync, health, revision, message }: SourceStatus): string {
  const at = revision === undefined ? "nothing in force yet" : `${revision.oid.slice(0, 12)} ${revision.subject}`;
  return oneLine([sync, health, at, ...(message === undefined ? [] : [message])].join(", "));
}

export function sourceTable(items: readonly SourceStatus[], now: number, wide: boolean): string {
  const header = ["NAME", "SYNC", "HEALTH", "REVISION", "AUTHOR", "AGE", "PODS", "MESSAGE"];
  const rows = items.map((item) => [
    item.name,
    item.sync,
    item.health,
    item.revision === undefined ? "-" : (item.revision.tag ?? item.revision.oid.slice(0, 12)),
    item.revision === undefined ? "-" : oneLine(item.revision.author.replace(/ <.*>$/, "")),
    item.since === undefined ? "-" : formatSpan(Math.max(0, now - item.since)),
    String(item.pods.length),
    messageOf(item, now),
    ...(wide ? [item.url, item.ref, item.path === "" ? "/" : item.path] : []),
  ]);
  return renderTable(wide ? [...header, "URL", "REF", "PATH"] : header, rows);
}

function messageOf({ message, failingSince }: SourceStatus, now: number): string {
  const since = failingSince === undefined ? "" : ` (for ${formatSpan(Math.max(0, now - failingSince))})`;
  return message === undefined ? "" : clipped(message) + since;
}

function clipped(text: string): string {
  const line = oneLine(text);
  return line.length > 120 ? `${line.slice(0, 119)}…` : line;
}

/** Everything about one source. */
export function sourceDetails(item: SourceStatus, now: number, colors: Colors): string {
  const age = (at: number | undefined): string =>
    at === undefined ? "never" : `${formatSpan(Math.max(0, now - at))} ago`;
  const revision = ({ oid, author, subject, tag }: NonNullable<SourceStatus["revision"]>): string =>
    oneLine(`${oid}${tag === undefined ? "" : ` (${tag})`} ${author}: ${subject}`);
  const facts: [string, string | undefined][] = [
    ["Name", item.name],
    ["URL", item.url],
    ["Ref", item.ref],
    ["Path", item.path === "" ? "/" : item.path],
    ["Sync", item.sync],
    ["Health", item.health],
    ["Revision", item.revision === undefined ? "none" : revision(item.revision)],
    ["Written", item.revision === undefined ? undefined : age(item.revision.authoredAt)],
    ["In force", age(item.since)],
    ["Signed by", item.signer],
    [
      "Remote has",
      item.remote === undefined || item.remote.oid === item.revision?.oid ? undefined : revision(item.remote),
    ],
    ["Fetched", age(item.fetchedAt)],
    [
      "Failing",
      item.failingSince === undefined ? undefined : `since ${formatSpan(Math.max(0, now - item.failingSince))}`,
    ],
    ["Message", item.message === undefined ? undefined : oneLine(item.message)],
    ["Next", item.hint],
    ["Drift", item.drift === undefined ? undefined : `${age(item.drift.at)}: ${oneLine(item.drift.message)}`],
    ["Wave", item.wave === undefined ? undefined : String(item.wave)],
  ];
  const lines = facts.flatMap(([name, value]) => (value === undefined ? [] : [`${`${name}:`.padEnd(12)}${value}`]));
  const pods = item.pods.map((pod) => [
    pod.key,
    pod.synced ? "Synced" : "OutOfSync",
    pod.health,
    pod.kept === undefined ? (pod.revision?.slice(0, 12) ?? "-") : `kept (${pod.kept})`,
    pod.createdAt === undefined ? "-" : formatSpan(Math.max(0, now - pod.createdAt)),
    oneLine(pod.message ?? ""),
  ]);
  const history = item.history.map((entry) => [
    `${entry.revision.oid.slice(0, 12)}${entry.revision.oid === item.revision?.oid ? " *" : ""}`,
    age(entry.at),
    entry.outcome,
    oneLine(entry.revision.author.replace(/ <.*>$/, "")),
    clipped(entry.message ?? entry.revision.subject),
  ]);
  return [
    ...lines,
    "",
    colors.bold("Pods:"),
    pods.length === 0 ? "none\n" : renderTable(["POD", "SYNC", "HEALTH", "REVISION", "AGE", "MESSAGE"], pods),
    colors.bold("History (* in force):"),
    history.length === 0 ? "none\n" : renderTable(["REVISION", "AT", "OUTCOME", "AUTHOR", "WHAT"], history),
  ].join("\n");
}
