/**
 * The field types that manifests are made of, each checked as the Kubernetes API server checks it
 * (k8s.io/apimachinery/pkg/util/validation). Every schema is built once and shared: a zod schema costs memory.
 */
import { z } from "zod";
import { isSignal } from "../../sandbox/signals.ts";
import { parseQuantity } from "../quantity.ts";

/** A string schema that also satisfies `complaint`, which says what is wrong or undefined. */
function checked(complaint: (value: string) => string | undefined) {
  return z.string().check((ctx) => {
    const message = complaint(ctx.value);
    if (message !== undefined) ctx.issues.push({ code: "custom", input: ctx.value, message });
  });
}

/** The rule of one pattern and a length limit, as a complaint. */
function shaped(pattern: RegExp, limit: number, rule: string): (value: string) => string | undefined {
  return (value) => {
    if (value === "") return "must not be empty";
    if (value.length > limit) return `must be at most ${limit} characters long (it has ${value.length})`;
    return pattern.test(value) ? undefined : rule;
  };
}

const LABEL_RULE =
  "must consist of lower case letters, digits and '-', and start and end with a letter or digit (a DNS label)";
const SUBDOMAIN_RULE =
  "must consist of lower case letters, digits, '-' and '.', and start and end with a letter or digit (a DNS name)";

/** RFC 1123 label. */
export const dnsLabelComplaint = shaped(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, 63, LABEL_RULE);
/** RFC 1123 subdomain. */
export const dnsNameComplaint = shaped(
  /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
  253,
  SUBDOMAIN_RULE,
);

/** `[prefix/]name`, the form of label and annotation keys and of extended resources. */
export function qualifiedNameComplaint(value: string): string | undefined {
  const slash = value.indexOf("/");
  const prefix = slash < 0 ? undefined : value.slice(0, slash);
  if (prefix !== undefined) {
    const wrong = dnsNameComplaint(prefix);
    if (wrong !== undefined) return `has the prefix '${prefix}', which ${wrong}`;
  }
  return shaped(
    /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/,
    63,
    "must consist of letters, digits, '-', '_' or '.', and start and end with a letter or digit",
  )(value.slice(slash + 1));
}

function labelValueComplaint(value: string): string | undefined {
  if (value.length > 63) return `must be at most 63 characters long (it has ${value.length})`;
  return /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/.test(value)
    ? undefined
    : "must be empty or consist of letters, digits, '-', '_' or '.', and start and end with a letter or digit";
}

/** IANA service name: RFC 6335. */
export function portNameComplaint(value: string): string | undefined {
  if (value.length < 1 || value.length > 15) return "must be 1 to 15 characters long";
  return /^[a-z0-9]+(-[a-z0-9]+)*$/.test(value) && /[a-z]/.test(value)
    ? undefined
    : "must consist of lower case letters, digits and single '-', with at least one letter, and start and end with a letter or digit";
}

/** Keys of ConfigMaps and Secrets: they become file names. */
export function configKeyComplaint(value: string): string | undefined {
  if (value === "." || value.startsWith("..")) return "must not be '.' or start with '..'";
  return shaped(/^[-._a-zA-Z0-9]+$/, 253, "must consist of letters, digits, '-', '_' or '.'")(value);
}

function envNameComplaint(value: string): string | undefined {
  return shaped(/^[\x20-\x3c\x3e-\x7e]+$/, 4096, "must consist of printable ASCII characters other than '='")(value);
}

function pathComplaint(value: string): string | undefined {
  if (value === "") return "must not be empty";
  return value.includes("\0") ? "must not contain a NUL character" : undefined;
}

/** A path inside a volume: it may not leave it. */
function relativePathComplaint(value: string): string | undefined {
  if (value.startsWith("/")) return "must be a relative path";
  if (value.split("/").includes("..")) return "must not contain '..'";
  return pathComplaint(value);
}

const ipv4 = z.ipv4();
const ipv6 = z.ipv6();

/** True for a literal IPv4 or IPv6 address. */
export function isIpAddress(value: string): boolean {
  return ipv4.safeParse(value).success || ipv6.safeParse(value).success;
}

