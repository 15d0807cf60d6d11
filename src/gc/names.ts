/** Images that manifests name, whatever their kind: pods, and the templates of pods. Pure. */
const LISTS: ReadonlySet<string> = new Set(["containers", "initContainers", "ephemeralContainers"]);

/** The value of `image` in every list of containers, at any depth. */
export function imageNamesIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(imageNamesIn);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    if (key === "metadata" || key === "data" || key === "stringData") return [];
    if (!LISTS.has(key) || !Array.isArray(inner)) return imageNamesIn(inner);
    return inner.flatMap((container: unknown) => {
      const image = typeof container === "object" && container !== null ? Reflect.get(container, "image") : undefined;
      return typeof image === "string" ? [image] : [];
    });
  });
}
