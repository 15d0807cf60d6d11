/** Plain data that is sent, as an object of a manifest. Pure. */
import { check, type ManifestObject } from "../manifest/index.ts";
import { fieldName, TOLD_ISSUES } from "../manifest/issue.ts";
import { isRecord } from "../manifest/yaml/plain.ts";
import { GantryError } from "../system/errors.ts";

/** The object that plain data stands for. @throws invalid-manifest, with the issues in its details */
export function validObject(value: unknown): ManifestObject {
  const { object, issues } = check(value);
  if (object !== undefined) return object;
  const errors = issues.filter(({ severity }) => severity === "error");
  const told = errors.slice(0, TOLD_ISSUES);
  const say = ({ path, message, hint }: (typeof errors)[number]): string =>
    `${path.length === 0 ? "" : `${fieldName(path)}: `}${message}${hint === undefined ? "" : ` (${hint})`}`;
  const more = errors.length > told.length ? [`and ${errors.length - told.length} more`] : [];
  throw new GantryError("invalid-manifest", [...told.map(say), ...more].join("; "), {
    hint: "Nothing was changed.",
    details: {
      ...subjectOf(value),
      causes: told.map(({ path, message, hint }) => ({
        field: fieldName(path),
        message: hint === undefined ? message : `${message} (${hint})`,
      })),
    },
  });
}

/** Kind and name, as far as it has any. */
function subjectOf(value: unknown): { readonly kind?: string; readonly name?: string } {
  if (!isRecord(value)) return {};
  const { kind, metadata } = value;
  const name = isRecord(metadata) ? metadata["name"] : undefined;
  return { ...(typeof kind === "string" && { kind }), ...(typeof name === "string" && { name }) };
}
