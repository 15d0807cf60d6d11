/** Label selectors of objects (k8s.io/apimachinery/pkg/apis/meta/v1, LabelSelector). Pure. */
import type { LabelSelector } from "./schema/index.ts";

type Labels = Readonly<Record<string, string>>;

/** All requirements must hold; a selector without any holds for everything. */
export function selects({ matchLabels = {}, matchExpressions = [] }: LabelSelector, labels: Labels = {}): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => has(labels, key) && labels[key] === value) &&
    matchExpressions.every((requirement) => holds(requirement, labels))
  );
}

type Requirement = NonNullable<LabelSelector["matchExpressions"]>[number];

function holds({ key, operator, values = [] }: Requirement, labels: Labels): boolean {
  const value = has(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
  }
}

export function isEmptySelector({ matchLabels = {}, matchExpressions = [] }: LabelSelector): boolean {
  return Object.keys(matchLabels).length === 0 && matchExpressions.length === 0;
}

function has(labels: Labels, key: string): boolean {
  return Object.hasOwn(labels, key);
}