export const text = z.string();
export const someText = checked((value) => (value === "" ? "must not be empty" : undefined));
export const dnsLabel = checked(dnsLabelComplaint);
export const dnsName = checked(dnsNameComplaint);
/** What may stand in the path of a URL (ValidatePathSegmentName): names of roles. */
export const pathName = checked((value) => {
  if (value === "" || value === "." || value === ".." || /[/%]/.test(value))
    return "must be a name that can stand in a URL: without '/' and '%', and neither '.' nor '..'";
  return value.length > 253 ? "must have at most 253 characters" : undefined;
});
export const qualifiedName = checked(qualifiedNameComplaint);
/** Case does not matter in the keys of annotations (ValidateAnnotations). */
export const annotationKey = checked((value) => qualifiedNameComplaint(value.toLowerCase()));
export const labelValue = checked(labelValueComplaint);
export const portName = checked(portNameComplaint);
export const configKey = checked(configKeyComplaint);
export const envName = checked(envNameComplaint);
export const path = checked(pathComplaint);
export const relativePath = checked(relativePathComplaint);
/** "" says nothing: charts write it. */
export const maybeRelativePath = checked((value) =>
  value === "" ? undefined : relativePathComplaint(value),
).optional();
export const ipAddress = checked((value) => (isIpAddress(value) ? undefined : "must be an IPv4 or IPv6 address"));
/** The name of an HTTP header (k8s.io/apimachinery, IsHTTPHeaderName). */
export const headerName = checked(
  shaped(/^[-A-Za-z0-9]+$/, 1024, "must consist of letters, digits and '-', as the name of an HTTP header"),
);
export const headerValue = checked((value) =>
  /[^\t\x20-\x7e\x80-\xff]/.test(value) ? "must not contain control characters or those beyond Latin-1" : undefined,
);
export const stopSignal = checked((value) =>
  /^SIG[A-Z]/.test(value) && isSignal(value) ? undefined : "must be the name of a signal, e.g. SIGTERM or SIGQUIT",
);
/** Base64 data, kept encoded. */
export const base64 = checked((value) =>
  /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(value.replace(/[\r\n]/g, ""))
    ? undefined
    : "must be base64",
);
/** An image reference; the image store checks it in full when it resolves it. */
export const image = checked((value) => {
  if (value === "") return "must not be empty";
  return /\s/.test(value) ? "must not contain white space" : undefined;
});

export const flag = z.boolean();
export const int = z.int();
export const int32 = z.int().min(-2147483648).max(2147483647);
export const count = z.int().min(0).max(2147483647);
export const positive = z.int().min(1).max(2147483647);
export const port = z.int().min(1).max(65535);
/** A user or group id. */
export const id = z.int().min(0).max(2147483647);
/** The permission bits of a file. */
export const mode = z
  .int()
  .min(0)
  .check((ctx) => {
    if (ctx.value <= 0o777) return;
    const octal = /^[0-7]{3}$/.test(String(ctx.value)) ? `; 0${ctx.value} is the octal number` : "";
    const message = `is too large for permission bits: the most is 0777, which is 511 in decimal${octal}`;
    ctx.issues.push({ code: "custom", input: ctx.value, message });
  });

/** A quantity (`100m`, `1.5Gi`, `2`) as a string; a plain number is taken as well. */
export const quantity = z.unknown().transform((value, ctx): string => {
  const written = typeof value === "number" ? String(value) : value;
  if (typeof written === "string" && parseQuantity(written) !== undefined) return written;
  const message = "must be a quantity, e.g. 500m, 0.5, 128Mi or 2Gi";
  ctx.issues.push({ code: "custom", input: value, message });
  return z.NEVER;
});

/** A port number or the name of a port. */
export const intOrString = z.unknown().transform((value, ctx): number | string => {
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65535) return value;
  if (typeof value === "string" && portNameComplaint(value) === undefined) return value;
  ctx.issues.push({
    code: "custom",
    input: value,
    message: "must be a port number (1 to 65535) or the name of a port",
  });
  return z.NEVER;
});

export const maybeText = text.optional();
export const maybeSomeText = someText.optional();
export const maybeLabel = dnsLabel.optional();
export const maybeName = dnsName.optional();
export const maybeFlag = flag.optional();
export const maybeInt = int.optional();
export const maybeCount = count.optional();
export const maybePositive = positive.optional();
export const maybePort = port.optional();
export const maybeId = id.optional();
export const maybeMode = mode.optional();
export const maybeQuantity = quantity.optional();
export const texts = z.array(text);
export const maybeTexts = texts.optional();
export const textMap = z.record(text, text);
export const maybeTextMap = textMap.optional();
/** Label keys and values. */
export const maybeLabels = z.record(qualifiedName, labelValue).optional();
/** Resource names and quantities. */
export const maybeQuantities = z.record(qualifiedName, quantity).optional();
/** An RFC 3339 time. */
export const maybeTime = z.iso
  .datetime({ offset: true, error: "must be a time such as 2025-01-31T12:00:00Z" })
  .optional();
/** Permission bits of files in a volume: 0644 unless said otherwise. */
export const defaultMode = mode.default(0o644);
export const pullPolicy = z.enum(["Always", "IfNotPresent", "Never"]);
