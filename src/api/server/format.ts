/** The forms in which objects are answered: as they are, as rows of a table, or only their metadata. Pure. */
import type { ApiObject } from "./resources.ts";
import type { Column } from "./table/column.ts";
import { columnsOf } from "./table/columns.ts";

export type Format = "object" | "table" | "metadata";

/** By the header Accept: kubectl asks for `application/json;as=Table;v=v1;g=meta.k8s.io` first. */
export function formatOf(accept: string | undefined): Format {
  for (const range of (accept ?? "").split(",")) {
    const [type, ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    if (type !== "application/json" && type !== "*/*") continue;
    const form = parameters.find((parameter) => parameter.startsWith("as="))?.slice("as=".length);
    const isV1 = parameters.includes("v=v1") && parameters.includes("g=meta.k8s.io");
    if (form === undefined) return "object";
    if (form === "table" && isV1) return "table";
    if ((form === "partialobjectmetadata" || form === "partialobjectmetadatalist") && isV1) return "metadata";
  }
  return "object";
}

export const META = "meta.k8s.io/v1";

/** @param include how much of each object a row carries: Object, Metadata or None */
export function tableOf<T extends ApiObject>(
  kind: string,
  items: readonly T[],
  metadata: object,
  include: string,
  now: number,
): object {
  const columns: readonly Column[] = columnsOf(kind);
  return {
    kind: "Table",
    apiVersion: META,
    metadata,
    columnDefinitions: columns.map(({ name, type = "string", priority = 0, description = "" }) => ({
      ...{ name, type, priority, description },
      format: name === "Name" ? "name" : "",
    })),
    rows: items.map((item) => ({
      cells: columns.map(({ cell }) => cell(item, now)),
      ...(include !== "None" && { object: include === "Object" ? item : metadataOf(item) }),
    })),
  };
}

export function metadataOf({ metadata }: ApiObject): object {
  return { kind: "PartialObjectMetadata", apiVersion: META, metadata };
}

export function metadataList(items: readonly ApiObject[], metadata: object): object {
  return { kind: "PartialObjectMetadataList", apiVersion: META, metadata, items: items.map(metadataOf) };
}
