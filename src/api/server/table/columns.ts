/** The columns of every kind, as a cluster has them (kubernetes, pkg/printers/internalversion/printers.go). Pure. */
import { type Column, type Columns, nameColumn, textAt } from "./column.ts";
import { CORE_COLUMNS } from "./core.ts";
import { NETWORK_COLUMNS } from "./network.ts";
import { podColumnsOfTable } from "./pod.ts";
import { RULES_COLUMNS } from "./rules.ts";
import { STORAGE_COLUMNS } from "./storage.ts";
import { WORKLOADS_COLUMNS } from "./workloads.ts";

const COLUMNS: Columns = {
  Pod: podColumnsOfTable,
  ...WORKLOADS_COLUMNS,
  ...NETWORK_COLUMNS,
  ...STORAGE_COLUMNS,
  ...RULES_COLUMNS,
  ...CORE_COLUMNS,
};

const OTHERS: readonly Column[] = [
  nameColumn,
  { name: "Created At", cell: (object) => textAt(object, "metadata", "creationTimestamp") },
];

export function columnsOf(kind: string): readonly Column[] {
  return (Object.hasOwn(COLUMNS, kind) ? COLUMNS[kind] : undefined) ?? OTHERS;
}
