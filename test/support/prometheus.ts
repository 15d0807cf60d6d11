/**
 * A strict reader of Prometheus' text format 0.0.4, as promtool reads it: what it does not take, no scrape would. Each
 * family has its HELP and TYPE once and before its samples, no two samples have the same name and labels, and
 * histograms are whole.
 */
export interface ReadSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  readonly at: number | undefined;
}

export interface ReadFamily {
  readonly type: string;
  readonly samples: readonly ReadSample[];
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y;
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (-?[0-9.e+-]+|\\+Inf|-Inf|NaN)(?: (-?\\d+))?$`);
const SUFFIXES: Readonly<Record<string, readonly string[]>> = { histogram: ["_bucket", "_sum", "_count"] };

/** @throws Error with the line that is wrong */
export function readMetrics(text: string): Map<string, ReadFamily> {
  const families = new Map<string, { type: string; samples: ReadSample[] }>();
  const helps = new Set<string>();
  const seen = new Set<string>();
  let current: { name: string; type: string; samples: ReadSample[] } | undefined;
  if (text !== "" && !text.endsWith("\n")) throw new Error("the last line has no end");
  for (const line of text.split("\n").slice(0, -1)) {
    const fail = (why: string): never => {
      throw new Error(`${why}: ${line}`);
    };
    const [, comment, of = "", rest = ""] = new RegExp(`^# (HELP|TYPE) (${NAME}) (.*)$`).exec(line) ?? [];
    if (comment === "HELP") {
      if (helps.has(of)) fail("a second HELP");
      if (rest.trim() === "") fail("no help");
      helps.add(of);
    } else if (comment === "TYPE") {
      if (families.has(of)) fail("a second TYPE");
      if (!helps.has(of)) fail("TYPE before HELP");
      if (!["counter", "gauge", "histogram", "summary", "untyped"].includes(rest)) fail("an unknown type");
      if (rest === "counter" && !of.endsWith("_total")) fail("a counter whose name does not end in _total");
      current = { name: of, type: rest, samples: [] };
      families.set(of, current);
    } else if (current === undefined) {
      fail("a sample of no family");
    } else {
      const sample = readSample(line) ?? fail("no sample");
      const names = SUFFIXES[current.type]?.map((suffix) => `${current?.name}${suffix}`) ?? [current.name];
      if (!names.includes(sample.name)) fail(`not of the family ${current.name}`);
      const key = JSON.stringify([sample.name, Object.entries(sample.labels).sort()]);
      if (seen.has(key)) fail("the same sample twice");
      seen.add(key);
      current.samples.push(sample);
    }
  }
  for (const [name, { type, samples }] of families) {
    if (samples.length === 0) throw new Error(`${name} has no samples`);
    if (type === "histogram") checkHistogram(name, samples);
  }
  return families;
}

function readSample(line: string): ReadSample | undefined {
  const [, name, inner = "", value = "", at] = SAMPLE.exec(line) ?? [];
  if (name === undefined) return undefined;
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  for (let end = 0; end < inner.length; end = LABEL.lastIndex) {
    const [, label = "", text = ""] = LABEL.exec(inner) ?? [];
    if (label === "" || label in labels) return undefined;
    labels[label] = text.replaceAll(/\\(.)/g, (_, one: string) => (one === "n" ? "\n" : one));
  }
  const number =
    value === "+Inf" ? Number.POSITIVE_INFINITY : value === "-Inf" ? Number.NEGATIVE_INFINITY : Number(value);
  return { name, labels, value: number, at: at === undefined ? undefined : Number(at) };
}

/** Buckets grow, end with +Inf, and that is the count. */
function checkHistogram(family: string, samples: readonly ReadSample[]): void {
  const groups = Map.groupBy(samples, ({ labels: { le: _, ...others } }) =>
    JSON.stringify(Object.entries(others).sort()),
  );
  for (const [key, group] of groups) {
    const buckets = group.filter(({ name }) => name.endsWith("_bucket"));
    const counts = buckets.map(({ value }) => value);
    const last = buckets.at(-1);
    const count = group.find(({ name }) => name.endsWith("_count"))?.value;
    const isGrowing = counts.every((value, at) => value >= (counts[at - 1] ?? 0));
    if (
      !isGrowing ||
      last?.labels["le"] !== "+Inf" ||
      last.value !== count ||
      !group.some(({ name }) => name.endsWith("_sum"))
    )
      throw new Error(`${family} ${key} is no whole histogram`);
  }
}
